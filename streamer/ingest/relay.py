"""Core loop of ingest: carries one channel's events from Salesforce into the log."""

from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from streamer.clock import Clock
from streamer.errors import EventsRefused, LogMisconfigured, ReplayIdRefused
from streamer.events import Batch, Channel, Checkpoint, ContinuityRecord, DeadLetter, Event, ReplayId, Start
from streamer.ingest.positions import Positioning, PositionOrdered, known_place
from streamer.ingest.positions.checkpoints import advanced, confirmed, verified_at
from streamer.ingest.positions.holes import holes_of
from streamer.ingest.read_batch import ReadBatch
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.message_reader import BatchReader
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.repairs import Repaired, Repairs, ReplayAdmission
from streamer.ports import Append, Appended, EventLog, Source


class IngestObserver(Protocol):
    """Counts and measures appends. Its methods must not block or raise."""

    def taken(self, events: Sequence[Event], read_at: float) -> None:
        """The next append will contain these events, which were read at `read_at` (epoch seconds)."""
        ...

    def appended(self, appended: Appended, seconds: float) -> None:
        """An append reached the log after a wait of `seconds`."""
        ...


@dataclass(slots=True, kw_only=True)
class GrowingAppend:
    """Append to the log, with the dead letters and records that its commit adds to the events.

    `quarantine` makes dead letters of events that the log refuses.
    """

    append: Append
    quarantine: Quarantine
    observer: IngestObserver
    set_aside: list[DeadLetter] = field(default_factory=list)
    continuity: list[ContinuityRecord] = field(default_factory=list)
    redriven: list[str] = field(default_factory=list)
    _events: int = field(default=0, init=False)
    _first: Event | None = field(default=None, init=False)

    def add(self, read: ReadBatch, read_at: float) -> None:
        """Add events and dead letters that were read at `read_at`, in epoch seconds."""
        self.set_aside += read.dead_letters
        if events := read.events:
            self._events += len(events)
            self._first = self._first or events[0]
            self.observer.taken(events, read_at)
            try:
                self.append.add(events)
            except EventsRefused as refused:
                self._set_aside(refused)

    async def commit(self, checkpoint: Checkpoint) -> Appended:
        """Commit everything together with `checkpoint`.

        Raises the errors of the log, and `LogMisconfigured` if the log refuses the
        append without naming an event.
        """
        while True:
            try:
                await self.append.commit(
                    checkpoint,
                    set_aside=self.set_aside,
                    continuity=self.continuity,
                    redriven=self.redriven,
                )
            except EventsRefused as refused:
                self._set_aside(refused)
            else:
                return Appended(
                    checkpoint=checkpoint,
                    events=self._events,
                    first=self._first,
                    set_aside=self.set_aside,
                    continuity=self.continuity,
                )

    def _set_aside(self, refused: EventsRefused) -> None:
        if not refused.events:
            # Without an event to set aside, the log would refuse the same append for ever.
            raise LogMisconfigured(
                f"The log refused to append events and did not say which event is the cause: {refused}"
            ) from refused
        self._events -= len(refused.events)
        self.set_aside += self.quarantine.refused(refused)


# An answer of tens of megabytes is committed in several transactions, to limit memory.
_MOST_BYTES = 8 * 1024 * 1024
# A busy channel gives a quarter of its time to repairs.
_TIMES_WITHOUT = 3.0
_Answer = TypeVar("_Answer")


@dataclass(slots=True, kw_only=True)
class ChannelLog:
    """The log for the ingest of one channel.

    During a wait for the log, `busy_since` is the start of the wait in monotonic
    seconds. `verified_at` comes from the checkpoint, and is `None` while unknown.
    """

    channel: Channel
    log: EventLog
    clock: Clock
    observer: IngestObserver
    busy_since: float | None = field(default=None, init=False)
    verified_at: float | None = field(default=None, init=False)

    async def checkpoint(self) -> Checkpoint | None:
        """Return the checkpoint of the channel."""
        checkpoint = await self.answered(self.log.checkpoint(self.channel))
        self.verified_at = verified_at(checkpoint)
        return checkpoint

    async def open_holes(self) -> Sequence[ContinuityRecord]:
        """Return the open continuity records of the channel."""
        return await self.answered(self.log.open_holes(self.channel))

    def begin(self, quarantine: Quarantine) -> GrowingAppend:
        """Return a new append; `quarantine` makes dead letters of refused events."""
        return GrowingAppend(
            append=self.log.begin(self.channel), quarantine=quarantine, observer=self.observer
        )

    async def commit(self, growing: GrowingAppend, checkpoint: Checkpoint) -> None:
        """Commit an append together with `checkpoint`; raises the errors of `GrowingAppend.commit`."""
        began = self.clock.monotonic()
        appended = await self.answered(growing.commit(checkpoint))
        self.verified_at = verified_at(checkpoint)
        self.observer.appended(appended, self.clock.monotonic() - began)

    async def answered(self, request: Awaitable[_Answer]) -> _Answer:
        """Return the log's answer to `request`. During the wait for the answer, `busy_since` is set."""
        self.busy_since = self.clock.monotonic()
        answer = await request
        self.busy_since = None
        return answer


@dataclass(slots=True, kw_only=True)
class _Taken:
    """The part of an answer that was read so far; `position` is the checkpoint after the commit.

    `gaps` are the gap events in this part. `is_quiet` means that this part has no
    messages.
    """

    append: GrowingAppend
    position: Checkpoint | None
    gaps: list[Event] = field(default_factory=list)
    is_quiet: bool = True


@dataclass(slots=True, kw_only=True)
class _Pauses:
    """Pauses between the steps of the repairs: requested by a step, or required by a busy channel."""

    clock: Clock
    _due_at: float = field(default=0.0, init=False)
    _busy_until: float = field(default=0.0, init=False)
    _is_woken: bool = field(default=False, init=False)

    @property
    def left_s(self) -> float:
        """Seconds until the next step; zero or less if the step is due."""
        return max(self._due_at, self._busy_until) - self.clock.monotonic()

    def wake(self) -> None:
        """Make the next step due at once, except for the pause of a busy channel."""
        self._due_at, self._is_woken = 0.0, True

    def begin(self) -> float:
        """Record that a step begins, and return the time."""
        self._is_woken = False
        return self.clock.monotonic()

    def end(self, began: float, *, again_in_s: float, is_busy: bool) -> None:
        """Record the end of a step that began at `began`; `is_busy` means that a batch arrived since then."""
        now = self.clock.monotonic()
        if not self._is_woken:
            self._due_at = now + again_in_s
        # After a batch that had to wait, other batches must pass without a wait.
        self._busy_until = now + (now - began) * _TIMES_WITHOUT if is_busy else 0.0


@dataclass(slots=True, kw_only=True)
class Ingest:
    """Carries one channel's events from Salesforce into the log.

    An answer's events and its replay id are committed together, so a crash repeats
    nothing and skips nothing. `Ingest` can be cancelled at any time. With
    `repairs`, changes that Salesforce withheld are read from the org, both together
    with answers and between two answers. With `admission`, a replay can be stopped
    before the replay begins. An operator's order for another position is executed
    between two answers.
    """

    source: Source
    log: ChannelLog
    messages: MessageReader
    positioning: Positioning
    repairs: Repairs | None = None
    admission: ReplayAdmission | None = None
    _reader: BatchReader | None = field(default=None, init=False)
    _pauses: _Pauses = field(init=False)

    def __post_init__(self) -> None:
        """Start without a pause."""
        self._pauses = _Pauses(clock=self.log.clock)

    async def run(self) -> None:
        """Relay batches until the source ends.

        Raises the errors of the source and the log, with two exceptions: refused
        events become dead letters, and a policy decides about a refused replay id.
        """
        checkpoint = await self.log.checkpoint()
        if self.repairs is not None:
            self.repairs.resume(await self.log.open_holes(), self._wake)
        repaired = self.repairs.found if self.repairs is not None else None
        after = self.positioning.begin(checkpoint, repaired=repaired, wake=self._interrupt)
        while True:
            if self.positioning.has_order:
                checkpoint, after = await self._ordered(checkpoint, after)
            if self.admission is not None:
                await self.admission.admit(after)
            try:
                await self._relay(checkpoint, after)
            except ReplayIdRefused as refused:
                checkpoint, after = await self._refused(refused)
            except PositionOrdered:
                checkpoint = await self.log.checkpoint()
                after = checkpoint or after
            else:
                return

    async def _relay(self, checkpoint: Checkpoint | None, after: Checkpoint | Start) -> None:
        async with BatchReader(self.source.batches(self.log.channel, after=after)) as self._reader:
            known = checkpoint or known_place(after)
            taken, is_between = self._begin(known), True
            while (batch := await self._next(self._reader, checkpoint, is_between=is_between)) is not None:
                if batch.place_lost:
                    known = taken.position = checkpoint
                self.positioning.came(batch, checkpoint)
                await self._take_in(batch, taken, known)
                is_between = not batch.more
                if batch.more and taken.append.append.size < _MOST_BYTES:
                    continue
                await self._repair(batch, taken)
                # The request for the next batch tells the source that this batch is
                # safe, so no step may come between the commit and the next turn.
                checkpoint = known = await self._commit(batch, taken)
                self.source.settle(checkpoint)
                taken = self._begin(checkpoint)
                # The empty last part of a large answer is not a quiet answer.
                taken.is_quiet = not batch.more

    async def _ordered(
        self, checkpoint: Checkpoint | None, after: Checkpoint | Start
    ) -> tuple[Checkpoint | None, Checkpoint | Start]:
        """Return where an operator's order moves the reading; without an order, `checkpoint` and `after`."""
        order = await self.log.answered(self.positioning.next_order())
        if order is None:
            return checkpoint, after
        return None, self.positioning.moved(order, await self.log.checkpoint())

    async def _refused(self, refused: ReplayIdRefused) -> tuple[Checkpoint | None, Checkpoint | Start]:
        """Return where reading continues without a replay id that Salesforce refused."""
        stored = await self.log.checkpoint()
        if not self.positioning.is_ordered_id:
            return None, self.positioning.resumed(refused, stored)
        after = self.positioning.kept(refused, stored)
        if stored is not None:
            await self._write(self.log.begin(self.messages.quarantine), stored)
        return stored, after

    async def _next(
        self, reader: BatchReader, checkpoint: Checkpoint | None, *, is_between: bool
    ) -> Batch | None:
        """Return the next batch.

        Between two answers and with a `checkpoint`, run repairs until the batch
        arrives. Between two answers, raises `PositionOrdered` if an operator's
        order waits.
        """
        if is_between:
            self._check_orders()
        reader.ask()
        while is_between and not reader.has_come:
            if self.repairs is None or checkpoint is None or not self.repairs.has_work:
                await reader.turn()
            elif (left_s := self._pauses.left_s) > 0:
                await self._pause(reader, left_s)
            else:
                await self._make_step(self.repairs, reader, checkpoint)
            self._check_orders()
        return await reader.batch()

    def _check_orders(self) -> None:
        if self.positioning.has_order:
            raise PositionOrdered

    async def _take_in(self, batch: Batch, taken: _Taken, checkpoint: Checkpoint | None) -> None:
        if not (batch.messages or batch.unreadable):
            return
        taken.is_quiet = False
        read = await self.messages.read(batch, checkpoint)
        if any(what.endswith(".gap") for what in {event.type for event in read.events}):
            taken.gaps += [event for event in read.events if event.is_gap]
        if self.repairs is not None and self.repairs.follows_changes:
            self.repairs.taken(read.events)
        stored = self.messages.stored(read)
        taken.position = advanced(taken.position, stored, batch)
        taken.append.add(stored, batch.read_at)

    async def _repair(self, batch: Batch, taken: _Taken) -> None:
        """Add the repairs that belong to the answer that `batch` completes."""
        append = taken.append
        if self.repairs is None:
            append.continuity += holes_of(taken.gaps, self.log.channel, batch.read_at)
            return
        repaired = await self.repairs.repaired(taken.gaps, batch.read_at)
        append.continuity += repaired.records
        if repaired.events:
            # The repaired events share the positions of their gap events, which the checkpoint includes.
            append.add(self.messages.stored(ReadBatch(events=repaired.events)), batch.read_at)

    async def _make_step(self, repairs: Repairs, reader: BatchReader, checkpoint: Checkpoint) -> None:
        """Append the next part of the repairs; the pause after the part lasts even if batches arrive."""
        began = self._pauses.begin()
        # After a reset, a channel has no position until its next event.
        position = checkpoint.open_replay_id or checkpoint.replay_id or ReplayId(b"")
        repaired = await repairs.step(position)
        if not repaired.is_empty:
            await self._append(repaired, checkpoint)
        self._pauses.end(began, again_in_s=repaired.again_in_s, is_busy=reader.has_come)

    async def _append(self, repaired: Repaired, checkpoint: Checkpoint) -> None:
        """Append repairs between two answers, at the position of the last answer."""
        growing = self.log.begin(self.messages.quarantine)
        growing.continuity += repaired.records
        growing.redriven += repaired.redriven
        growing.set_aside += repaired.set_aside
        now = self.log.clock.now()
        growing.add(ReadBatch(events=repaired.stored), now)
        # Dead letters that still can't be stored give no new information about the channel.
        made = self.messages.stored(ReadBatch(events=repaired.events), is_judged=not repaired.redriven)
        growing.add(made, now)
        await self._write(growing, checkpoint)

    async def _pause(self, reader: BatchReader, seconds: float) -> None:
        with suppress(TimeoutError):
            async with self.log.clock.timeout(seconds):
                await reader.turn()

    def _wake(self) -> None:
        self._pauses.wake()
        self._interrupt()

    def _interrupt(self) -> None:
        if self._reader is not None:
            self._reader.interrupt()

    def _begin(self, checkpoint: Checkpoint | None) -> _Taken:
        return _Taken(append=self.log.begin(self.messages.quarantine), position=checkpoint)

    async def _commit(self, batch: Batch, taken: _Taken) -> Checkpoint:
        checkpoint = taken.position
        if checkpoint is None or taken.is_quiet:
            checkpoint = confirmed(checkpoint, batch)
        await self._write(taken.append, checkpoint)
        return checkpoint

    async def _write(self, growing: GrowingAppend, checkpoint: Checkpoint) -> None:
        growing.continuity = [*self.positioning.holes, *growing.continuity]
        await self.log.commit(growing, checkpoint)
        self.positioning.recorded()
