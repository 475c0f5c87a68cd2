"""The command `streamer support-bundle`."""

import zipfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from streamer.app.plan import effective, plan
from streamer.cli.doctor import diagnosis_json
from streamer.cli.operating.api_command import ApiOptions, api_command
from streamer.cli.output import console
from streamer.clock import SystemClock
from streamer.configuration import load_document
from streamer.doctor import Area, Doctor
from streamer.errors import ConfigurationError, StreamerError
from streamer.events import JsonObject
from streamer.observe import logs
from streamer.observe.redaction import masked

_LONGEST = 64 * 1024 * 1024
_CHECK_S = 20.0


@dataclass(slots=True)
class _Bundle:
    """Files of a bundle by name, and the reasons for missing files."""

    files: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    async def add(self, name: str, made: Callable[[], Awaitable[Mapping[str, str]]]) -> None:
        """Add the files that `made` returns, or record why they are missing."""
        try:
            self.files.update(await made())
        except StreamerError as error:
            self.missing[name] = str(error)

    def write(self, path: Path) -> None:
        """Write the archive. Raises `ConfigurationError` if the file can't be created."""
        told = "".join(f"{name}: {reason}\n" for name, reason in self.missing.items())
        files = self.files | ({"missing.txt": told} if told else {})
        try:
            with zipfile.ZipFile(path, "x", compression=zipfile.ZIP_DEFLATED) as archive:
                for name, text in files.items():
                    # Each part has masked its secrets already. This mask is the last one before the
                    # archive leaves the machine.
                    archive.writestr(name, "\n".join(map(_safe, text.splitlines())) + "\n")
        except OSError as error:
            raise ConfigurationError(f"--output: {path} can't be created ({error.strerror})") from None


@api_command
async def support_bundle(
    where: ApiOptions,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File name of the archive.  [default: streamer-support-TIME.zip]",
        ),
    ] = None,
) -> None:
    """Collect diagnostics for support in one archive, without secrets and without events.

    With -c, the archive holds the doctor's findings and the masked configuration.
    If the daemon runs, the archive also holds the daemon's probes, last 1,000 log
    lines, stacks of threads and tasks, and metrics. The file missing.txt names the
    missing parts.

    Read the archive before you pass it on, because log lines name channels,
    subscribers and hosts.

    Exits 0 when the archive was made, 2 for a mistake in the arguments.
    """
    logs.configure("auto", "error")
    path = output or Path(f"streamer-support-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.zip")
    bundle = _Bundle()
    errors = Console(stderr=True, highlight=False)
    with errors.status("Gathering …"):
        await bundle.add("daemon", lambda: _of_daemon(where))
        await bundle.add("configuration.yaml", lambda: _configuration(where.config or []))
        await bundle.add("doctor.json", lambda: _examined(where.config or []))
    bundle.write(path)
    for name, reason in bundle.missing.items():
        errors.print(f"The archive lacks {name}: {reason}", markup=False, soft_wrap=True)
    console().print(
        f"The archive {path} holds {', '.join(bundle.files) or 'nothing'}.", markup=False, soft_wrap=True
    )


async def _of_daemon(where: ApiOptions) -> Mapping[str, str]:
    told = await where.api().get("/support")
    return {
        "daemon/versions.json": _json(told["versions"]),
        "daemon/health.json": _json(told["health"]),
        "daemon/stacks.txt": "\n".join(told["stacks"]),
        "daemon/metrics.txt": told["metrics"],
        "daemon/log.txt": "\n".join(told["log"]),
    }


async def _configuration(files: list[Path]) -> Mapping[str, str]:
    return {"configuration.yaml": effective(plan(load_document(_named(files)), SystemClock()))}


async def _examined(files: list[Path]) -> Mapping[str, str]:
    doctor = Doctor(
        clock=SystemClock(), areas=frozenset(Area), timeout_s=_CHECK_S, progress=lambda _done, _most: None
    )
    return {"doctor.json": _json(diagnosis_json(await doctor.diagnose(_named(files))))}


def _named(files: list[Path]) -> list[Path]:
    if not files:
        raise ConfigurationError("name the configuration with -c")
    return files


def _json(value: JsonObject) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _safe(line: str) -> str:
    return masked(line, _LONGEST)
