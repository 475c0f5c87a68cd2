"""The start says which log is in use."""

from pathlib import Path

from structlog.testing import capture_logs

from streamer.app.assembly import open_log
from streamer.clock import SystemClock
from streamer.observe.process import Pulses
from streamer.settings import LogSettings, SqliteLogSettings
from tests.unit.app.test_dispatching import World


async def test_start_tells_the_file_of_the_log(tmp_path: Path) -> None:
    """With its whole path, from wherever the daemon was started."""
    path = tmp_path / "streamer.db"
    log = LogSettings(sqlite=SqliteLogSettings(path=path))
    settings = World().plan().settings.model_copy(update={"log": log})
    clock = SystemClock()
    with capture_logs() as lines:
        async with open_log(settings, clock, Pulses(clock)):
            pass

    assert {"event": "log.opened", "log_level": "info", "sqlite": str(path)} in lines
