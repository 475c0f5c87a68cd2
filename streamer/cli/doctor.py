"""The command `streamer doctor`."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as ProgressBar
from rich.text import Text

from streamer.cli.operating.api_command import api_command
from streamer.cli.output import CONFIGURATION, REFUSED, AsJson, Config, console, counted, plain, print_json
from streamer.clock import SystemClock
from streamer.doctor import Area, CheckStatus, Diagnosis, Doctor, Finding
from streamer.doctor.diagnosis import Progress
from streamer.events import JsonObject
from streamer.observe import logs

_STYLES = {
    CheckStatus.OK: "green",
    CheckStatus.WARNING: "yellow",
    CheckStatus.FAILED: "bold red",
    CheckStatus.SKIPPED: "dim",
}
_WIDTH = max(map(len, CheckStatus)) + 2
_AREA_WIDTH = max(map(len, Area)) + 2


@api_command
async def doctor(
    config: Config,
    only: Annotated[
        list[Area] | None,
        typer.Option(
            metavar="|".join(Area),
            help="Check only this part; repeat the option for several parts.  [default: all]",
        ),
    ] = None,
    timeout_s: Annotated[
        float,
        typer.Option(
            "--timeout", metavar="SECONDS", min=1, max=300, help="Longest duration of each check, in seconds."
        ),
    ] = 20.0,
    *,
    as_json: AsJson = False,
) -> None:
    """Check the configuration, the org, the log and the targets, and say how to fix each fault.

    The command changes nothing, and does not disturb a running daemon. It creates no
    topics or files, joins no consumer group, and neither reads nor sends events. It
    logs in to the org. It also makes a harmless call to each target, if the plugin
    offers such a call.

    Each check prints a line: ok, warning (the part works now, but can fail or lose
    events later), failed or skipped. The next line names the remedy.

    Exits 0 when nothing failed, even with warnings; 1 when a check failed; 2 for a
    mistake in the arguments or in the configuration.
    """
    # The findings contain the log lines of the parts, so the log stays quiet.
    logs.configure("auto", "error")
    with _bar() as progress:
        areas = frozenset(only or Area)
        examined = Doctor(clock=SystemClock(), areas=areas, timeout_s=timeout_s, progress=progress)
        diagnosis = await examined.diagnose(config)
    if as_json:
        print_json(diagnosis_json(diagnosis))
    else:
        _print(diagnosis)
    if not diagnosis.is_configured:
        raise typer.Exit(CONFIGURATION)
    if diagnosis.has_failed:
        raise typer.Exit(REFUSED)


@contextmanager
def _bar() -> Iterator[Progress]:
    """Show how many checks have ended, on a terminal."""
    shown = Console(stderr=True)
    columns = TextColumn("checking"), BarColumn(), MofNCompleteColumn()
    with ProgressBar(*columns, console=shown, transient=True, disable=not shown.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, most: bar.update(task, completed=done, total=most)


def _print(diagnosis: Diagnosis) -> None:
    shown = console()
    for each in diagnosis.findings:
        shown.print(_line(each), soft_wrap=True)
        if each.verdict.remedy:
            remedy = Text(f"{'':{_WIDTH}}→ ")
            shown.print(remedy.append_text(plain(each.verdict.remedy)), soft_wrap=True)
    counts = Counter(each.verdict.status for each in diagnosis.findings)
    told = ", ".join(f"{counts[status]} {status}" for status in CheckStatus if counts[status])
    shown.print(f"{counted(len(diagnosis.findings), 'finding')}: {told}.", soft_wrap=True)


def _line(finding: Finding) -> Text:
    status, found, _ = finding.verdict
    line = Text(f"{status:{_WIDTH}}", style=_STYLES[status])
    line.append(f"{finding.area:{_AREA_WIDTH}}", style="dim")
    name = "" if finding.name == finding.area else f"{finding.name}: "
    return line.append_text(plain(f"{name}{found}"))


def diagnosis_json(diagnosis: Diagnosis) -> JsonObject:
    """Return a diagnosis as `--json` prints it."""
    counts = Counter(each.verdict.status for each in diagnosis.findings)
    return {
        "findings": [
            {
                "status": str(each.verdict.status),
                "area": str(each.area),
                "check": each.name,
                "found": each.verdict.found,
                "remedy": each.verdict.remedy or None,
            }
            for each in diagnosis.findings
        ],
        "counts": {str(status): counts[status] for status in CheckStatus},
        "configuration_is_sound": diagnosis.is_configured,
    }
