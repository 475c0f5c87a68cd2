"""The command `streamer reconcile`, and the display of its comparison."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streamer.app.assembly import open_history
from streamer.cli.operating.api import DEFAULT_URL, api_of
from streamer.cli.operating.api_command import OperatorOptions, api_command, channel_paths, moment
from streamer.cli.operating.repair_order import RepairOrder, ordered_repair
from streamer.cli.org.connection import OrgOptions
from streamer.cli.output import AsJson, at, by_reason, console, counted, plain, print_json, print_table
from streamer.clock import SystemClock
from streamer.configuration import load_document, load_section
from streamer.continuity.reconciling import Asked, Drift, Phase, Reconciled, Reconciliation
from streamer.continuity.reconciling.org_records import OrgRecords
from streamer.events import JsonObject
from streamer.salesforce.auth.flows import Logins
from streamer.salesforce.queries import RestQueries, RestReplication
from streamer.salesforce.records import RestRecords
from streamer.salesforce.rest import Rest
from streamer.settings import LogSettings, OrgSettings

Observe = Callable[[Phase, int, int], None]
"""Callback that gets a phase, the finished amount of work, and the total amount of work."""

_READS = {Phase.LOG: "reading the log", Phase.ORG: "reading the org"}


@contextmanager
def bar() -> Iterator[Observe]:
    """Return a context with a progress bar on standard error, if that is a terminal."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    shown = Console(stderr=True)
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as progress:
        tasks = {phase: progress.add_task(name, total=None) for phase, name in _READS.items()}
        yield lambda phase, done, total: progress.update(tasks[phase], completed=done, total=total)


def printed(found: Reconciled) -> None:
    """Print the differences as a table, then the counts, then notes about the limits of the comparison."""
    print_table(map(_line, found.drift), empty="No differences.", whole="RECORD")
    told = len(found.drift)
    total = sum(found.counts.values())
    if total:
        shown = f"the first {told:,} of {total:,}" if told < total else f"{total:,}"
        console().print(
            f"\nDifferences shown: {shown}. By kind: ",
            plain(by_reason({str(k): n for k, n in found.counts.items()})),
            sep="",
        )
    compared = f"{counted(found.records, 'record')} and {counted(found.deletions, 'deletion')}"
    span = f"from {at(_text(found.since))} to {at(_text(found.until))}"
    console().print(f"Compared {compared} of {found.entity} {span} with the events in the log.", markup=False)
    for note in found.notes:
        console().print(plain(f"Note: {note}."))


def reconciled_json(found: Reconciled, order: RepairOrder | None) -> JsonObject:
    """Return the comparison and its repair order as a JSON object."""
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


_ANSWER_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowOptions:
    """Options that choose the changes to compare."""

    since: Annotated[
        str,
        typer.Option(
            parser=moment,
            metavar="TIME",
            help="Compare the org's changes since this time, such as 2h (two hours ago) or 2026-01-31T09:30.",
        ),
    ]
    until: Annotated[
        str | None,
        typer.Option(
            parser=moment,
            metavar="TIME",
            help=(
                "Compare changes up to this time.  [default: 25m ago, because events of later changes "
                "can still be on their way]"
            ),
        ),
    ] = None
    channel: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help=(
                "Compare the changes only with events of this channel.  [default: events of every channel]"
            ),
            autocompletion=channel_paths,
        ),
    ] = None

    def asked(self, entity: str) -> Asked:
        """Return the requested comparison for `entity`."""
        until = None if self.until is None else datetime.fromisoformat(self.until).timestamp()
        since = datetime.fromisoformat(self.since).timestamp()
        return Asked(entity=entity, since=since, until=until, channel=self.channel)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairOptions:
    """Options of the repair order."""

    repair: Annotated[
        bool,
        typer.Option("--repair", help="Order the daemon to publish the missing changes and deletions again."),
    ] = False
    url: Annotated[
        str | None,
        typer.Option(
            envvar="STREAMER_ADMIN_URL",
            metavar="URL",
            help=(
                "Address of the admin API that gets the repair order.  [default: the "
                f"configuration's, or {DEFAULT_URL}]"
            ),
        ),
    ] = None
    token: Annotated[
        str | None,
        typer.Option(
            envvar="STREAMER_ADMIN_TOKEN", metavar="TOKEN", help="The admin API's token.  [default: none]"
        ),
    ] = None


@api_command
async def reconcile(
    entity: Annotated[str, typer.Argument(metavar="ENTITY", help="The object's API name, such as Account.")],
    where: OrgOptions,
    window: WindowOptions,
    repairs: RepairOptions,
    operator: OperatorOptions,
    *,
    as_json: AsJson = False,
) -> None:
    """Compare the org's changes with the events in the log, and show the differences.

    The command reads the log directly: Kafka's topics, or the SQLite file on this
    machine. From the org, the command reads only the ids and times of records.

    KIND is missing (the record changed after its last event in the log),
    deletion_missing (the record was deleted, but the log has no deletion event) or
    absent (the log has events of a record that is not in the org).

    Exits 0 if there are no differences; 1 if there are differences, or if the org
    or the log refuses or can't be reached; 2 for a mistake in the arguments or in
    the configuration.
    """
    with bar() as observe:
        async with _opened(where.config, observe) as reconciliation:
            found = await reconciliation.compare(window.asked(entity))
    order = None
    if not as_json:
        printed(found)
    try:
        if repairs.repair and found.has_drift:
            api = api_of(where.config, repairs.url, repairs.token)
            order = await ordered_repair(api, found, by=operator.name)
    finally:
        # The findings are printed even if the daemon refuses the order.
        if as_json:
            print_json(reconciled_json(found, order))
    if order is not None and not as_json:
        console().print(f"\n{order.sentence}", markup=False)
    if found.has_drift:
        raise typer.Exit(1)


@asynccontextmanager
async def _opened(files: list[Path], observe: Observe) -> AsyncIterator[Reconciliation]:
    """Yield a comparison of the configured org with the configured log."""
    document = load_document(files)
    org = load_section(document, "org", OrgSettings)
    log = load_section(document, "log", LogSettings) if "log" in document.data else LogSettings()
    clock = SystemClock()
    async with open_history(log, clock) as history, Logins(clock).opened(org) as (tokens, http):
        rest = Rest(http, tokens, clock, api_version=org.api_version, answer_bytes=_ANSWER_BYTES)
        records = RestRecords(rest)
        yield Reconciliation(
            history=history,
            records=OrgRecords(
                queries=RestQueries(rest, clock),
                replication=RestReplication(rest, clock),
                records=records,
                describer=records,
                clock=clock,
            ),
            org=(await tokens.token()).org,
            observe=observe,
        )
