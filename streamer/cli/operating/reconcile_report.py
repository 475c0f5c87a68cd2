"""Display of a comparison of an org with a log."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streamer.cli.operating.repair_order import RepairOrder
from streamer.cli.output import at, by_reason, console, counted, plain, print_table
from streamer.continuity.reconciling import Drift, Phase, Reconciled
from streamer.events import JsonObject

Observe = Callable[[Phase, int, int], None]
"""Takes how much of a phase is done, and of how much."""

_READS = {Phase.LOG: "reading the log", Phase.ORG: "reading the org"}


@contextmanager
def bar() -> Iterator[Observe]:
    """Return a context with a progress bar on the standard error, which only a terminal shows."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    shown = Console(stderr=True)
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as progress:
        tasks = {phase: progress.add_task(name, total=None) for phase, name in _READS.items()}
        yield lambda phase, done, total: progress.update(tasks[phase], completed=done, total=total)


def printed(found: Reconciled) -> None:
    """Print the differences as a table, the counts, and what could not be compared."""
    print_table(map(_line, found.drift), empty="No differences.", whole="RECORD")
    told = len(found.drift)
    total = sum(found.counts.values())
    if total:
        shown = f"the first {told:,} of {total:,}" if told < total else f"{total:,}"
        console().print(
            f"\n{shown} shown: ", plain(by_reason({str(k): n for k, n in found.counts.items()})), sep=""
        )
    compared = f"{counted(found.records, 'record')} and {counted(found.deletions, 'deletion')}"
    span = f"from {at(_text(found.since))} to {at(_text(found.until))}"
    console().print(f"Compared {compared} of {found.entity} {span} with the events in the log.", markup=False)
    for note in found.notes:
        console().print(plain(f"Note: {note}."))


def reconciled_json(found: Reconciled, order: RepairOrder | None) -> JsonObject:
    """Return the comparison, and the order to repair it, as an object of JSON."""
    return {
        "entity": found.entity,
        "channel": found.channel,
        "stamp": found.stamp,
        "since": _text(found.since),
        "until": _text(found.until),
        "records": found.records,
        "deletions": found.deletions,
        "counts": {str(kind): count for kind, count in found.counts.items()},
        "drift": [
            {
                "kind": str(each.kind),
                "record_id": each.record_id,
                "changed_at": _text(each.changed_at),
                "known_at": _text(each.known_at),
                "detail": each.detail,
            }
            for each in found.drift
        ],
        "notes": list(found.notes),
        "repair": None if order is None else {"id": order.id, "left": order.left},
    }


def _line(each: Drift) -> JsonObject:
    return {
        "KIND": each.kind,
        "RECORD": each.record_id,
        "CHANGED": at(_text(each.changed_at)),
        "LAST EVENT": at(_text(each.known_at)),
        "DETAIL": each.detail,
    }


def _text(epoch_s: float | None) -> str | None:
    if epoch_s is None:
        return None
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")
