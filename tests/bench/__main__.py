"""`make bench`: compares Streamer with other programs in the same run, on a real Kafka."""

import argparse
import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from streamer.observe import logs
from tests.bench.machine import described
from tests.bench.parts import FULL, PARTS, QUICK, Size, parts_of
from tests.bench.results import Results, Unequal

# Of a table that goes to a file.
_WIDTH = 120


def main() -> int:
    """Measure, show, and return 0 only if every event was committed, once."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small counts: whether it works, not how fast")
    parser.add_argument("--only", type=_parts, default=PARTS, metavar="PART,…", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each is measured, in turn")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    chosen = parser.parse_args()
    kafka = os.environ.get("STREAMER_KAFKA")
    if not kafka:
        parser.error("STREAMER_KAFKA names no broker: use `make bench`, which starts one")
    # A shell ignores it for what it starts in the background, and so would the processes that we interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The measured processes have logs of their own; here their lines would break up the progress bars.
    logs.configure("console", "error")
    size = QUICK if chosen.quick else FULL
    size = replace(size, rounds=chosen.rounds or size.rounds)
    try:
        results = asyncio.run(_measured(size, chosen.only, kafka))
    except Unequal as exc:
        print(exc, file=sys.stderr)  # noqa: T201 - for whoever called it
        return 1
    console = Console()
    results.show(console if console.is_terminal else Console(width=_WIDTH))
    if chosen.json:
        # Some results are by the number of keys.
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
        chosen.json.write_bytes(orjson.dumps(results.as_json(), option=options))
    return 0 if results.complete else 1


def _parts(text: str) -> list[str]:
    chosen = text.split(",")
    if unknown := sorted(set(chosen) - set(PARTS)):
        raise argparse.ArgumentTypeError(
            f"no part is named {', '.join(unknown)}: choose of {', '.join(PARTS)}"
        )
    return [name for name in PARTS if name in chosen]


async def _measured(size: Size, only: list[str], kafka: str) -> Results:
    machine = described()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # Drawing it more often would take CPU from what is measured.
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=2) as progress:
        return Results(machine=machine, parts=await parts_of(only, size, kafka, progress))


if __name__ == "__main__":
    sys.exit(main())
