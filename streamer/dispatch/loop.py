"""Running loop of a subscriber, which takes events in and tries the heads of lanes."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice, takewhile

import structlog

from streamer.blocking import SUBSCRIBER
from streamer.dispatch.admission.admission import Admission, Ticket
from streamer.dispatch.commands import ASK_AGAIN, REQUEUE, SET_LOST_ASIDE, Command
from streamer.dispatch.delivery.attempts import AttemptResult, Attempts
from streamer.dispatch.delivery.plugin_calls import cancellations, undo_cancellations
from streamer.dispatch.delivery.retry_schedule import Failures
from streamer.dispatch.joining import Joining
from streamer.dispatch.lanes.lanes import Lane, LaneState
from streamer.dispatch.settling import Settling
from streamer.dispatch.state import DispatchState
from streamer.errors import LogUnavailable
from streamer.events import Entry, Event, Partition
from streamer.ports import Assigned, Feed, Page, Revoked

_log = structlog.get_logger()

_RECALLED = 20

TryOnce = Callable[[Lane], Awaitable[AttemptResult | None]]
"""Function that delivers the head of a lane; it returns `None` if the lane was lost before the call."""


async def or_end(work: Awaitable[None], ending: asyncio.Event) -> None:
    """Await `work`; set `ending` if `work` fails, because its error then cancels the attempts in flight."""
    try:
        await work
    except Exception:
        ending.set()
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadDelivery:
    """Tries the head of a lane, or returns a command if the head can't be tried now."""

    state: DispatchState
    try_once: TryOnce
    joining: Joining | None

    async def ending(self, lane: Lane, feed: Feed) -> AttemptResult | Command:
        """Return the result of an attempt at the head of `lane`, or a command if there was no attempt.

        The caller must ignore a command for a lane that was lost in the meantime.
        """
        if not lane.entries:
            command = await self._recalled(lane, feed)
            if command is not None:
                return command
        elif not self.state.standstill.is_over():
            # The process can have been frozen until now. The lane waits in the queue, because a lane
            # in flight would delay the release of its partition.
            return REQUEUE
        if self.joining is not None and (command := await self._joined(self.joining, lane, feed)) is not None:
            return command
        if lane.state is not LaneState.OPEN:
            return REQUEUE
        tried = await self.try_once(lane)
        return REQUEUE if tried is None else tried

    async def _recalled(self, lane: Lane, feed: Feed) -> Command | None:
        """Recall the first events of a parked lane into memory; return a command if the recall failed."""
        # Events that are recalled together with the head stay in memory until their turn comes.
        offsets = list(islice(lane.parked, 1 if self.state.is_full else _RECALLED))
        entries: list[Entry] | None
        try:
            entries = await self.state.ledger.recall(feed, lane.partition, offsets)
        except LogUnavailable as error:
            self._warn(error)
            entries = None
        if not await self.state.owns(lane):
            return REQUEUE
        if lane.entries:
            return None
        if entries and entries[0].offset == lane.head_offset:
            self.state.lanes.recalled(lane, _without_gap(lane, entries))
            return None
        return ASK_AGAIN if entries is None else SET_LOST_ASIDE

    async def _joined(self, joining: Joining, lane: Lane, feed: Feed) -> Command | None:
        """Join the head with its other halves; return a command if the head can't be tried now."""
        try:
            command = await joining.join(lane, feed)
        except LogUnavailable as error:
            self._warn(error)
            return ASK_AGAIN
        # Nothing is awaited between the command and the delay queue, so that the next half finds
        # the waiting lane there.
        if command is None and not await self.state.owns(lane):
            return REQUEUE
        return command

    def _warn(self, error: LogUnavailable) -> None:
        _log.warning("log.unavailable", subscriber=self.state.name, reason=str(error))


def _without_gap(lane: Lane, entries: list[Entry]) -> list[Entry]:
    pairs = zip(lane.parked, entries, strict=False)
    return [entry for _, entry in takewhile(lambda pair: pair[0] == pair[1].offset, pairs)]


_PAUSE_S = 1.0
# The log waits for this process for a limited time before it moves the partitions; this time is shorter.
_FINISH_S = 2.0


@dataclass(slots=True, kw_only=True)
class Intake:
    """Takes events in no faster than they are delivered, and releases partitions at the log's request.

    Each function in `on_read` is called with every event that was read.
    """

    state: DispatchState
    attempts: Attempts
    failures: Failures
    joining: Joining | None
    on_read: Collection[Callable[[Event], None]]
    _paused: frozenset[Partition] = field(default=frozenset(), init=False)

    async def run(self, feed: Feed) -> None:
        """Read `feed` until cancelled."""
        while True:
            read = await self.read(feed)
            had_work = self.state.has_work
            await self.take(read, feed)
            if not had_work:
                self.state.moved()

    async def record(self, feed: Feed) -> None:
        """Record settled events until cancelled, and resume reading when a record makes room."""
        while True:
            await self.state.ledger.record(feed)
            if self.state.standstill.has_ended():
                self.state.moved()
            self.restrain(feed)

    async def read(self, feed: Feed) -> Page | Assigned | Revoked:
        """Return the feed's next page or change; while the log is unavailable, log a warning and retry."""
        while True:
            try:
                return await feed.read()
            except LogUnavailable as error:
                _log.warning("log.unavailable", subscriber=self.state.name, reason=str(error))
                await self.state.clock.sleep(_PAUSE_S)

    async def take(self, read: Page | Assigned | Revoked, feed: Feed) -> None:
        """Process a page, an assignment or a revocation."""
        match read:
            case Page():
                for entry in read.entries:
                    self._arrived(entry)
                self.state.ledger.passed(read.through)
                self.state.behind = read.behind
            case Assigned():
                self.state.ledger.assign(read)
                self.state.restore(read.parked)
                self.failures.restored(chain.from_iterable(read.parked.values()))
            case Revoked(partitions=partitions):
                self._paused -= partitions
                await self._give_up(partitions, feed)
        self.restrain(feed)

    def restrain(self, feed: Feed) -> None:
        """Pause the partitions that must not be read for now, and resume the others."""
        state = self.state
        if state.update_fullness():
            # Parking the events that wait for another attempt makes room for events that can be
            # delivered.
            state.park_waiting(state.ledger.partitions)
        elif self.joining is not None:
            # A crowded partition is not read further, but can still hold missing halves. Parking
            # the waiting events settles their offsets, so that reading continues.
            state.park_waiting(state.ledger.crowded)
        paused = state.paused_partitions()
        if paused != self._paused:
            feed.pause(paused - self._paused)
            feed.resume(self._paused - paused)
            self._report_full(paused - self._paused)
            self._paused = paused

    def _arrived(self, entry: Entry) -> None:
        state, event = self.state, entry.event
        state.ledger.opened(entry)
        for note in self.on_read:
            note(event)
        admitted = self.attempts.admitted(entry)
        if admitted is None:
            state.ledger.skip(entry, *self.attempts.forwarded(event, None))
        else:
            state.queue(admitted, None if self.joining is None else self.joining.is_awaited)

    async def _give_up(self, partitions: frozenset[Partition], feed: Feed) -> None:
        """Wait briefly for the attempts in flight in `partitions`, and record their results.

        Otherwise, the next owner would repeat unrecorded deliveries, but a rolling
        restart must repeat no delivery.
        """
        state = self.state
        leaving = state.begin_leaving(partitions)
        with suppress(TimeoutError):
            async with state.clock.timeout(_FINISH_S):
                await state.in_flight.landed(leaving)
        await state.ledger.give_up(feed, partitions)
        for lane in leaving:
            lane.state = LaneState.GONE

    def _report_full(self, paused: frozenset[Partition]) -> None:
        """Log the partitions that are not read further, because too many events wait for other halves."""
        if self.joining is None:
            return
        for partition in filter(self.state.is_parked_full, paused):
            _log.error(
                "join.full",
                subscriber=self.state.name,
                topic=partition.topic,
                partition=partition.number,
                parked=self.state.lanes.parked_in(partition),
                hint=(
                    "raise max_parked of this subscriber, so that Streamer reads on to the missing "
                    "halves, which come later in the partition"
                ),
            )


ATTEMPT_TASK = "attempt "
"""Prefix of the names of tasks that make attempts; the subscriber's name follows."""


@dataclass(slots=True, kw_only=True)
class Workers:
    """Tasks that try one lane after another; each lane is tried by one task at a time.

    While `is_choosing` is true, one lane waits for permission, and no other lane is
    taken. A cancellation of an attempt before `ending` is set comes from the
    plugin. `on_idle`, if given, is called when a worker finds no other lane.
    """

    state: DispatchState
    admission: Admission
    head: HeadDelivery
    settling: Settling
    ending: asyncio.Event
    on_idle: Callable[[], None] | None
    is_choosing: bool = field(default=False, init=False)
    _freed: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def run(self, group: asyncio.TaskGroup, feed: Feed) -> None:
        """Start a worker in `group` for each further attempt that the target can take."""
        name = f"{ATTEMPT_TASK}{self.state.name}"
        SUBSCRIBER.set(self.state.name)
        while True:
            await self.state.ledger.room()
            await self._worker_needed()
            # A head that has failed before can be broken itself, so it shows less about the target.
            lane = await self.state.lanes.take(untried_first=self.admission.probes)
            self.is_choosing = True
            cleared = await self._is_cleared(lane)
            self.is_choosing = False
            if lane.state is not LaneState.OPEN:
                if cleared:
                    self.admission.not_sent()
            elif cleared:
                group.create_task(self._work(lane, self._begin(lane), feed), name=name)
            else:
                self.state.lanes.make_ready(lane)

    async def _worker_needed(self) -> None:
        while not self.admission.concurrency.has_room:
            self._freed.clear()
            await self._freed.wait()

    async def _work(self, lane: Lane | None, ticket: Ticket, feed: Feed) -> None:
        """Try one lane after another, until no lane can be tried at once."""
        # A cancellation by a plugin is undone, so this number of pending cancellations stays the
        # same.
        before = cancellations()
        try:
            while lane is not None:
                await self._attempt(lane, ticket, feed, before)
                lane = self._next_at_once()
                if lane is not None:
                    ticket = self._begin(lane)
                if self.admission.concurrency.has_room:
                    self._freed.set()
            if self.on_idle is not None:
                self.on_idle()
        except Exception:
            self.ending.set()
            raise

    def _next_at_once(self) -> Lane | None:
        """Return a lane that can be tried now, unless another lane waits for its turn."""
        state = self.state
        if state.is_closed or self.is_choosing or state.ledger.is_full:
            return None
        # The attempt itself finds out whether the process has just been frozen.
        if state.standstill.lasts or not self.admission.is_clear():
            return None
        return state.lanes.take_at_once()

    def _begin(self, lane: Lane) -> Ticket:
        self.state.in_flight.begin(lane)
        return self.admission.begin(lane.full_name)

    async def _attempt(self, lane: Lane, ticket: Ticket, feed: Feed, before: int) -> None:
        """Try the head of `lane`; `before` is the number of pending cancellations of this task."""
        try:
            ending = await self.head.ending(lane, feed)
            self.settling.ended(lane, ticket, ending)
        except asyncio.CancelledError:
            if self.ending.is_set():
                raise
            # A plugin has cancelled an attempt at a time when Streamer was not calling the plugin.
            undo_cancellations(before)
            self.settling.ended(lane, ticket, REQUEUE)
        finally:
            self.state.in_flight.end(lane)
        self.settling.landed(lane)

    async def _is_cleared(self, lane: Lane) -> bool:
        """Wait for permission for an attempt at `lane`.

        If the result is true, the attempt must begin at once.
        """
        while await self.admission.permitted(lane.full_name):
            if not await self.state.standstill.over():
                return True
            self.admission.not_sent()
        return False
