"""Measures the CPU of starting a command, and the CPU and memory of an idle daemon."""

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.ingest.org import sandbox_process
from tests.bench.starting.results import Idle, Starts
from tests.bench.usage import cpu_s, resident_mb
from tests.configuration import sandbox_configuration, written
from tests.integration.guides.pages import block, page

_SECRETS = {
    "SF_CLIENT_ID": "id",
    "SF_CLIENT_SECRET": "secret",
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/x",
}
_NOTHING = ("-c", "pass")
# A daemon does not idle in its first seconds: it logs in, subscribes and reads its positions.
_SETTLED_S = 15.0


def starts_of(rounds: int, progress: Callable[[], object]) -> Starts:
    """Measure `streamer --help` and `check` beside an empty program, in turn; `progress` after each."""
    # Without its bytecode, each start would compile Streamer.
    environ = {**os.environ, **_SECRETS}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with TemporaryDirectory() as directory:
        configuration = Path(directory) / "streamer.yaml"
        configuration.write_text(block(page("README.md"), "yaml"), encoding="utf-8")
        programs = {
            "nothing": _NOTHING,
            "help": ("-m", "streamer", "--help"),
            "check": ("-m", "streamer", "check", "-c", str(configuration)),
        }
        for each in programs.values():
            _cpu_of(each, environ)
        used: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(rounds):
            for name, each in programs.items():
                used[name].append(_cpu_of(each, environ))
            progress()
    return Starts(nothing_s=used["nothing"], help_s=used["help"], check_s=used["check"])


async def idle_of(looked_s: float) -> Idle:
    """Measure a daemon with its log in SQLite and one subscriber for so long while nothing happens."""
    async with sandbox_process() as org:
        with TemporaryDirectory() as directory:
            configuration = sandbox_configuration(
                org.url,
                log={"sqlite": {"path": str(Path(directory) / "log.db")}},
                subscribers={"out": {"uses": "stdout", "on": "salesforce.cdc.Account.updated"}},
            )
            process = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-m",
                    "streamer",
                    "run",
                    "-c",
                    str(written(Path(directory), configuration)),
                ),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                await asyncio.sleep(_SETTLED_S)
                before = cpu_s(process.pid)
                await asyncio.sleep(looked_s)
                return Idle(
                    looked_s=looked_s,
                    cpu_s=cpu_s(process.pid) - before,
                    resident_mb=resident_mb(process.pid),
                )
            finally:
                process.terminate()
                await process.wait()


def _cpu_of(program: Sequence[str], environ: Mapping[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *program], env=environ, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
