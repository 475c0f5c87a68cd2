"""`make fire`: runs many trials, and names each seed that fails, so that it can run again alone."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.acceptance.fire.cabling import kafka
from tests.acceptance.fire.findings import Findings
from tests.acceptance.fire.schedule import CLUSTER, profile_of, schedule
from tests.acceptance.fire.trial import trial

_CABLES = CLUSTER.daemons


def main() -> int:
    """Run the trials that were asked for; return 0 only if every promise was kept in each."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.fire", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="run the seeds 1 to N (20)")
    parser.add_argument(
        "--seed", type=int, action="append", metavar="S", help="run this seed; may be repeated"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the daemons' output in DIR")
    chosen = parser.parse_args()
    seeds = chosen.seed or range(1, chosen.seeds + 1)
    with _directory(chosen.keep) as directory:
        failed = asyncio.run(_run(seeds, directory))
    return 1 if failed else 0


async def _run(seeds: Sequence[int], directory: Path) -> list[int]:
    failed: list[int] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("trials", total=len(seeds))
        # Starting brokers takes longer than a trial, so the trials share them.
        for brokers in dict.fromkeys(profile_of(seed).brokers for seed in seeds):
            async with kafka(brokers=brokers, cables=_CABLES) as running:
                for seed in [seed for seed in seeds if profile_of(seed).brokers == brokers]:
                    began = time.monotonic()
                    findings = await trial(seed, running, _made(directory / f"seed-{seed}"))
                    _tell(progress.console, seed, findings, time.monotonic() - began)
                    failed += [] if findings.ok else [seed]
                    progress.advance(task)
    _conclude(Console(), len(seeds), failed)
    return failed


def _tell(console: Console, seed: int, findings: Findings, seconds: float) -> None:
    told = f"seed {seed}, {profile_of(seed).name}: {findings} ({seconds:.0f} s)"
    console.print(told, highlight=False, markup=False, soft_wrap=True)
    if not findings.ok:
        for fault in schedule(seed):
            console.print(f"    {fault}", highlight=False, markup=False)
        for sentence in findings.broken:
            console.print(f"  BROKEN: {sentence}", highlight=False, markup=False, soft_wrap=True, style="red")


def _conclude(console: Console, total: int, failed: Sequence[int]) -> None:
    if not failed:
        console.print(f"All {total} trials kept every promise.", style="green")
        return
    console.print(f"{len(failed)} of {total} trials broke a promise. Run one again:", style="red")
    for seed in failed:
        console.print(f"  make fire ARGS='--seed {seed} --keep /tmp/seed-{seed}'", highlight=False)


@contextmanager
def _directory(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="streamer-fire-") as name:
        yield Path(name)


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


if __name__ == "__main__":
    sys.exit(main())
