"""Publishes the records of a large org that changes, and prints time, rate and memory."""

import argparse
import asyncio
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from tests.acceptance.volume.trial import Found, trial

_SHOWN = 10


def main() -> int:
    """Make one trial, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    records = parser.parse_args().records
    console = Console()
    with tempfile.TemporaryDirectory() as directory, Progress(console=console) as progress:
        bar = progress.add_task("rows", total=records)
        found = asyncio.run(
            trial(
                records,
                Path(directory),
                kills=True,
                progress=lambda rows: progress.update(bar, completed=rows),
            )
        )
    console.print(told(found))
    for difference in found.differences[:_SHOWN]:
        console.print(difference)
    return 1 if found.differences or found.snapshot["state"] != "full" else 0


def told(found: Found) -> str:
    """Return the figures of a trial in sentences."""
    rows = found.snapshot["published"]
    return (
        f"{rows:,} rows in {found.seconds:.0f} s, {rows / found.seconds:,.0f} a second, through a kill, "
        f"beside {found.changes:,} changes. Memory of the daemon: at most {max(found.memory_mb):.0f} MB. "
        f"The snapshot is {found.snapshot['state']}; records that differ: {len(found.differences)}."
    )


if __name__ == "__main__":
    raise SystemExit(main())
