"""The command: its lines, its JSON and its exit status."""

import json
import os
import pty
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from streamer.clock import SystemClock
from streamer.sandbox import OrgSetup, Sandbox, SandboxSettings, parse_schema
from tests import commands
from tests.configuration import over_pubsub, sandbox_configuration, written
from tests.daemon import Daemon

SCHEMA = parse_schema({"channels": {"ChangeEvents": {"Account": []}}})


async def doctor(config: Path, *arguments: str) -> tuple[int, str, str]:
    """Return the exit status of `streamer doctor`, what it printed, and what it said on standard error."""
    process = await commands.start("doctor", "-c", str(config), *arguments, stdout=PIPE, stderr=PIPE)
    output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def test_beside_a_running_daemon_nothing_is_disturbed(tmp_path: Path) -> None:
    """Its log is in use, and that does not count as a fault."""
    settings = SandboxSettings(org=OrgSetup(schema=SCHEMA))
    async with Sandbox(SystemClock(), settings=settings) as sandbox:
        log = {"sqlite": {"path": str(tmp_path / "log.db")}}
        config = written(tmp_path, sandbox_configuration(sandbox.url, log=log))
        async with Daemon.running(config) as daemon:
            await daemon.ready()
            status, output, errors = await doctor(config)
            await daemon.ready()
            assert daemon.runs
            assert "session.delayed" not in daemon.output

    lines = output.splitlines()
    assert status == 0, output
    assert not errors
    assert lines[0].split(maxsplit=2) == [
        "ok",
        "configuration",
        "the configuration has no mistake: 2 channels, the log in SQLite, 0 subscribers",
    ]
    assert f"warning  log            SQLite owner: process {daemon.pid} holds the log" in output
    assert lines[lines.index(next(each for each in lines if "SQLite owner" in each)) + 1].startswith(
        "         → "
    )
    assert " 1 warning" in lines[-1]


async def test_fault_ends_with_status_1_and_json_names_it(tmp_path: Path) -> None:
    """Only the parts that are asked for are looked at."""
    configuration = sandbox_configuration(
        "http://localhost:9", log={"sqlite": {"path": str(tmp_path / "x.db")}}
    )
    config = written(tmp_path, configuration)
    status, output, errors = await doctor(config, "--json", "--only", "org", "--only", "log")
    answer = json.loads(output)

    assert (status, errors) == (1, "")
    assert {each["area"] for each in answer["findings"]} == {"org", "log"}
    (failed,) = (each for each in answer["findings"] if each["status"] == "failed")
    assert (failed["check"], failed["remedy"]) == ("login", "check org.login_url")
    assert answer["counts"] == {"ok": 3, "warning": 0, "failed": 1, "skipped": 5}
    assert answer["configuration_is_sound"]
    assert "sandbox-secret" not in output


async def test_grpc_writes_no_lines_of_its_own(tmp_path: Path) -> None:
    """The finding already reports a failed handshake, in words of an operator."""
    async with Sandbox(SystemClock(), pubsub_port=0) as sandbox:
        log = {"sqlite": {"path": str(tmp_path / "x.db")}}
        configuration = over_pubsub(sandbox_configuration(sandbox.url, log=log), sandbox.pubsub_address)
        # Without http://, this asks for TLS, which the port does not speak.
        configuration["org"]["pubsub"]["endpoint"] = sandbox.pubsub_address
        status, output, errors = await doctor(written(tmp_path, configuration), "--only", "channels")

    assert (status, errors) == (1, "")
    assert "the server does not use TLS" in output


@pytest.mark.parametrize(
    ("content", "arguments", "said"),
    [
        ("channels: 5\n", [], "failed   configuration  "),
        (None, [], "can't be read"),
        ("channels: 5\n", ["--only", "weather"], ""),
    ],
)
async def test_mistake_ends_with_status_2(
    tmp_path: Path, content: str | None, arguments: list[str], said: str
) -> None:
    """As of every command."""
    config = tmp_path / "streamer.yaml"
    if content is not None:
        config.write_text(content)
    status, output, _ = await doctor(config, *arguments)

    assert status == 2
    assert said in output


async def test_terminal_shows_progress_and_obeys_no_color(tmp_path: Path) -> None:
    """Each status has its colour."""
    configuration = sandbox_configuration(
        "http://localhost:9", log={"sqlite": {"path": str(tmp_path / "x.db")}}
    )
    config = written(tmp_path, configuration)
    shown = {}
    for no_color in ("", "1"):
        controller, terminal = pty.openpty()
        process = await commands.start(
            *("doctor", "-c", str(config), "--only", "log"),
            stdout=terminal, stderr=terminal, environ={"NO_COLOR": no_color, "TERM": "xterm-256color"},
        )  # fmt: skip
        await process.wait()
        shown[no_color] = os.read(controller, 1 << 16)
        os.close(controller)
        os.close(terminal)

    assert b"\x1b[32mok" in shown[""]
    assert b"\x1b[32m" not in shown["1"]
    assert all(b"checking" in each for each in shown.values())
