"""Orders for snapshots in one channel, their records in the log, and the forecast of a snapshot's cost."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from streamer.channel_paths import changed_entity
from streamer.continuity.entity_reader import BULK_FROM, PAGE_ROWS
from streamer.continuity.progress import ReadingProgress, RecordSelection, query_of, shape_of
from streamer.controls import SnapshotOrder, Wanted, is_ordered_snapshot
from streamer.errors import RecordsRefused, UnreadableEvent
from streamer.events import Channel, ContinuityRecord, HoleCause, Repair, SnapshotSelection
from streamer.ingest.positions.holes import record_of_gap
from streamer.normalise.malformed import as_event_time
from streamer.normalise.record_shape import RecordShape
from streamer.ports import Describer, RecordedHoles, RecordQueries, RecordQuery
from streamer.quota import Governor, JobCost, LimitsReading, bulk_job, cost_sentence, query

_LONGEST_DETAIL = 500
_ORDERED = " ordered a snapshot of "
_ONLY = ", only "
_SINCE = " since "
# One request describes the entity, and one counts its records.
_AROUND = JobCost(requests=2)
# One request finds the deletions, and one finds deleted records that exist again.
_DELETIONS = JobCost(requests=2)
_BY_ID = re.compile(r"Id IN \(('\w{18}'(?:, '\w{18}')*)\)", re.ASCII)


@dataclass(slots=True, kw_only=True)
class Snapshots:
    """Orders for snapshots in one channel.

    Each order becomes one open continuity record with the order's id. An order
    whose record has a final state in the log is not executed again. `ended` is
    called with a final record once the record is durable; the caller then removes
    the order.
    """

    channel: Channel
    log: RecordedHoles
    ended: Callable[[ContinuityRecord], None]
    _orders: Mapping[str, SnapshotOrder] | None = field(default=None, init=False)
    _known: dict[str, SnapshotOrder] = field(default_factory=dict, init=False)
    _untold: list[ContinuityRecord] = field(default_factory=list, init=False)

    @property
    def has_untold(self) -> bool:
        """True if `tell_ended` has a record to report."""
        return bool(self._untold)

    def follow(self, orders: Mapping[str, SnapshotOrder]) -> None:
        """Replace this channel's orders (keyed by id)."""
        self._orders = orders
        self._known = {name: known for name, known in self._known.items() if name in orders}

    def pauses(self, hole: ContinuityRecord) -> bool:
        """Return true for a snapshot that is paused, or whose order is not known yet."""
        if not is_ordered_snapshot(hole):
            return False
        order = (self._orders or {}).get(hole.id)
        return self._orders is None if order is None else order.wanted is Wanted.PAUSED

    def cancelled(self, holes: Collection[ContinuityRecord]) -> tuple[ContinuityRecord, SnapshotOrder] | None:
        """Return the first of `holes` that an operator has cancelled, with its order, or `None`."""
        for hole in holes:
            order = (self._orders or {}).get(hole.id)
            if order is not None and order.wanted is Wanted.CANCELLED:
                return hole, order
        return None

    def unknown(self, holes: Mapping[str, ContinuityRecord]) -> Sequence[SnapshotOrder]:
        """Return the orders that are not in `holes` and have not ended as far as is known."""
        orders = (self._orders or {}).values()
        return [each for each in orders if each.id not in holes and self._known.get(each.id) != each]

    async def begun(self, orders: Sequence[SnapshotOrder]) -> Sequence[ContinuityRecord]:
        """Return the first records, open or refused, of those `orders` that have no record in the log.

        Raises the errors of the log.
        """
        found = await self.log.holes([each.id for each in orders])
        # An order can have changed meanwhile.
        self._known.update((each.id, each) for each in orders)
        self._untold += [record for record in found.values() if record.state is not Repair.OPEN]
        return [self._begun(each) for each in orders if each.id not in found]

    def end(self, record: ContinuityRecord) -> None:
        """Store a final state, which is durable before the next `tell_ended`."""
        if not is_ordered_snapshot(record):
            return
        if order := (self._orders or {}).get(record.id):
            self._known[order.id] = order
        self._untold.append(record)

    def tell_ended(self) -> None:
        """Report ended snapshots, whose records are durable."""
        untold, self._untold = self._untold, []
        for record in untold:
            self.ended(record)

    def _begun(self, order: SnapshotOrder) -> ContinuityRecord:
        record = begun_record(self.channel, order)
        reason = self._refusal(order)
        if not reason:
            return record
        return replace(record, state=Repair.NONE, detail=f"{record.detail}; {reason}", progress={})

    def _refusal(self, order: SnapshotOrder) -> str:
        if order.wanted is Wanted.CANCELLED:
            return cancellation(order)
        return snapshot_mistake(self.channel.path, order.entity, order.where, order.fields)


def begun_record(channel: Channel, order: SnapshotOrder) -> ContinuityRecord:
    """Return the first continuity record of an ordered snapshot, which says what the order selects."""
    part = RecordSelection(entity=order.entity, where=order.where, fields=order.fields, since=order.since)
    chosen = f"{_ONLY}{', '.join(order.fields)}" if order.fields else ""
    chosen += f" where {order.where}" if order.where else ""
    if order.since is not None:
        chosen += f"{_SINCE}{as_event_time(datetime.fromtimestamp(order.since, UTC))}"
    return ContinuityRecord(
        id=order.id,
        channel=channel,
        cause=HoleCause.SNAPSHOT,
        detail=f"{order.by}{_ORDERED}{order.entity}{chosen}"[:_LONGEST_DETAIL],
        recorded_at=order.at,
        state=Repair.OPEN,
        entity=order.entity,
        progress=ReadingProgress(parts=(part,)).to_json(),
        selection=SnapshotSelection(where=order.where, fields=order.fields, since=order.since),
    )


def where_of(records: Collection[str]) -> str:
    """Return the condition of a snapshot that selects only the records with these ids (18 characters)."""
    ids = ", ".join(f"'{each}'" for each in records)
    return f"Id IN ({ids})"


def records_of(where: str) -> Sequence[str]:
    """Return the ids of the records in a condition that `where_of` has made; empty for another condition."""
    by_id = _BY_ID.fullmatch(where)
    return [each.strip("'") for each in by_id[1].split(", ")] if by_id else []


def has_records_of(snapshot: ContinuityRecord, hole: ContinuityRecord) -> bool:
    """Return true if a snapshot of the hole's entity selects every record that the hole can lack."""
    selection = snapshot.selection or _former_selection(snapshot)
    if selection is None or selection.fields:
        return False
    if selection.where:
        by_id = _BY_ID.fullmatch(selection.where) if selection.since is None else None
        missing = record_of_gap(hole)
        return by_id is not None and missing is not None and f"'{missing}'" in by_id[1].split(", ")
    if selection.since is None:
        return True
    return hole.verified_at is not None and selection.since <= hole.verified_at


def _former_selection(snapshot: ContinuityRecord) -> SnapshotSelection | None:
    """Return what the record of an older version says in its detail, or `None` for only some records.

    A detail that was cut can lack the selection.
    """
    if len(snapshot.detail) >= _LONGEST_DETAIL:
        return None
    chosen = snapshot.detail.partition(f"{_ORDERED}{snapshot.entity}")[2].partition("; ")[0]
    if not chosen:
        return SnapshotSelection()
    if not chosen.startswith(_SINCE):
        return None
    try:
        return SnapshotSelection(since=datetime.fromisoformat(chosen.removeprefix(_SINCE)).timestamp())
    except ValueError:
        return None


def cancellation(order: SnapshotOrder) -> str:
    """Return a note that a snapshot was cancelled."""
    return f"cancelled by {order.by}"


def snapshot_mistake(channel: str, entity: str, where: str, fields: Sequence[str]) -> str:
    """Return the mistake in an order for a snapshot in a channel (by path), or an empty text."""
    carried = changed_entity(channel)
    if carried is not None and carried != entity:
        return f"the channel {channel} carries only changes of {carried}: name {carried}, or another channel"
    try:
        RecordQuery(entity=entity, fields=("Id", *(each for each in fields if each != "Id")), where=where)
    except ValueError as error:
        return str(error)
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotForecast:
    """Cost of a snapshot of `records` records, with a query job of the Bulk API or over REST.

    `sentence` states the cost and the remaining allowance. `waits` says why the
    snapshot can't be read completely now. If the snapshot can be read, `waits` is
    empty.
    """

    records: int
    in_bulk: bool
    cost: JobCost
    sentence: str
    waits: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotForecaster:
    """Estimates the cost of a snapshot with two requests, with the same limits as `EntityReader`."""

    queries: RecordQueries
    describer: Describer
    limits: Callable[[], LimitsReading | None] = lambda: None
    bulk_from: int = BULK_FROM
    page_rows: int = PAGE_ROWS

    async def forecast(self, order: SnapshotOrder) -> SnapshotForecast:
        """Return the expected cost of `order`.

        For an order that Salesforce refuses, raises `RecordsRefused` with the
        mistake and a remedy. Other failures raise the errors of the ports.
        """
        part = RecordSelection(entity=order.entity, where=order.where, fields=order.fields, since=order.since)
        records = await self._count(part, await self._shape(part))
        governor = Governor(reading=self.limits, requests_left=lambda: self.queries.requests_left)
        in_bulk = records >= self.bulk_from and governor.has_bulk_jobs
        cost = (bulk_job if in_bulk else query)(records, page=self.page_rows) + _AROUND
        if part.since is not None:
            cost += _DELETIONS
        return SnapshotForecast(
            records=records,
            in_bulk=in_bulk,
            cost=cost,
            sentence=cost_sentence(cost, self.limits()),
            waits=governor.reason_to_wait(cost),
        )

    async def _shape(self, part: RecordSelection) -> RecordShape:
        try:
            return await shape_of(part, self.describer)
        except RecordsRefused as error:
            remedy = "check the object's API name, and let the user of org.auth read the object"
            raise RecordsRefused(f"the object {part.entity}: {error}: {remedy}", code=error.code) from error
        except UnreadableEvent as error:
            remedy = (
                "correct the names of the fields, let the user of org.auth read these fields, or "
                "name no fields to read all"
            )
            raise RecordsRefused(f"the fields: {error}: {remedy}", code="") from error

    async def _count(self, part: RecordSelection, shape: RecordShape) -> int:
        try:
            return await self.queries.count(query_of(part, shape))
        except RecordsRefused as error:
            place = "the condition" if part.where else f"the object {part.entity}"
            remedy = "correct the condition" if part.where else "Salesforce allows no query of these records"
            raise RecordsRefused(f"{place}: {error}: {remedy}", code=error.code) from error
