"""Pipes, folders, devices and endless files in place of a file that the configuration names."""

import asyncio
import shlex
import sys
from asyncio.subprocess import PIPE, STDOUT
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from tests import commands
from tests.configuration import sandbox_configuration, written
from tests.daemon import Daemon
from tests.unfit_files import REASONS, unfit_file
from tests.waiting import limited, until

_MISUSED = 2


def places(folder: Path, kind: str) -> tuple[dict[str, Any], dict[str, Path]]:
    """Return a configuration, and the path at each of its keys that names a file."""
    named: dict[str, Path] = {}
    paths = (unfit_file(folder / f"{kind}-{number}", kind) for number in count(1))

    def files(at: str, *keys: str) -> dict[str, str]:
        named.update((f"{at}.{key}", next(paths)) for key in keys)
        return {key: str(named[f"{at}.{key}"]) for key in keys}

    def content(at: str) -> dict[str, str]:
        named[at] = next(paths)
        return {"file": str(named[at])}

    configuration = {
        "org": {
            "login_url": "https://acme.my.salesforce.com",
            "auth": {
                "flow": "client_credentials",
                "client_id": "x",
                "client_secret": content("org.auth.client_secret"),
            },
            "pubsub": files("org.pubsub", "ca_file"),
        },
        "channels": [{"path": "/data/ChangeEvents", "transport": "pubsub"}],
        "log": {
            "kafka": {
                "bootstrap_servers": "localhost:9",
                "security": {
                    "protocol": "SSL",
                    **files("log.kafka.security", "ca_file", "certificate_file", "key_file"),
                },
            }
        },
        "outbound": {
            "tls": files("outbound.tls", "certificate_file", "key_file", "client_ca_file"),
            "messages": {"leads": {}},
        },
        "tracing": {"otlp": {"endpoint": "https://localhost:4318", **files("tracing.otlp", "ca_file")}},
        "subscribers": {
            "hook": {
                "uses": "webhook",
                "on": "*",
                "when": content("subscribers.hook.when"),
                "settings": {
                    "url": "https://localhost:9/",
                    **files("subscribers.hook.settings", "ca_file"),
                    "client_certificate": files(
                        "subscribers.hook.settings.client_certificate", "certificate_file", "key_file"
                    ),
                },
            },
            "broker": {
                "uses": "mqtt",
                "on": "*",
                "settings": {
                    "url": "mqtts://localhost:9",
                    "topic": "x",
                    **files("subscribers.broker.settings", "ca_file"),
                },
            },
            "copy": {
                "uses": "kafka",
                "on": "*",
                "settings": {
                    "bootstrap_servers": "localhost:9",
                    "topic": "x",
                    "security": {"protocol": "SSL", **files("subscribers.copy.settings.security", "ca_file")},
                },
            },
        },
    }
    return configuration, named


async def said(*arguments: str) -> tuple[int, str]:
    """Return the exit status of a command, and what it says on both streams."""
    process = await commands.start(*arguments, stdout=PIPE, stderr=PIPE)
    try:
        async with limited(f"the end of streamer {' '.join(arguments)}", 120):
            output, error = await process.communicate()
    finally:
        process.kill()
    return await process.wait(), (output + error).decode()


@pytest.mark.parametrize("command", ["check", "run", "doctor"])
@pytest.mark.parametrize("kind", REASONS)
async def test_each_place_that_names_no_file_is_told(tmp_path: Path, command: str, kind: str) -> None:
    """Nothing waits for a pipe, and nothing is read that has no end."""
    configuration, named = places(tmp_path, kind)

    status, told = await said(command, "-c", str(written(tmp_path, configuration)))

    assert status == _MISUSED, told
    lines = told.splitlines()
    missing = [
        key
        for key, path in named.items()
        if not any(key in line and str(path) in line and REASONS[kind] in line for line in lines)
    ]
    assert not missing, told


@pytest.mark.parametrize("command", ["check", "run", "doctor"])
@pytest.mark.parametrize("kind", REASONS)
async def test_configuration_that_is_no_file_is_told(tmp_path: Path, command: str, kind: str) -> None:
    """Nothing waits for a pipe, and nothing is read that has no end."""
    path = unfit_file(tmp_path / kind, kind)

    status, told = await said(command, "-c", str(path))

    assert status == _MISUSED
    assert str(path) in told
    assert REASONS[kind] in told


async def test_configuration_comes_through_the_shells_pipe(tmp_path: Path) -> None:
    """A pipe that the shell opened has a writer, so it can be read to its end."""
    sound = sandbox_configuration("http://localhost:9", log={"sqlite": {"path": str(tmp_path / "log.db")}})
    config = written(tmp_path, sound)
    streamer = shlex.join([sys.executable, "-m", "streamer", "check", "-c"])

    for command in (f"{streamer} <(cat {config})", f"cat {config} | {streamer} /dev/stdin"):
        process = await asyncio.create_subprocess_exec("bash", "-c", command, stdout=PIPE, stderr=STDOUT)
        told, _ = await process.communicate()
        assert process.returncode == 0, told.decode()


@pytest.mark.parametrize("kind", REASONS)
async def test_reload_refuses_what_is_no_file(tmp_path: Path, kind: str) -> None:
    """The daemon keeps its former configuration."""
    async with Sandbox(SystemClock()) as sandbox:
        sound = sandbox_configuration(sandbox.url, log={"sqlite": {"path": str(tmp_path / "log.db")}})
        await refuses(written(tmp_path, sound), sound, unfit_file(tmp_path / kind, kind), REASONS[kind])


async def refuses(config: Path, sound: dict[str, Any], path: Path, reason: str) -> None:
    """See a daemon refuse a subscriber with that path, and go on."""
    async with Daemon.running(config, reads_nonsense=True) as daemon:
        await daemon.ready()
        settings = {"url": "https://localhost:9/", "ca_file": str(path)}
        hook = {"uses": "webhook", "on": "*", "settings": settings}
        written(config.parent, {**sound, "subscribers": {"hook": hook}})
        daemon.hang_up()

        [refused] = await until(lambda: daemon.logged("configuration.refused"))
        assert "subscribers.hook.settings.ca_file" in refused["reason"]
        assert reason in refused["reason"]
        assert (await daemon.probe("healthz"))[0] == 200
        assert await daemon.stop() == 0
