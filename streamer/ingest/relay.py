"""Core loop of ingest: carries one channel's events from Salesforce into the log."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import structlog

from streamer.clock import Clock
from streamer.controls import Place, PositionOrder
from streamer.errors import EventsRefused, ReplayIdRefused
from streamer.events import (
    Batch,
    Channel,
    Checkpoint,
    ContinuityRecord,
    DeadLetter,
    Event,
    HoleCause,
    Repair,
    ReplayId,
    Start,
    Unreadable,
)
from streamer.ingest.batch_reader import BatchReader
from streamer.ingest.holes import (
    first_snapshot,
    hole_before,
    holes_of,
    lost_place,
    refused_hole,
    without_place,
)
from streamer.ingest.large_texts import LargeTexts
from streamer.ingest.position import advanced, confirmed, verified_at, without_appended
from streamer.ingest.positions import (
    OrderedPositions,
    PositionOrdered,
    known_place,
    move_of,
    position_record,
    refused_move,
    unchanged_record,
)
from streamer.ingest.protection import ChannelProtection
from streamer.ingest.quarantine import Quarantine
from streamer.ingest.repairs import Repaired, Repairs
from streamer.ingest.replays import ReplayAdmission
from streamer.ingest.start import ChannelStart, Since, source_position, tell_position
from streamer.normalise import Normaliser
from streamer.ports import Append, Appended, EventLog, Source

OnRefused = Literal["repair", "earliest", "latest", "fail"]

_log = structlog.get_logger()

# An answer of tens of megabytes is committed in several transactions, to bound the memory of its records.
_MOST_BYTES = 8 * 1024 * 1024

# A channel that is busy gives a quarter of its time to repairs.
_TIMES_WITHOUT = 3.0


class IngestObserver(Protocol):
    """Counts and measures appends; must not block or raise."""

    def taken(self, events: Sequence[Event], read_at: float) -> None:
        """These events, read at `read_at` (epoch seconds), will be in the log with the next append."""
        ...

    def appended(self, appended: Appended, seconds: float) -> None:
        """An append reached the log after a wait of `seconds`."""
        ...


@dataclass(slots=True, kw_only=True)
class _Pending:
    """Append that grows, and the position of the channel after its commit."""

    append: Append
    position: Checkpoint | None
    events: int = 0
    first: Event | None = None
    set_aside: list[DeadLetter] = field(default_factory=list)
    continuity: list[ContinuityRecord] = field(default_factory=list)
    redriven: list[str] = field(default_factory=list)
    gaps: list[Event] = field(default_factory=list)
    is_quiet: bool = True


@dataclass(slots=True, kw_only=True)
class Ingest:
    """Carries one channel's events from Salesforce into the log.

    An answer's events are committed together with its replay id, so a crash
    repeats nothing and skips nothing. It can be cancelled at any moment. While
    it waits for the log, `busy_since` holds the start of the wait, in monotonic
    seconds. `verified_at` is that of the checkpoint, `None` while it is unknown.
    Without `large_texts`, large texts that came as diffs stay diffs. With
    `protection`, what it protects reaches neither the log nor the observer.
    With `repairs`, what Salesforce does not tell is read from the org, with the
    answers and between them. With `admission`, a replay can be stopped before it
    begins. With `positions`, an operator can order another one, which is taken
    between two answers. `start` counts while the log has no checkpoint.
    """

    channel: Channel
    source: Source
    log: EventLog
    normalise: Normaliser
    quarantine: Quarantine
    clock: Clock
    observer: IngestObserver
    start: ChannelStart = Start.LATEST
    on_refused: OnRefused = "earliest"
    large_texts: LargeTexts | None = None
    protection: ChannelProtection | None = None
    repairs: Repairs | None = None
    admission: ReplayAdmission | None = None
    positions: OrderedPositions | None = None
    busy_since: float | None = field(default=None, init=False)
    verified_at: float | None = field(default=None, init=False)
    _holes: dict[str, ContinuityRecord] = field(default_factory=dict, init=False)
    _unread_since: Since | None = field(default=None, init=False)
    _reader: BatchReader | None = field(default=None, init=False)
    _repair_at: float = field(default=0.0, init=False)

    async def run(self) -> None:
        """Relay batches until the source ends.

        Raises what the source and the log raise, with two exceptions: refused
        events are set aside, and the policy decides about a refused replay id.
        """
        checkpoint = await self._checkpoint()
        if self.repairs is not None:
            self.repairs.resume(await self._open_holes(), self._wake)
        if self.positions is not None:
            self.positions.resume(self._wake)
        tell_position(self.channel, checkpoint, self.start, self.clock.now())
        after = checkpoint or self._first_position()
        while True:
            if self.positions is not None and self.positions.has_order:
                checkpoint, after = await self._ordered(self.positions, checkpoint, after)
            if self.admission is not None:
                await self.admission.admit(after)
            try:
                await self._relay(checkpoint, after)
            except ReplayIdRefused as refused:
                checkpoint, after = await self._refused(refused)
            except PositionOrdered:
                checkpoint = await self._checkpoint()
                after = checkpoint or after
            else:
                return

    async def _ordered(
        self, positions: OrderedPositions, checkpoint: Checkpoint | None, after: Checkpoint | Start
    ) -> tuple[Checkpoint | None, Checkpoint | Start]:
        """Return where reading goes on by the order of an operator, or else `checkpoint` and `after`.

        The order's record is written with the first batch that follows, so that
        a crash before that leaves the position and the order as they are.
        """
        self.busy_since = self.clock.monotonic()
        order = await positions.begin()
        self.busy_since = None
        if order is None:
            return checkpoint, after
        stored, now = await self._checkpoint(), self.clock.now()
        move = move_of(order, self.channel, stored, self.start, now)
        hole = position_record(move, order, self.channel, stored, now)
        # What was about to be recorded of the former position is a part of this hole.
        self._holes = {name: each for name, each in self._holes.items() if each.state is Repair.OPEN}
        self._unread_since = None
        if move.with_snapshot:
            self._begin_snapshot()
        self._holes[hole.id] = hole if move.skips else self._found(hole)
        _log.warning(
            "position.set",
            channel=str(self.channel),
            order=order.id,
            by=order.by,
            verified_at=hole.verified_at,
            state=self._holes[hole.id].state,
            detail=hole.detail,
        )
        return None, move.after

    async def _refused(self, refused: ReplayIdRefused) -> tuple[Checkpoint | None, Checkpoint | Start]:
        stored = await self._checkpoint()
        order = self.positions.current if self.positions is not None else None
        if order is None or order.id not in self._holes:
            return None, self._resume(refused, stored)
        if order.place is Place.REPLAY_ID:
            return stored, await self._keep_position(stored)
        return None, self._read_retained(order, stored)

    def _read_retained(self, order: PositionOrder, stored: Checkpoint | None) -> Checkpoint | Start:
        """Return the place of an order that was to read on behind the id in the log, which was refused."""
        hole, after = refused_move(self._holes[order.id], stored, self.clock.now())
        self._holes[order.id] = self._found(hole)
        _log.warning("replay_id.refused", channel=str(self.channel), order=order.id, state=hole.state)
        return after

    async def _keep_position(self, stored: Checkpoint | None) -> Checkpoint | Start:
        """Return the position in the log: Salesforce has refused the one that was ordered."""
        [order_id] = [name for name, hole in self._holes.items() if hole.cause is HoleCause.POSITION_SET]
        hole = self._holes[order_id] = unchanged_record(self._holes[order_id])
        _log.warning("position.not_set", channel=str(self.channel), order=order_id, detail=hole.detail)
        if stored is None:
            return source_position(self.channel, self.start)
        await self._write(self._begin(stored), stored)
        return stored

    def _first_position(self) -> Checkpoint | Start:
        """Return where a new channel begins; its first commit holds the record of a first snapshot."""
        if isinstance(self.start, Since):
            self._unread_since = self.start
        elif self.start == "snapshot":
            self._begin_snapshot()
        return source_position(self.channel, self.start)

    def _begin_snapshot(self) -> None:
        snapshot = first_snapshot(self.channel, self.clock.now())
        snapshot = snapshot if self.repairs is None else self.repairs.found(snapshot)
        self._holes[snapshot.id] = snapshot

    async def _relay(self, checkpoint: Checkpoint | None, after: Checkpoint | Start) -> None:
        async with BatchReader(self.source.batches(self.channel, after=after)) as self._reader:
            known = checkpoint or known_place(after)
            pending, is_between = self._begin(known), True
            while (batch := await self._next(self._reader, checkpoint, is_between=is_between)) is not None:
                if batch.place_lost:
                    self._lose_place(checkpoint)
                    known = pending.position = checkpoint
                if self._unread_since is not None:
                    self._begin_since(self._unread_since, batch.read_at)
                await self._take_in(batch, pending, known)
                is_between = not batch.more
                if batch.more and pending.append.size < _MOST_BYTES:
                    continue
                await self._repair(batch, pending)
                # Asking for the next batch tells the source that this one is
                # safe, so no step may come between the commit and the next turn.
                checkpoint = known = await self._commit(batch, pending)
                self.source.settle(checkpoint)
                pending = self._begin(checkpoint)
                # An empty last piece of a large answer is not a quiet answer.
                pending.is_quiet = not batch.more

    async def _next(
        self, reader: BatchReader, checkpoint: Checkpoint | None, *, is_between: bool
    ) -> Batch | None:
        """Return the next batch; between two answers and with a `checkpoint`, repair until it comes.

        Raises `PositionOrdered` between two answers.
        """
        if is_between:
            self._check_orders()
        reader.ask()
        while is_between and not reader.has_come:
            wait_s = self._repair_at - self.clock.monotonic()
            if self.repairs is None or checkpoint is None or not self.repairs.has_work:
                await reader.turn()
            elif wait_s > 0:
                await self._pause(reader, wait_s)
            else:
                await self._make_step(self.repairs, reader, checkpoint)
            self._check_orders()
        return await reader.batch()

    def _check_orders(self) -> None:
        if self.positions is not None and self.positions.has_order:
            raise PositionOrdered

    async def _make_step(self, repairs: Repairs, reader: BatchReader, checkpoint: Checkpoint) -> None:
        """Append the next part of the repairs; the pause that it asks for outlasts the batches meanwhile."""
        began = self.clock.monotonic()
        # A channel that was reset has no position before its next event.
        position = checkpoint.open_replay_id or checkpoint.replay_id or ReplayId(b"")
        repaired = await repairs.step(position)
        if not repaired.is_empty:
            await self._append(repaired, checkpoint)
        now = self.clock.monotonic()
        # A batch that had to wait is followed by others that have not.
        pause_s = (now - began) * _TIMES_WITHOUT if reader.has_come else 0.0
        self._repair_at = now + max(repaired.again_in_s, pause_s)

    async def _pause(self, reader: BatchReader, seconds: float) -> None:
        with suppress(TimeoutError):
            async with self.clock.timeout(seconds):
                await reader.turn()

    def _wake(self) -> None:
        if self._reader is not None:
            self._reader.interrupt()

    async def _append(self, repaired: Repaired, checkpoint: Checkpoint) -> None:
        """Append what was repaired between two answers, at the position of the former."""
        pending = self._begin(checkpoint)
        pending.continuity += repaired.records
        pending.redriven += repaired.redriven
        pending.set_aside += repaired.set_aside
        now = self.clock.now()
        self._add(repaired.stored, pending, now)
        # Letters that still can't be stored are no news of the channel.
        self._add(self._as_stored(repaired.events, is_judged=not repaired.redriven), pending, now)
        await self._write(pending, checkpoint)

    async def _checkpoint(self) -> Checkpoint | None:
        self.busy_since = self.clock.monotonic()
        checkpoint = await self.log.checkpoint(self.channel)
        self.busy_since = None
        self.verified_at = verified_at(checkpoint)
        return checkpoint

    async def _open_holes(self) -> Sequence[ContinuityRecord]:
        self.busy_since = self.clock.monotonic()
        holes = await self.log.open_holes(self.channel)
        self.busy_since = None
        return holes

    def _begin(self, checkpoint: Checkpoint | None) -> _Pending:
        return _Pending(append=self.log.begin(self.channel), position=checkpoint)

    async def _take_in(self, batch: Batch, pending: _Pending, checkpoint: Checkpoint | None) -> None:
        if not (batch.messages or batch.unreadable):
            return
        pending.is_quiet = False
        read = self._read(batch)
        if checkpoint is not None and checkpoint.appended:
            read = without_appended(read, checkpoint)
        if self.large_texts is not None:
            read = await self.large_texts.completed(read)
        if any(what.endswith(".gap") for what in {item.type for item in read if type(item) is Event}):
            pending.gaps += [item for item in read if type(item) is Event and item.is_gap]
        if self.repairs is not None and self.repairs.has_work:
            self.repairs.taken([item for item in read if type(item) is Event])
        read = self._as_stored(read)
        pending.position = advanced(pending.position, read, batch)
        self._add(read, pending, batch.read_at)

    def _add(self, read: Sequence[Event | DeadLetter], pending: _Pending, read_at: float) -> None:
        events = [item for item in read if type(item) is Event]
        if len(events) < len(read):
            pending.set_aside += [item for item in read if type(item) is DeadLetter]
        if events:
            pending.events += len(events)
            pending.first = pending.first or events[0]
            self.observer.taken(events, read_at)
            try:
                pending.append.add(events)
            except EventsRefused as refused:
                self._set_aside(refused, pending)

    async def _repair(self, batch: Batch, pending: _Pending) -> None:
        if self.repairs is None:
            pending.continuity += holes_of(pending.gaps, self.channel, batch.read_at)
            return
        repaired = await self.repairs.repaired(pending.gaps, batch.read_at)
        pending.continuity += repaired.records
        # Their positions are those of their gap events, which have advanced the checkpoint.
        self._add(self._as_stored(repaired.events), pending, batch.read_at)

    def _read(self, batch: Batch) -> Sequence[Event | DeadLetter]:
        # The position of an unreadable piece among the messages is unknown; put
        # first, it can't make the checkpoint pass a message.
        read = [*batch.unreadable, *self.normalise(batch.messages)]
        events = [item for item in read if type(item) is Event]
        unreadable = len(read) - len(events)
        self.quarantine.judge(read=len(batch.messages) + len(batch.unreadable), unreadable=unreadable)
        if not unreadable:
            return events
        torn = len(batch.unreadable)
        return [
            self._quarantined(item, torn=place < torn) if isinstance(item, Unreadable) else item
            for place, item in enumerate(read)
        ]

    def _as_stored(
        self, read: Sequence[Event | DeadLetter], *, is_judged: bool = True
    ) -> Sequence[Event | DeadLetter]:
        """Return `read` as protection lets it be stored; what can't be protected is set aside."""
        if not read or self.protection is None or not self.protection.has_rules:
            return read
        protected = self.protection.protected(read)
        if protected is read:
            return read
        # The quarantine counts messages, and a message can be several events.
        unreadable = {item.replay_id for item in protected if isinstance(item, Unreadable)}
        if is_judged:
            self.quarantine.judge(read=0, unreadable=len(unreadable))
        return [self._quarantined(each) if isinstance(each, Unreadable) else each for each in protected]

    def _quarantined(self, piece: Unreadable, *, torn: bool = False) -> DeadLetter:
        secret = self.protection.secret(piece, torn=torn) if self.protection is not None else None
        return self.quarantine.unreadable(piece, self.channel, secret)

    async def _commit(self, batch: Batch, pending: _Pending) -> Checkpoint:
        checkpoint = pending.position
        if checkpoint is None or pending.is_quiet:
            checkpoint = confirmed(checkpoint, batch)
        await self._write(pending, checkpoint)
        return checkpoint

    async def _write(self, pending: _Pending, checkpoint: Checkpoint) -> None:
        continuity = [*self._holes.values(), *pending.continuity]
        began = self.busy_since = self.clock.monotonic()
        while True:
            try:
                await pending.append.commit(
                    checkpoint,
                    set_aside=pending.set_aside,
                    continuity=continuity,
                    redriven=pending.redriven,
                )
            except EventsRefused as refused:
                self._set_aside(refused, pending)
            else:
                break
        self._holes, self.busy_since = {}, None
        if self.positions is not None:
            self.positions.recorded()
        self.verified_at = verified_at(checkpoint)
        appended = Appended(
            checkpoint=checkpoint,
            events=pending.events,
            first=pending.first,
            set_aside=pending.set_aside,
            continuity=continuity,
        )
        self.observer.appended(appended, self.clock.monotonic() - began)

    def _set_aside(self, refused: EventsRefused, pending: _Pending) -> None:
        if not refused.events:
            raise refused
        pending.events -= len(refused.events)
        pending.set_aside += self.quarantine.refused(refused)

    def _resume(self, refused: ReplayIdRefused, checkpoint: Checkpoint | None) -> Checkpoint | Start:
        if self.on_refused == "fail":
            raise refused
        # Written with the first batch that follows, so that the record and the
        # position it explains are in the log together.
        resumes_at = Start.EARLIEST if self.on_refused == "repair" else Start(self.on_refused)
        # An id that was refused too early means that the stream was reset, and nothing is retained.
        hole = self._found(refused_hole(self.channel, checkpoint, resumes_at, self.clock.now()))
        self._holes[hole.id] = hole
        log = _log.error if hole.is_unrepaired else _log.warning
        log(
            "replay_id.refused",
            channel=str(self.channel),
            resumes_at=resumes_at,
            verified_at=hole.verified_at,
            state=hole.state,
            answer=str(refused),
        )
        if checkpoint is not None and resumes_at is Start.EARLIEST:
            # Without the id, the source leaves out what the log holds by the last event.
            return replace(checkpoint, replay_id=None)
        return resumes_at

    def _begin_since(self, since: Since, read_at: float) -> None:
        """Note the hole of a channel whose first batch shows what Salesforce retains."""
        self._unread_since = None
        if hole := hole_before(self.channel, since.at, read_at):
            hole = self._found(hole)
            self._holes[hole.id] = hole
            _log.warning("start.not_retained", channel=str(self.channel), start=str(since), state=hole.state)

    def _lose_place(self, checkpoint: Checkpoint | None) -> None:
        without = {name: without_place(hole) for name, hole in self._holes.items()}
        # What an operator skips is not repaired, and the state of others is known.
        changed = {name: self._found(hole) for name, hole in without.items() if hole is not self._holes[name]}
        self._holes |= changed
        if checkpoint is None:
            return
        hole = self._found(lost_place(self.channel, checkpoint, self.clock.now()))
        self._holes[hole.id] = hole
        _log.warning("place.lost", channel=str(self.channel), verified_at=hole.verified_at, state=hole.state)

    def _found(self, hole: ContinuityRecord) -> ContinuityRecord:
        """Return the state of a hole that the policy is about."""
        if self.repairs is None or self.on_refused != "repair" or hole.state is Repair.FULL:
            return hole
        return self.repairs.found(hole)
