"""`make mutants`: breaks a copy of Streamer on purpose, and checks that a test finds it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

_ROOT = Path(__file__).parents[3]
_COPIED = ("streamer", "subscribers", "tests", "tools", "pyproject.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """A mistake: `old` becomes `new` in `file`, and one of `seeds` of the fault bench must show it.

    Or else `test`, where a bench would have to be lucky.
    """

    name: str
    file: str
    old: str
    new: str
    seeds: Sequence[int] = ()
    test: str = ""

    def apply(self, root: Path) -> None:
        """Make the mistake in the copy at `root`; `ValueError` when the code is no longer what it was."""
        path = root / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} does not hold what {self.name!r} changes: adapt the mutation")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


MUTATIONS = (
    Mutation(
        name="the checkpoint is read before init_transactions",
        file="streamer/log/kafka/append/session.py",
        old="""\
            self._transactions.begin(deadline - self._clients.clock.monotonic())
            self._committed = self._checkpoints.read(self._partition, self._errors, deadline)
""",
        new="""\
            self._committed = self._checkpoints.read(self._partition, self._errors, deadline)
            self._transactions.begin(deadline - self._clients.clock.monotonic())
""",
        test="tests/integration/kafka/test_session.py"
        "::test_former_owner_writes_nothing_behind_what_the_next_one_has_read",
    ),
    Mutation(
        name="the checkpoint is written outside the transaction",
        file="streamer/log/kafka/append/session.py",
        old="""\
                self._transactions.write(batches(records, self._stride, suspects), deadline)
""",
        new="""\
                inside = [each for each in records if each.topic != self._names.checkpoints]
                self._transactions.write(batches(inside, self._stride, suspects), deadline)
                outside = [each for each in records if each.topic == self._names.checkpoints]
                self._transactions.write([outside], deadline)
""",
        seeds=range(1, 20),
    ),
    Mutation(
        name="offsets are committed past an incomplete delivery",
        file="streamer/dispatch/partition_progress.py",
        old="prefix = self._open[0] if self._open else self._through",
        new="prefix = self._through",
        seeds=range(1, 20),
    ),
    Mutation(
        name="receipts are written without the offsets that cover them",
        file="streamer/log/kafka/cluster/transactions.py",
        old="            if offsets:\n",
        new="""\
            if offsets and not any(each.topic.endswith(".receipts") for batch in batches for each in batch):
""",
        seeds=range(1, 20),
    ),
    Mutation(
        name="events are forwarded before the receipts and offsets that cover them",
        file="streamer/log/kafka/progress/settler.py",
        old="            written = self._write(records, transaction.places())\n",
        new="""\
            ahead = [each for each in records if self._names.is_forwarded(each.topic)]
            self._write(ahead, [])
            records = [each for each in records if each not in ahead]
            written = self._write(records, transaction.places())
""",
        test="tests/integration/kafka/test_parking.py"
        "::test_former_member_can_neither_park_nor_write_receipts[forwarded]",
    ),
    Mutation(
        name="a settlement that is tried again forwards its events again",
        file="streamer/log/sqlite/rows/subscribers.py",
        old="    if is_new:\n        _write(connection, settlement)\n",
        new="""\
    if is_new:
        _write(connection, settlement)
    else:
        into = "INSERT INTO events (appended_at, type, size, body, forwarded_to)"
        insert_rows(connection, into, settlement.forwarded)
""",
        test="tests/unit/log/sqlite/rows/test_settlements.py"
        "::test_settlement_whose_commit_failed_is_recorded_once",
    ),
    Mutation(
        name="a joined event leaves its other halves in the lane",
        file="streamer/dispatch/joining.py",
        old="self.state.lanes.replace_head(lane, whole, tuple(others))",
        new="self.state.lanes.replace_head(lane, whole, ())",
        test="tests/unit/dispatch/test_joining.py::test_crashes_leave_one_receipt_of_each_joined_event",
    ),
)


def main() -> int:
    """Try every mutation; return 0 only if each was found."""
    console = Console(highlight=False)
    missed = [mutation.name for mutation in MUTATIONS if not _is_found(mutation, console)]
    for name in missed:
        console.print(f"Nothing noticed that {name}.", style="red")
    return 1 if missed else 0


def _is_found(mutation: Mutation, console: Console) -> bool:
    with tempfile.TemporaryDirectory(prefix="streamer-mutant-") as name:
        root = Path(name)
        _copy(root)
        mutation.apply(root)
        if mutation.test and (sentence := _failed(root, mutation.test)):
            console.print(f"Found by a test: {mutation.name}.\n  {sentence}", soft_wrap=True)
            return True
        for seed in mutation.seeds:
            if sentence := _broken(root, seed):
                console.print(f"Found with seed {seed}: {mutation.name}.\n  {sentence}", soft_wrap=True)
                return True
            console.print(f"Not found with seed {seed}: {mutation.name}.", style="dim", soft_wrap=True)
    return False


def _copy(root: Path) -> None:
    for name in _COPIED:
        source = _ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)


def _failed(root: Path, test: str) -> str:
    """Return what pytest says of `test` where it fails in the copy at `root`; empty when it does not."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
    lines = _output(command, root)[1].splitlines()
    return next((line for line in lines if line.startswith("FAILED")), "")


def _broken(root: Path, seed: int) -> str:
    """Return the first promise that the copy at `root` breaks; empty when it keeps all."""
    command = [sys.executable, "-m", "tests.acceptance.fire", "--seed", str(seed)]
    status, output = _output(command, root)
    found = [line.strip() for line in output.splitlines() if "BROKEN" in line]
    if status != 0 and not found:
        raise RuntimeError(f"the bench itself failed:\n{output}")
    return found[0] if found else ""


def _output(command: Sequence[str], root: Path) -> tuple[int, str]:
    """Run `command` with the copy at `root`; return its status and all that it said."""
    environ = {**os.environ, "PYTHONPATH": str(root)}
    run = subprocess.run(command, cwd=root, env=environ, check=False, capture_output=True, text=True)
    return run.returncode, f"{run.stdout}{run.stderr}"


if __name__ == "__main__":
    sys.exit(main())
