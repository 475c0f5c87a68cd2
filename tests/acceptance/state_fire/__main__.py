"""Play random histories of an org on a real Kafka, and compare the org with the topics of states.

While the org changes, daemons are killed, stopped and frozen, local copies are lost or damaged, the broker
fails, partitions are added, and the topics are compacted. A seed that fails can be run alone again.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.acceptance.fire.cabling import kafka
from tests.acceptance.state_fire.trial import DAEMONS, trial


def main() -> int:
    """Run the trials that were asked for; return 0 only if the topics are right after each."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.state_fire", description=__doc__)
    parser.add_argument("--begin", type=int, default=1, metavar="S", help="first seed (1)")
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="number of seeds (20)")
    parser.add_argument("--beside", type=int, default=1, metavar="N", help="trials at the same time (1)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the daemons' output in DIR")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="streamer-state-fire-") as name:
        directory = chosen.keep or Path(name)
        failed = asyncio.run(_run(range(chosen.begin, chosen.begin + chosen.seeds), chosen.beside, directory))
    if failed:
        again = f"python -m tests.acceptance.state_fire --begin {failed[0]} --seeds 1"
        Console().print(f"Wrong: seeds {failed}. Run one again: {again}")
        return 1
    Console().print(f"The topics were right after all {chosen.seeds} trials.", style="green")
    return 0


async def _run(seeds: range, beside: int, directory: Path) -> list[int]:
    failed: list[int] = []
    waiting = iter(seeds)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("trials", total=len(seeds))

        async def work() -> None:
            async with kafka(brokers=1, cables=DAEMONS) as running:
                for seed in waiting:
                    began = time.monotonic()
                    verdict = await trial(seed, running, directory / f"seed-{seed}")
                    failed.extend([seed] if verdict.wrong else [])
                    line = f"seed {seed} in {time.monotonic() - began:.0f} s: {verdict}"
                    progress.console.print(line, highlight=False, markup=False, soft_wrap=True)
                    progress.advance(task)

        async with asyncio.TaskGroup() as group:
            for _ in range(beside):
                group.create_task(work())
    return sorted(failed)


if __name__ == "__main__":
    sys.exit(main())
