"""The archive for support, with a running daemon and without one."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests import commands
from tests.configuration import sandbox_configuration, written
from tests.daemon import Daemon
from tools.ports import free_ports

SECRET = "hook-secret-that-nobody-may-see-4711"
SHORT = "4711xy"
"""A secret that is too short to be taken out of texts: only its place in the configuration tells."""
SESSION = "00D000000000001!a.session_of.another.process"
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
def port() -> int:
    """Return the port of the admin API."""
    return free_ports(1)[0]


@pytest.fixture
def config(tmp_path: Path, port: int) -> Path:
    """A daemon whose org is away, with secrets in its configuration."""
    log = {"sqlite": {"path": str(tmp_path / "log.db")}}
    hook: dict[str, Any] = {
        "uses": "webhook",
        "on": "salesforce.*",
        "settings": {
            "url": "http://localhost:9/",
            "auth": {"kind": "bearer", "token": SECRET},
            "headers": {"X-Tenant": SHORT},
        },
    }
    configuration = sandbox_configuration("http://localhost:9", log=log, subscribers={"hook": hook})
    return written(tmp_path, configuration | {"admin": {"port": port}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundled:
    """The end of the command: its exit status, its output, and the texts of the archive by name."""

    status: int
    output: str
    files: dict[str, str]


async def bundled(config: Path) -> Bundled:
    """Run the command."""
    archive = config.parent / "bundle.zip"
    told = config.parent / "bundle.output"
    with told.open("wb") as output:
        process = await commands.start(
            "support-bundle", "-c", str(config), "-o", str(archive), stdout=output, stderr=output
        )
        status = await process.wait()
    assert archive.exists(), told.read_text()
    with zipfile.ZipFile(archive) as files:
        texts = {name: files.read(name).decode() for name in files.namelist()}
    return Bundled(status=status, output=told.read_text(), files=texts)


async def test_bundle_of_a_running_daemon_has_everything_and_no_secret(config: Path) -> None:
    """Probes, log lines, stacks, metrics, the doctor's findings and the configuration are there."""
    async with Daemon.running(config) as daemon:
        await daemon.started()
        bundle = await bundled(config)
        assert await daemon.stop() == 0

    files = bundle.files
    assert bundle.status == 0
    assert files.keys() == FILES
    assert "daemon.started" in files["daemon/log.txt"]
    assert "streamer_build_info" in files["daemon/metrics.txt"]
    assert "thread MainThread" in files["daemon/stacks.txt"]
    assert json.loads(files["daemon/health.json"])["readiness"]["checks"]["connections"]["ok"] is False
    assert {each["status"] for each in json.loads(files["doctor.json"])["findings"]} >= {"failed", "ok"}
    assert [name for name, text in files.items() if SECRET in text or SHORT in text] == []
    assert "X-Tenant: '***'" in files["configuration.yaml"]


async def test_bundle_says_what_is_missing_where_no_daemon_runs(config: Path) -> None:
    """That is when help is needed most."""
    bundle = await bundled(config)

    assert bundle.status == 0
    assert bundle.files.keys() == {"configuration.yaml", "doctor.json", "missing.txt"}
    assert bundle.files["missing.txt"].startswith("daemon: ")
    assert "The archive lacks daemon: " in bundle.output


async def test_what_another_process_says_is_masked_once_more(config: Path, port: int) -> None:
    """An older daemon, or a proxy before it, can say a secret at any place of its answer."""
    said = f"{SECRET} and {SESSION}"
    answer = {
        "versions": {"a": said},
        "health": {"b": said},
        "stacks": [said],
        "metrics": said,
        "log": [said],
    }

    async def support(_: web.Request) -> web.Response:
        return web.json_response(answer)

    app = web.Application()
    app.router.add_get("/support", support)
    server = TestServer(app, host="localhost", port=port)
    async with server:
        bundle = await bundled(config)

    for name in FILES - {"configuration.yaml", "doctor.json"}:
        assert "*** and ***" in bundle.files[name], name
