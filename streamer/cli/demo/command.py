"""Options of `streamer demo`, and its first line.

The line appears before the import of the daemon and the sandbox, which takes several
times longer than everything before it.
"""

import os
import re
import shutil
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

FIRST_LINE = (
    "Streamer demo: a Salesforce org, Streamer, an ERP, a fulfilment service and Slack, all on this machine."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoArguments:
    """Arguments of the command."""

    for_s: float | None
    report: Path | None
    svg: Path | None
    rate: float
    kafka: str | None
    opens_browser: bool


def seconds(text: str) -> float:
    """Return the seconds in `text`: `20s`, `5m`, `1h` or a plain number. Raises `typer.BadParameter`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)?", text)
    if not match or not float(match[1]):
        raise typer.BadParameter("write a duration such as 20s, 5m or 1h")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2] or "s"]


def writable(path: Path | None) -> Path | None:
    """Return `path`; raise `typer.BadParameter` if the file can't be written."""
    if path is not None and (path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK)):
        raise typer.BadParameter(f"{path} can't be written: name a file in a folder that you can write to")
    return path


ReportFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", callback=writable, help="Write the counts to this JSON file.  [default: none]"
    ),
]
PictureFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        callback=writable,
        help="Draw the demo into this SVG file, as an animation.  [default: none]",
    ),
]


def demo(
    *,
    for_: Annotated[
        float | None,
        typer.Option(
            "--for",
            parser=seconds,
            metavar="DURATION",
            help="Stop after this duration, such as 20s, 5m or 1h.  [default: at Ctrl-C]",
        ),
    ] = None,
    report: ReportFile = None,
    svg: PictureFile = None,
    rate: Annotated[
        float,
        typer.Option(min=0.1, max=500, metavar="NUMBER", help="Number of changes per second in the org."),
    ] = 20.0,
    kafka: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Keep the log in Kafka at this address.  [default: SQLite]"),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Do not open the web console in a browser.")
    ] = False,
) -> None:
    """Show the whole flow on this machine: a local org, the daemon and its targets.

    The demo's org wins opportunities. Each opportunity gets an invoice in the ERP,
    then a shipment. Then Salesforce gets the numbers of the invoice and the
    shipment. Slack announces large opportunities. After 12 seconds, the ERP goes
    down for ten seconds, and fulfilment rejects one shipment for good. In a short
    demo, the outage and the rejection happen earlier. On a desktop, the demo opens
    the web console in a browser. A slow machine wins fewer opportunities. At the
    end, the demo waits for late deliveries. The demo exits 0 only if every event
    arrived, the log holds no event twice, every step happened once and in its order,
    and only the rejected shipment became a dead letter.
    """
    _say_first_line()
    from streamer.cli.demo.playing import play  # noqa: PLC0415 - the first line must not wait for it

    play(
        DemoArguments(
            for_s=for_, report=report, svg=svg, rate=rate, kafka=kafka, opens_browser=not no_browser
        )
    )


def _say_first_line() -> None:
    line = FIRST_LINE
    if sys.stdout.isatty():
        line = textwrap.fill(line, shutil.get_terminal_size().columns)
    # Write both parts at once: a reader such as `head -1`, which ends after the first line, must not break
    # this write.
    typer.echo(f"{line}\nStarting: the code", nl=False)
