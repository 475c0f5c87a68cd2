"""Delivers the log's events to one target."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

from streamer.clock import Clock
from streamer.dispatch.admission.admission import Admission
from streamer.dispatch.chains.joining import Joining
from streamer.dispatch.delivery.attempts import Attempts
from streamer.dispatch.delivery.failures import Failures
from streamer.dispatch.delivery.retry_schedule import RetrySchedule
from streamer.dispatch.lanes.delay_queue import DelayQueue
from streamer.dispatch.lanes.in_flight import InFlight
from streamer.dispatch.lanes.lane import Order
from streamer.dispatch.lanes.lanes import Lanes
from streamer.dispatch.lanes.oldest import OldestEvent
from streamer.dispatch.lanes.parked_keys import ParkedListing
from streamer.dispatch.loop.batches import Batches
from streamer.dispatch.loop.intake import Intake, Limits
from streamer.dispatch.loop.workers import Workers
from streamer.dispatch.progress.ledger import Ledger
from streamer.dispatch.progress.standstill import Standstill
from streamer.dispatch.redrive.placed_letters import HasPlace, LetterPlaces
from streamer.dispatch.redrive.redelivery import Redelivery, Redriven
from streamer.dispatch.settling.outcomes import OutcomeHandler
from streamer.events import DeadLetter, Partition
from streamer.observe.subscriber_status import ParkedKeys, SubscriberStatus
from streamer.ports import Batching, Feed, LogReader, Subscription

_DAY_S = 86_400.0


@dataclass(slots=True, kw_only=True)
class Dispatcher:
    """Carries the log's events to one target, in order per lane, many lanes at once.

    An event is settled when it was delivered, skipped, parked or set aside.
    Only then does the next event of its lane go out.

    The log waits `session_s` seconds for a silent process before it gives its
    partitions to others. When the loop stood still or the log takes no record,
    the partitions can be lost. Then no attempt begins until the log has taken a
    record of each partition. `None` is for a log that never gives partitions to
    another process.

    With `batching`, one call of the plugin delivers the heads of several lanes.
    """

    subscription: Subscription
    reader: LogReader
    attempts: Attempts
    schedule: RetrySchedule
    admission: Admission
    limits: Limits
    clock: Clock
    order: Order = Order.KEY
    session_s: float | None = None
    batching: Batching | None = None
    join_within_s: float = _DAY_S
    deliver_within_s: float | None = None
    following: bool = field(default=False, init=False)
    _lanes: Lanes = field(init=False)
    _oldest: OldestEvent = field(init=False)
    _ledger: Ledger = field(init=False)
    _delay_queue: DelayQueue = field(init=False)
    _failures: Failures = field(init=False)
    _redelivery: Redelivery = field(init=False)
    _joining: Joining = field(init=False)
    _outcomes: OutcomeHandler = field(init=False)
    _intake: Intake = field(init=False)
    _standstill: Standstill = field(init=False)
    _workers: Workers = field(init=False)
    _in_flight: InFlight = field(default_factory=InFlight, init=False)

    def __post_init__(self) -> None:
        self._lanes = Lanes(self.order, joins=self.attempts.upstream.joins)
        self._oldest = OldestEvent(self._lanes, self.clock)
        self._ledger = Ledger(self.clock, most_finished=self.limits.finished)
        self._delay_queue = DelayQueue(self.clock)
        self._failures = Failures(name=self.subscription.subscriber, clock=self.clock)
        self._redelivery = Redelivery(
            subscription=self.subscription,
            reader=self.reader,
            attempts=self.attempts,
            lanes=self._lanes,
            ledger=self._ledger,
            delay_queue=self._delay_queue,
            in_flight=self._in_flight,
            clock=self.clock,
        )
        self._joining = self._new_joining()
        self._outcomes = OutcomeHandler(
            attempts=self.attempts,
            schedule=self.schedule,
            lanes=self._lanes,
            ledger=self._ledger,
            delay_queue=self._delay_queue,
            admission=self.admission,
            failures=self._failures,
            redelivery=self._redelivery,
            joining=self._joining,
            clock=self.clock,
        )
        self._intake = Intake(
            name=self.subscription.subscriber,
            limits=self.limits,
            clock=self.clock,
            lanes=self._lanes,
            ledger=self._ledger,
            delay_queue=self._delay_queue,
            outcomes=self._outcomes,
            in_flight=self._in_flight,
        )
        self._standstill = Standstill(
            name=self.subscription.subscriber,
            ledger=self._ledger,
            clock=self.clock,
            session_s=self.session_s,
        )
        self._workers = self._new_workers()

    def _new_workers(self) -> Workers:
        return Workers(
            name=self.subscription.subscriber,
            attempts=self.attempts,
            admission=self.admission,
            lanes=self._lanes,
            ledger=self._ledger,
            delay_queue=self._delay_queue,
            in_flight=self._in_flight,
            intake=self._intake,
            joining=self._joining,
            outcomes=self._outcomes,
            redelivery=self._redelivery,
            standstill=self._standstill,
            clock=self.clock,
            batches=self._gathering(),
        )

    def _gathering(self) -> Batches | None:
        if self.batching is None:
            return None
        return Batches(
            batching=self.batching,
            attempts=self.attempts,
            admission=self.admission,
            lanes=self._lanes,
            ledger=self._ledger,
            intake=self._intake,
            in_flight=self._in_flight,
            standstill=self._standstill,
            clock=self.clock,
            order=self.order,
        )

    def _new_joining(self) -> Joining:
        return Joining(
            upstream=self.attempts.upstream,
            lanes=self._lanes,
            ledger=self._ledger,
            clock=self.clock,
            limit_s=self.join_within_s,
        )

    @property
    def unrecorded_since(self) -> float | None:
        """Time since which finished events are not in the log, in the clock's monotonic seconds."""
        return self._ledger.unrecorded_since

    @property
    def status(self) -> SubscriberStatus:
        """Current state of the subscriber, for metrics and operators."""
        return SubscriberStatus(
            lag=self._intake.behind + self._lanes.waiting,
            waiting=self._lanes.waiting,
            parked=self._lanes.parked,
            in_flight=len(self._in_flight),
            limit=self.admission.limit,
            hindrance=self.admission.hindrance,
            is_held=self.admission.is_held,
            is_down=self.admission.probes,
            at=self.clock.now(),
            oldest_at=self._oldest.committed_at,
            deliver_within_s=self.deliver_within_s,
            last_failure=self._failures.last,
            next_try_at=self._next_try_at,
        )

    @property
    def stalled_since(self) -> float | None:
        """Time since which no attempt has ended though one could, in the clock's monotonic seconds.

        `None` while there is nothing to try. `None` as well while one of these
        explains the pause: a hold, an open breaker, retries that are not due,
        an ownership check, or a log that takes no record.
        """
        if not self._workers.has_work or self.admission.hindrance:
            return None
        if self._standstill.lasts or self._ledger.is_full:
            return None
        return max(self._workers.moved_at, self.admission.open_since)

    def parked(self, most: int, *, key: str | None = None) -> ParkedKeys:
        """Return the `most` parked keys of this process that are due first; with `key` only its own."""
        listing = ParkedListing(lanes=self._lanes, delay_queue=self._delay_queue, in_flight=self._in_flight)
        return listing.keys(most, key=key)

    def holds(self, partition: Partition) -> bool:
        """Return true for a partition that is assigned to this process."""
        return partition in self._ledger.partitions

    def probe_now(self) -> None:
        """Try the target now: end a hold, and let an open breaker probe at once."""
        self.admission.probe_now()

    async def superseded(self, letters: Collection[HasPlace], aside: LetterPlaces) -> frozenset[str]:
        """Return the ids of `letters` that a later event of their key has superseded, until now.

        From now on deliveries of these keys are watched, so that `redrive` can
        tell which letters are superseded later. `aside` are the places of
        all letters of the subscriber. Raises `LogUnavailable`.
        """
        return await self._redelivery.superseded(letters, aside)

    def watches(self, letter: HasPlace) -> bool:
        """Return true while deliveries of the key of `letter` are watched."""
        return self._redelivery.watches(letter)

    def watch_nothing(self) -> None:
        """Watch the deliveries of no key, since no redrive is open."""
        self._redelivery.watch_nothing()

    def redrive(self, letter: DeadLetter, *, include_superseded: bool) -> Redriven:
        """Deliver the event of a dead letter again, ahead of the later ones in its lane."""
        if self._workers.is_closed:
            return Redriven.NOT_OURS
        return self._redelivery.redrive(letter, include_superseded=include_superseded)

    @property
    def _next_try_at(self) -> float | None:
        opens_s = self.admission.opens_in_s
        # While one lane waits for its passage, the others are not asked.
        due_s = 0.0 if self._lanes.ready or self._workers.is_choosing else self._delay_queue.next_s
        if opens_s is None or due_s is None:
            return None
        wait_s = max(opens_s, due_s)
        return self.clock.now() + wait_s if wait_s else None

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until `stopping`, then finish the attempts in flight, record them and return.

        Raises what `follow` and the opening of the plugin raise.
        """
        name = self.subscription.subscriber
        async with (
            self.attempts.opened(),
            self.reader.follow(self.subscription) as feed,
            asyncio.TaskGroup() as group,
        ):
            self.following = True
            side_tasks = [
                group.create_task(self._workers.telling(self._read, feed), name=f"read {name}"),
                group.create_task(self._workers.telling(self._record, feed), name=f"record {name}"),
                group.create_task(self._workers.telling(self._wake_due), name=f"wake {name}"),
                group.create_task(self._workers.telling(self._standstill.run), name=f"beat {name}"),
            ]
            deliver = self._workers.telling(self._workers.run, group, feed)
            delivering = group.create_task(deliver, name=f"deliver {name}")
            try:
                await stopping.wait()
                delivering.cancel()
                await self._drain(feed)
            except BaseException:
                self.attempts.ending.set()
                raise
            for task in side_tasks:
                task.cancel()

    async def _drain(self, feed: Feed) -> None:
        self._workers.close()
        self._intake.close(feed)
        await self._in_flight.landed()
        # A restart must not forget the attempts that were spent.
        self._outcomes.park_failed(self._ledger.partitions, in_flight=())
        await self._ledger.complete()

    async def _read(self, feed: Feed) -> None:
        while True:
            read = await self._intake.read(feed)
            had_work = self._workers.has_work
            await self._intake.take(read, feed)
            self._workers.note_work(had_work)

    async def _record(self, feed: Feed) -> None:
        while True:
            await self._ledger.record(feed)
            if self._standstill.has_ended():
                self._workers.moved_at = self.clock.monotonic()
            self._intake.restrain(feed)

    async def _wake_due(self) -> None:
        while True:
            lane = await self._delay_queue.due()
            had_work = self._workers.has_work
            self._lanes.make_ready(lane)
            self._workers.note_work(had_work)
