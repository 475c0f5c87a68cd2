"""`streamer snapshot start` shows the cost and any refusal before it orders the snapshot."""

import asyncio
from pathlib import Path

from typer.testing import CliRunner, Result

from streamer.app.daemon import App
from streamer.cli import app
from streamer.clock import SystemClock
from streamer.sandbox import Sandbox, SandboxSettings, User
from tests.configuration import CHANGES, sandbox_configuration, written
from tests.in_process import running
from tests.waiting import until

CLERK = {
    "username": "clerk@acme.example",
    "client_id": "clerk",
    "client_secret": "clerk-secret",
    "objects": {"Account": ["read", "view_all"]},
}


async def start(daemon: App, *arguments: str) -> Result:
    """Call `snapshot start` in another thread, while this one serves the API."""
    words = ["snapshot", "start", *arguments, "--url", f"http://localhost:{daemon.supervising.ports.admin}"]
    return await asyncio.to_thread(CliRunner(env={"NO_COLOR": "1"}).invoke, app, words)


async def test_snapshot_is_forecast_by_the_org_itself(tmp_path: Path) -> None:
    """Each mistake is told with its place, and costs no order."""
    settings = SandboxSettings(users=(User.model_validate(CLERK),))
    async with Sandbox(SystemClock(), settings=settings) as sandbox:
        with sandbox.org.transaction() as transaction:
            for number in range(3):
                transaction.create("Account", {"Name": f"Acme {number}"})
        log = {"sqlite": {"path": str(tmp_path / "log.db")}}
        configuration = sandbox_configuration(sandbox.url, log=log, subscribers={}, channels=[CHANGES])
        configuration["org"]["auth"] |= {"client_id": "clerk", "client_secret": "clerk-secret"}
        async with running(written(tmp_path, configuration)) as daemon:
            mistakes = {
                "the object Lead: ": ["Lead"],
                "the fields: Account has no field Nome": ["Account", "--fields", "Name,Nome"],
                "the condition: ": ["Account", "--where", "Nome = 'x'"],
            }
            for place, arguments in mistakes.items():
                refused = await start(daemon, *arguments, "--yes")
                assert refused.exit_code == 1, refused.output
                assert f"Salesforce refuses this snapshot: {place}" in " ".join(refused.output.split())
            await until(
                lambda: daemon.observers.metrics.registry.get_sample_value(
                    "streamer_org_limit_remaining", {"limit": "DailyApiRequests"}
                )
            )
            done = await start(daemon, "Account", "--where", "Name != 'Acme 0'", "--since", "1h", "--yes")

            assert done.exit_code == 0, done.output
            assert (
                "The snapshot reads 2 records over REST: about 5 requests (less than 0.1% of" in done.output
            )


async def test_snapshots_of_several_objects_are_ordered_together(tmp_path: Path) -> None:
    """After one question; a mistake in one of them orders none."""
    async with Sandbox(SystemClock()) as sandbox:
        log = {"sqlite": {"path": str(tmp_path / "log.db")}}
        configuration = sandbox_configuration(sandbox.url, log=log, subscribers={}, channels=[CHANGES])
        async with running(written(tmp_path, configuration)) as daemon:
            refused = await start(daemon, "Account", "Acount", "--yes")
            assert refused.exit_code == 1, refused.output
            assert "is ordered" not in refused.output
            done = await start(daemon, "Account", "Contact", "Account", "--yes")

    assert done.exit_code == 0, done.output
    assert done.output.count(" is ordered in ") == 2
    assert "Contact: The snapshot reads 0 records" in done.output
