"""A slow start logs what it waits for."""

from importlib.metadata import version
from pathlib import Path

import orjson

from streamer import DISTRIBUTION
from tests.configuration import sandbox_configuration, written
from tests.daemon import Daemon


async def test_first_line_says_which_version_begins_with_which_files(tmp_path: Path) -> None:
    """An operator of a slow node sees it long before the daemon listens."""
    log = {"sqlite": {"path": str(tmp_path / "log.db")}}
    config = written(tmp_path, sandbox_configuration("http://localhost:9", log=log))
    async with Daemon.running(config, "--role", "ingest") as daemon:
        await daemon.started()

    first = orjson.loads(daemon.output.splitlines()[0])
    assert first["event"] == "daemon.starting"
    assert (first["version"], first["role"]) == (version(DISTRIBUTION), "ingest")
    assert first["files"] == [str(config)]
