"""Both TLS stacks reach Salesforce with a single root certificate."""

from pathlib import Path

import pytest

from streamer.clock import SystemClock
from streamer.sandbox.certificates import certificates
from streamer.sandbox.server import Sandbox, SandboxSettings
from tests.configuration import sandbox_configuration, written
from tests.daemon import Daemon
from tests.waiting import until


@pytest.mark.parametrize("by_setting", [False, True])
async def test_login_rest_and_both_transports_need_that_root_alone(
    tmp_path: Path, *, by_setting: bool
) -> None:
    """As after a move to another authority, while the system knows no other; gRPC brings roots of its own."""
    files = certificates(tmp_path / "tls", ())
    stranger = certificates(tmp_path / "stranger", ())
    async with Sandbox(SystemClock(), settings=SandboxSettings(tls=files), pubsub_port=0) as sandbox:
        configuration = sandbox_configuration(sandbox.url, log={"sqlite": {"path": str(tmp_path / "log.db")}})
        configuration["org"]["pubsub"] = {"endpoint": sandbox.pubsub_address}
        if by_setting:
            configuration["org"]["pubsub"]["ca_file"] = str(files.authority)
        configuration["channels"][1]["transport"] = "pubsub"
        environ = {"SSL_CERT_FILE": str(files.authority), "SSL_CERT_DIR": str(tmp_path)}
        async with Daemon.running(written(tmp_path, configuration), environ=environ) as daemon:
            await daemon.started()

            async def are_subscribed() -> bool:
                return len(daemon.logged("channel.subscribed")) == 2

            await until(are_subscribed)
            assert await daemon.stop() == 0

        configuration["org"]["pubsub"]["ca_file"] = str(stranger.authority)
        async with Daemon.running(written(tmp_path, configuration), environ=environ) as daemon:
            await daemon.started()

            async def is_refused() -> bool:
                return "certificate" in daemon.output.lower() and bool(daemon.logged("channel.subscribed"))

            await until(is_refused)
            assert len(daemon.logged("channel.subscribed")) == 1
