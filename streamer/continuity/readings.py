"""Readings of whole entities: after an overflow, after a refused replay id, and on demand."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from traceback import extract_tb

import structlog

from streamer.backoff import Backoff, Delays
from streamer.clock import Clock
from streamer.continuity.entity_reader import EntityReader
from streamer.continuity.late_steps import LONGEST_S, LateSteps
from streamer.continuity.open_readings import OpenReadings, pause_left_s
from streamer.continuity.progress import ReadingProgress, RecordSelection, reason_of, waiting
from streamer.continuity.snapshots import Snapshots, cancellation
from streamer.continuity.steps import Step
from streamer.controls import SnapshotOrder
from streamer.errors import RetryLater, Stop, StreamerError
from streamer.events import ContinuityRecord, Event, HoleCause, Repair, ReplayId
from streamer.ingest.repairs import Repaired

_log = structlog.get_logger()

_BACKOFF = Backoff(first_s=5.0, limit_s=600.0)
_MOST_OPEN = 10_000
# The detail can quote the org's answer.
_LONGEST_DETAIL = 1_000
_OURS = frozenset(
    {
        HoleCause.OVERFLOW,
        HoleCause.ENTITY_CHANGE,
        HoleCause.REPLAY_ID_REFUSED,
        HoleCause.PLACE_LOST,
        HoleCause.BEFORE_RETENTION,
        HoleCause.POSITION_SET,
        HoleCause.SNAPSHOT,
    }
)


def progress_of(hole: ContinuityRecord) -> ReadingProgress | None:
    """Return the records to read for a new hole, or `None` if no reading can repair the hole.

    An overflow hides changes of one transaction, so changes since shortly before the
    overflow's commit are read. After a change of all records, all records of the entity
    and the deletions since that commit are read. The org's clock can be ahead of ours,
    so each of these two readings extends at least to the commit.

    A refused replay id hides changes in the channel's entities since the last time at
    which nothing was missing. Changes are hidden in the same way if a channel starts at
    a time before the retention. If a channel starts with a snapshot, all its entities
    are read.
    """
    match hole.cause:
        case HoleCause.OVERFLOW if hole.entity is not None and hole.until is not None:
            changed = RecordSelection(entity=hole.entity, since=hole.until)
            return ReadingProgress(parts=(changed,), until=max(hole.recorded_at, hole.until))
        case HoleCause.ENTITY_CHANGE if hole.entity is not None and hole.until is not None:
            deletions = RecordSelection(entity=hole.entity, since=hole.until, is_deletions=True)
            whole = RecordSelection(entity=hole.entity)
            return ReadingProgress(parts=(whole, deletions), until=max(hole.recorded_at, hole.until))
        case (
            HoleCause.REPLAY_ID_REFUSED
            | HoleCause.PLACE_LOST
            | HoleCause.BEFORE_RETENTION
            | HoleCause.POSITION_SET
        ) if hole.verified_at is not None:
            return ReadingProgress(parts=None, since=hole.verified_at, until=hole.recorded_at)
        case HoleCause.SNAPSHOT if hole.entity is None:
            return ReadingProgress(parts=None)
        case _:
            return None


@dataclass(slots=True, kw_only=True)
class Readings:
    """Readings of one channel's entities, one after another, the oldest first: see `OpenReadings`.

    If the org refuses a reading, the reading ends, and its hole is not repaired. A
    transient failure is retried without end, with back-off, and the record states
    the reason until a try succeeds. If a reading is paused or waits for the org,
    the next reading continues. At most 10,000 readings wait; further holes are not
    repaired.
    """

    reader: EntityReader
    snapshots: Snapshots
    clock: Clock
    open: OpenReadings = field(default_factory=OpenReadings, init=False)
    _steps: LateSteps = field(init=False)
    _delays: Delays = field(default_factory=lambda: Delays(_BACKOFF), init=False)
    _read_at: float = field(default=0.0, init=False)
    _wake: Callable[[], None] = field(default=lambda: None, init=False)

    def __post_init__(self) -> None:
        """Connect late answers to `wake`."""
        self._steps = LateSteps(reader=self.reader, clock=self.clock, on_answer=self._answered)

    @property
    def has_work(self) -> bool:
        """True if a reading is open and not paused, or an order waits for an answer."""
        holes = self.open.holes
        # Each answer calls this, and thousands of readings can be open: stop at the first unpaused reading.
        return bool(
            not all(map(self.snapshots.pauses, holes.values()))
            or self.open.broken
            or self.snapshots.has_untold
            or self.snapshots.unknown(holes)
            or self.snapshots.cancelled(holes.values())
        )

    def resume(self, holes: Sequence[ContinuityRecord], wake: Callable[[], None]) -> None:
        """Continue the readings that are open in the log."""
        self._wake = wake
        for hole in holes:
            if hole.cause in _OURS:
                self._resume(hole)

    def follow(self, orders: Mapping[str, SnapshotOrder]) -> None:
        """Begin, pause, continue and cancel snapshots by this channel's `orders` (keyed by id).

        The call replaces all earlier orders. Until the first call, every ordered
        snapshot waits.
        """
        paused = self._paused()
        self.snapshots.follow(orders)
        # Without open work, the caller did not report the stream's changes.
        if paused - self._paused():
            self._steps.miss_changes()
        self._wake()

    def adopted(self, hole: ContinuityRecord) -> ContinuityRecord:
        """Return a new hole; it is open if a reading will repair it."""
        progress = progress_of(hole)
        if progress is None or len(self.open.holes) >= _MOST_OPEN:
            return hole
        opened = replace(hole, state=Repair.OPEN, progress=progress.to_json())
        self.open.put(opened)
        self._wake()
        return opened

    def taken(self, events: Sequence[Event]) -> None:
        """Take note of changes that enter the log."""
        self._steps.taken(events)

    async def step(self, position: ReplayId) -> Repaired:
        """Return the next part of the oldest reading: see `streamer.ingest.repairs.Repairs`."""
        if self.open.broken:
            records, self.open.broken = self.open.broken, []
            return Repaired(records=records)
        # The result of the last call is durable now.
        self.snapshots.tell_ended()
        if orders := self.snapshots.unknown(self.open.holes):
            return await self._answer(orders)
        if cancelled := self.snapshots.cancelled(self.open.holes.values()):
            return await self._cancel(*cancelled)
        hole = self._next()
        # An order ends the wait for the next step, but not a pause between requests.
        if hole is None or (pause_s := self._pause_s(hole)) > 0:
            return Repaired(again_in_s=0.0 if hole is None else pause_s)
        repaired = await self._read(hole, position)
        following = self._next()
        return replace(repaired, again_in_s=0.0 if following is None else self._pause_s(following))

    async def _read(self, hole: ContinuityRecord, position: ReplayId) -> Repaired:
        # Forget them only here, because a page that is being read is compared with the changes.
        self._steps.forget_missed()
        step = await self._tried(hole, position)
        due_at = self.clock.monotonic() + step.again_in_s
        if isinstance(step, Repaired):
            self._read_at = due_at
            return step
        self._delays.reset()
        if step.progress.reached.job is None or step.waits:
            # Other readings can run meanwhile; the stream's changes are kept for one job only.
            self.open.wait(hole.id, due_at)
        else:
            self._read_at = due_at
        return self._advanced(hole, step)

    def _next(self) -> ContinuityRecord | None:
        late = self.open.holes.get(self._steps.reading or "")
        if late is not None and not self.snapshots.pauses(late):
            return late
        return self.open.next(self.clock.monotonic(), self.snapshots.pauses)

    def _pause_s(self, hole: ContinuityRecord) -> float:
        return max(0.0, max(self._read_at, self.open.due_at(hole.id)) - self.clock.monotonic())

    def _answered(self) -> None:
        self._read_at = 0.0
        self._wake()

    def _paused(self) -> set[str]:
        return {hole.id for hole in self.open.holes.values() if self.snapshots.pauses(hole)}

    def _resume(self, hole: ContinuityRecord) -> None:
        try:
            self.open.put(hole)
        except ValueError as error:
            detail = (
                f"{hole.detail}; not repaired, because the stored progress of the repair can't be "
                f"read ({error})"
            )
            self.open.broken.append(self._ended(hole, Repair.NONE, detail))
            return
        if pause_s := pause_left_s(self.open.progress(hole.id), self.clock.now()):
            self.open.wait(hole.id, self.clock.monotonic() + pause_s)

    async def _answer(self, orders: Sequence[SnapshotOrder]) -> Repaired:
        """Begin the snapshots of new orders."""
        try:
            async with self.clock.timeout(LONGEST_S):
                records = await self.snapshots.begun(orders)
        except TimeoutError:
            return self._unanswered(orders, f"the log has not answered in {LONGEST_S:.0f} s")
        except StreamerError as error:
            return self._unanswered(orders, str(error))
        self._delays.reset()
        for record in records:
            if record.state is Repair.OPEN:
                self.open.put(record)
            else:
                self.snapshots.end(record)
        return Repaired(records=records)

    async def _cancel(self, hole: ContinuityRecord, order: SnapshotOrder) -> Repaired:
        job = self.open.progress(hole.id).reached.job
        if job is not None and not self._steps.is_late:
            # An unfinished job uses space in the org for 7 days.
            with suppress(StreamerError, TimeoutError):
                await self._steps.brief(self.reader.org.queries.end(job))
        state = Repair.PARTIAL if hole.published else Repair.NONE
        ended = self._ended(hole, state, f"{hole.detail}; {cancellation(order)}")
        _log.info("reading.cancelled", hole=hole.id, by=order.by, published=hole.published)
        return Repaired(records=[ended])

    async def _tried(self, hole: ContinuityRecord, position: ReplayId) -> Step | Repaired:
        if self._steps.is_late:
            return self._waiting(hole, "the org has not answered the previous request yet")
        try:
            return await self._steps.step(hole.id, self.open.progress(hole.id), position)
        except Exception as error:  # noqa: BLE001 - an unexpected answer must end this reading only
            return self._failed(hole, error)

    def _failed(self, hole: ContinuityRecord, error: Exception) -> Repaired:
        match error:
            case TimeoutError():
                return self._waiting(hole, f"the org did not answer in {LONGEST_S:.0f} s")
            case RetryLater():
                return self._waiting(hole, str(error), error.after_s or 0.0)
            case Stop():
                return self._waiting(hole, str(error))
            case StreamerError():
                return self._given_up(hole, str(error))
            case _:
                # The error's message can quote a value.
                place = extract_tb(error.__traceback__)[-1]
                return self._given_up(hole, f"{type(error).__name__} in {place.name}, line {place.lineno}")

    def _advanced(self, hole: ContinuityRecord, step: Step) -> Repaired:
        progress, added = step.counted()
        told = progress.to_json()
        if step.waits:
            told = waiting(told, step.waits)
        if told == hole.progress and not step.events:
            return Repaired(again_in_s=step.again_in_s)
        has_begun = step.progress.reached.jobs > 0 and self.open.progress(hole.id).is_untouched
        published = hole.published + added
        counted = replace(
            hole,
            progress=told,
            # More records than counted can arrive, and the count can be missing.
            found=max(hole.found + step.found, published),
            published=published,
            updated_at=self.clock.now(),
        )
        if step.progress.parts is None or step.progress.part is not None:
            self.open.put(counted)
            if has_begun:
                self.open.hold(hole.id)
            return Repaired(events=step.events, records=[counted], again_in_s=step.again_in_s)
        state = Repair.PARTIAL if step.progress.lacks else Repair.FULL
        held = self.open.held_by(hole.id)
        ended = [self._closed(counted, state, step.progress.lacks)]
        ended += [self._closed(each, state, f"repaired together with {hole.id}") for each in held]
        _log.info("reading.ended", hole=hole.id, state=state, published=counted.published)
        return Repaired(events=step.events, records=ended, again_in_s=step.again_in_s)

    def _closed(self, hole: ContinuityRecord, state: Repair, more: str) -> ContinuityRecord:
        return self._ended(hole, state, f"{hole.detail}; {more}" if more else hole.detail)

    def _waiting(self, hole: ContinuityRecord, reason: str, at_least_s: float = 0.0) -> Repaired:
        pause_s = max(at_least_s, self._delays.next_s())
        _log.warning("reading.waits", hole=hole.id, reason=reason, tried_again_in_s=round(pause_s, 1))
        progress = waiting(hole.progress, reason)
        if reason_of(progress) == reason_of(hole.progress):
            return Repaired(again_in_s=pause_s)
        told = replace(hole, progress=progress, updated_at=self.clock.now())
        self.open.put(told)
        return Repaired(records=[told], again_in_s=pause_s)

    def _unanswered(self, orders: Sequence[SnapshotOrder], reason: str) -> Repaired:
        pause_s = self._delays.next_s()
        waiting = [each.id for each in orders]
        _log.warning("reading.unanswered", orders=waiting, reason=reason, tried_again_in_s=round(pause_s, 1))
        return Repaired(again_in_s=pause_s)

    def _given_up(self, hole: ContinuityRecord, reason: str) -> Repaired:
        state = Repair.PARTIAL if hole.published else Repair.NONE
        ended = self._ended(hole, state, f"{hole.detail}; {reason}")
        _log.error("reading.given_up", hole=hole.id, reason=reason)
        return Repaired(records=[ended])

    def _ended(self, hole: ContinuityRecord, state: Repair, detail: str) -> ContinuityRecord:
        ended = replace(
            hole, state=state, detail=detail[:_LONGEST_DETAIL], progress={}, updated_at=self.clock.now()
        )
        self.open.remove(hole.id)
        self.snapshots.end(ended)
        return ended
