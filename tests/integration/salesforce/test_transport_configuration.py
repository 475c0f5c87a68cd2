"""A daemon reads each channel over the transport that the configuration names."""

from collections import Counter
from pathlib import Path

from streamer.clock import SystemClock
from streamer.sandbox.server import Sandbox
from tests.acceptance.kept import KeptInSqlite
from tests.configuration import CHANGES, ORDER_KEY, ORDERS, over_pubsub, sandbox_configuration, written
from tests.daemon import Daemon
from tests.waiting import until


def happen(sandbox: Sandbox, times: int) -> None:
    """Change a record and place an order, again and again."""
    for number in range(times):
        with sandbox.org.transaction() as transaction:
            transaction.create("Account", {"Name": f"No {number}"})
        sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: f"A-{number}"})


async def holds(kept: KeptInSqlite, count: int) -> None:
    """Wait until the log has `count` events; fail unless each is there once."""

    async def are_there() -> bool:
        return len(await kept.events()) >= count

    await until(are_there)
    events = Counter(await kept.events())
    assert len(events) == count
    assert set(events.values()) == {1}


async def test_each_channel_has_its_own_transport(tmp_path: Path) -> None:
    """One daemon uses both, and its metrics count the sessions of both."""
    kept = KeptInSqlite(tmp_path)
    async with Sandbox(SystemClock(), pubsub_port=0) as sandbox:
        configuration = over_pubsub(
            sandbox_configuration(sandbox.url, log=kept.configuration), sandbox.pubsub_address
        )
        configuration["channels"][1]["transport"] = "cometd"
        happen(sandbox, 20)
        async with Daemon.running(written(tmp_path, configuration)) as daemon:
            await daemon.ready()
            await holds(kept, 40)
            assert sandbox.pubsub is not None
            assert sandbox.pubsub.subscribed == {CHANGES}
            assert sandbox.cometd.subscribed == {ORDERS}
            assert await daemon.metric("streamer_session_handshakes_total") == 2

            async def are_up() -> bool:
                return await daemon.metric("streamer_channel_up") == 2

            await until(are_up)
            assert await daemon.stop() == 0
        assert not [line for line in daemon.output.splitlines() if not line.startswith("{")]


async def test_transport_that_changes_while_the_daemon_runs(tmp_path: Path) -> None:
    """Both channels continue after the last event in the log."""
    kept = KeptInSqlite(tmp_path)
    async with Sandbox(SystemClock(), pubsub_port=0) as sandbox:
        cometd = sandbox_configuration(sandbox.url, log=kept.configuration)
        pubsub = over_pubsub(cometd, sandbox.pubsub_address)
        happen(sandbox, 20)
        async with Daemon.running(written(tmp_path, cometd)) as daemon:
            for turn, configuration in enumerate([pubsub, cometd, pubsub], start=1):
                await holds(kept, 40 * turn)
                written(tmp_path, configuration)
                happen(sandbox, 20)
                daemon.hang_up()
            await holds(kept, 160)
            assert await daemon.stop() == 0
