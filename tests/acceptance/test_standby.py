"""A process without channels is ready, reports that it is a standby, and takes over."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamer.sandbox import Sandbox
from tests.acceptance.kept import KeptInKafka
from tests.configuration import CHANGES, ORDER_KEY, ORDERS, over_pubsub, sandbox_configuration, written
from tests.daemon import Daemon
from tests.waiting import until


@pytest.fixture
async def kept(kafka: str) -> AsyncIterator[KeptInKafka]:
    """A log whose channels are all on one partition, so that one process owns them all."""
    kept = KeptInKafka(kafka)
    kept.configuration["kafka"] |= {"checkpoint_partitions": 1, "session_timeout_s": 4}
    async with kept.reading():
        yield kept


@pytest.fixture
def config(sandbox: Sandbox, kept: KeptInKafka, tmp_path: Path) -> Path:
    """The configuration that both processes start with."""
    configuration = sandbox_configuration(sandbox.url, log=kept.configuration)
    return written(tmp_path, over_pubsub(configuration, sandbox.pubsub_address))


async def test_standby_is_ready_says_so_and_takes_over(
    sandbox: Sandbox, kept: KeptInKafka, config: Path
) -> None:
    """By probe and by metrics; its channels do not look down, and are up after the owner's SIGTERM."""
    ingest = ("--role", "ingest")
    async with Daemon.running(config, *ingest) as first, Daemon.running(config, *ingest) as second:
        await first.ready()
        await second.ready()

        async def shared_out() -> tuple[Daemon, Daemon] | None:
            # Who of them comes first to the group is left open, and who is told first of the other.
            for pair in ((first, second), (second, first)):
                if await _stands_by(*pair):
                    return pair
            return None

        owner, standby = await until(shared_out)
        assert "streamer_channel_up{" not in await standby.metrics_page()

        assert await owner.stop() == 0
        sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: "1"})

        async def is_active() -> bool:
            status, body = await standby.probe("readyz")
            return (status, body["state"]) == (200, "active")

        await until(is_active)
        await until(kept.events)
        await until(lambda: standby.metric("streamer_channel_up", channel=ORDERS))
        assert await standby.metric("streamer_standby") == 0


async def _stands_by(owner: Daemon, standby: Daemon) -> bool:
    """Tell whether both say that the one reads the channels and the other stands by."""
    status, body = await standby.probe("readyz")
    return (
        (await owner.probe("readyz"))[1]["state"] == "active"
        and (status, body["state"]) == (200, "standby")
        and body["checks"]["channels"]["says"].startswith(
            "This process is on standby: other processes read the channels."
        )
        and await standby.metric("streamer_standby") == 1
        and f'streamer_channel_owned{{channel="{CHANGES}"}} 0.0' in await standby.metrics_page()
    )
