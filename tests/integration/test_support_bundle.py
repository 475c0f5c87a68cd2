"""One archive for a person who is to help, from a running daemon and from one that is gone."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests import commands
from tests.configuration import sandbox_configuration, written
from tests.daemon import Daemon
from tools.ports import free_ports

SECRET = "hook-secret-that-nobody-may-see-4711"
FILES = {
    "daemon/versions.json",
    "daemon/health.json",
    "daemon/stacks.txt",
    "daemon/metrics.txt",
    "daemon/log.txt",
    "configuration.yaml",
    "doctor.json",
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A daemon whose org is away, with a secret in its configuration."""
    log = {"sqlite": {"path": str(tmp_path / "log.db")}}
    hook: dict[str, Any] = {
        "uses": "webhook",
        "on": "salesforce.*",
        "settings": {"url": "http://localhost:9/", "auth": {"kind": "bearer", "token": SECRET}},
    }
    configuration = sandbox_configuration("http://localhost:9", log=log, subscribers={"hook": hook})
    return written(tmp_path, configuration | {"admin": {"port": free_ports(1)[0]}})


async def bundled(config: Path) -> tuple[int, dict[str, str]]:
    """Run the command; return its exit status and the texts of the archive by name."""
    archive = config.parent / "bundle.zip"
    with (config.parent / "bundle.output").open("wb") as output:
        process = await commands.start(
            "support-bundle", "-c", str(config), "-o", str(archive), stdout=output, stderr=output
        )
        status = await process.wait()
    assert archive.exists(), (config.parent / "bundle.output").read_text()
    with zipfile.ZipFile(archive) as files:
        return status, {name: files.read(name).decode() for name in files.namelist()}


async def test_bundle_of_a_running_daemon_has_everything_and_no_secret(config: Path) -> None:
    """Probes, log lines, stacks, metrics, the doctor's findings and the configuration are there."""
    async with Daemon.running(config) as daemon:
        await daemon.started()
        status, files = await bundled(config)
        assert await daemon.stop() == 0

    assert status == 0
    assert files.keys() == FILES
    assert "daemon.started" in files["daemon/log.txt"]
    assert "streamer_build_info" in files["daemon/metrics.txt"]
    assert "thread MainThread" in files["daemon/stacks.txt"]
    assert json.loads(files["daemon/health.json"])["readiness"]["checks"]["connections"]["ok"] is False
    assert {each["status"] for each in json.loads(files["doctor.json"])["findings"]} >= {"failed", "ok"}
    assert [name for name, text in files.items() if SECRET in text] == []


async def test_bundle_says_what_is_missing_where_no_daemon_runs(config: Path) -> None:
    """That is when help is needed most."""
    status, files = await bundled(config)

    assert status == 0
    assert files.keys() == {"configuration.yaml", "doctor.json", "missing.txt"}
    assert files["missing.txt"].startswith("daemon: ")
