"""Delivers the log's events to one target."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial

from streamer.clock import CLOCKS_DIFFER_S, Clock
from streamer.dispatch.admission.admission import Admission
from streamer.dispatch.batches import Batches
from streamer.dispatch.delivery.attempts import Attempts
from streamer.dispatch.delivery.retry_schedule import Failures, RetrySchedule
from streamer.dispatch.joining import Joining
from streamer.dispatch.lanes.lanes import Order
from streamer.dispatch.lanes.listing import OldestEvent, ParkedListing
from streamer.dispatch.loop import HeadDelivery, Intake, TryOnce, Workers, or_end
from streamer.dispatch.redrive import Redelivery
from streamer.dispatch.settling import Settling
from streamer.dispatch.state import DispatchState, Limits
from streamer.events import Entry, Event
from streamer.observe.subscriber_status import LastFailure, ParkedKeys, Standing, SubscriberStatus
from streamer.ports import Batching, Feed, LogReader, Subscription

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchOptions:
    """Settings of one subscriber's deliveries.

    The log waits `session_s` seconds for a silent process before it gives the
    partitions to other processes. If the event loop was frozen, or if the log accepts
    no record, the partitions can be lost. In this case, no attempt begins until the log
    has accepted a record for each partition. `session_s` is `None` if the log never
    gives partitions to another process.

    With `batching`, one call of the plugin delivers the heads of several lanes. Halves
    of an event must arrive within `join_within_s` seconds. An event that is not
    delivered after `deliver_within_s` seconds is late. Each function in `on_read` is
    called with every event that is read.
    """

    limits: Limits
    schedule: RetrySchedule
    order: Order = Order.KEY
    session_s: float | None = None
    batching: Batching | None = None
    join_within_s: float = _DAY_S
    deliver_within_s: float | None = None
    on_read: Collection[Callable[[Event], None]] = ()


class Dispatcher:
    """Delivers the log's events to one target, in order for each lane, and many lanes at the same time.

    An event is settled when it was delivered, skipped, parked or set aside. Only then
    is the next event of its lane delivered. All parts share one `state`, and no part
    refers to another part. The intake puts events into the state, the workers try these
    events, and settling applies the result of each attempt.
    """

    def __init__(
        self,
        *,
        subscription: Subscription,
        reader: LogReader,
        attempts: Attempts,
        admission: Admission,
        clock: Clock,
        options: DispatchOptions,
    ) -> None:
        """Begin empty; no I/O happens before `run`."""
        name, upstream = subscription.subscriber, attempts.upstream
        self.attempts = attempts
        self.admission = admission
        self.state = state = DispatchState(
            name,
            options.limits,
            clock,
            order=options.order,
            joins=upstream.joins,
            session_s=options.session_s,
        )
        self.redelivery = Redelivery(subscription=subscription, reader=reader, attempts=attempts, state=state)
        self.deliver_within_s = options.deliver_within_s
        self.following = False
        self.earlier_outage: float | None = None
        self._subscription = subscription
        self._reader = reader
        self._clock = clock
        self._oldest = OldestEvent(state.lanes, clock)
        self._failures = Failures(name=name, clock=clock)
        joining = Joining(upstream=upstream, state=state, limit_s=options.join_within_s)
        parts_come = joining if upstream.joins else None
        self._intake = Intake(
            state=state,
            attempts=attempts,
            failures=self._failures,
            joining=parts_come,
            on_read=options.on_read,
        )
        self._workers = self._new_workers(options, parts_come)

    def _new_workers(self, options: DispatchOptions, joining: Joining | None) -> Workers:
        attempts, admission, state = self.attempts, self.admission, self.state
        on_idle: Callable[[], None] | None = None
        try_once: TryOnce = partial(attempts.try_once, ahead=state.lanes.upcoming, is_ours=state.owns)
        if options.batching is not None:
            batches = Batches(batching=options.batching, attempts=attempts, admission=admission, state=state)
            try_once, on_idle = batches.try_once, batches.reconsider
        settling = Settling(
            state=state,
            attempts=attempts,
            schedule=options.schedule,
            admission=admission,
            failures=self._failures,
            redelivery=self.redelivery,
        )
        head = HeadDelivery(state=state, try_once=try_once, joining=joining)
        return Workers(
            state=state,
            admission=admission,
            head=head,
            settling=settling,
            ending=attempts.plugin.ending,
            on_idle=on_idle,
        )

    def probe_now(self) -> None:
        """Test the target now: end the hold, and let an open breaker probe at once."""
        self.admission.probe_now()

    @property
    def unrecorded_since(self) -> float | None:
        """Time since which finished events are not recorded in the log, in seconds of the monotonic clock."""
        return self.state.ledger.unrecorded_since

    @property
    def status(self) -> SubscriberStatus:
        """Current state of the subscriber, for metrics and operators."""
        lanes, admission = self.state.lanes, self.admission
        return SubscriberStatus(
            lag=self.state.behind + lanes.waiting,
            waiting=lanes.waiting,
            parked=lanes.parked,
            in_flight=len(self.state.in_flight),
            limit=admission.concurrency.limit,
            hindrance=admission.hindrance,
            is_held=admission.is_held,
            is_down=admission.probes,
            at=self._clock.now(),
            oldest_at=self._oldest.committed_at,
            deliver_within_s=self.deliver_within_s,
            down_since=self._down_since,
            last_failure=self._last_failure,
            next_try_at=self._next_try_at,
        )

    @property
    def _down_since(self) -> float | None:
        if not self.admission.probes:
            return None
        failures = self._failures
        # Without `down_since`, all failing events had already failed before the target's last answer. Then
        # only the beginning of the failures is known.
        since = failures.last.since if failures.down_since is None and failures.last else failures.down_since
        return since if since is None else min(since, self._outage_before(since))

    @property
    def _last_failure(self) -> LastFailure | None:
        # Without a waiting event, nothing can fail, however the last attempt ended.
        last = self._failures.last if self.state.has_undelivered else None
        return last if last is None else replace(last, since=min(last.since, self._outage_before(last.since)))

    def _outage_before(self, since: float) -> float:
        """Return the beginning of an outage that began in an earlier process and still lasts, or `since`.

        The outage is over when the target has answered in this process, or when no
        event from the time of the outage still waits.
        """
        before, oldest = self.earlier_outage, self._oldest.committed_at
        if before is None or oldest is None or self._failures.has_answered:
            return since
        return before if oldest < before + CLOCKS_DIFFER_S else since

    @property
    def stalled_since(self) -> float | None:
        """Monotonic time since which no attempt has ended although attempts are possible.

        `None` while no delivery waits to be tried. Also `None` while something prevents
        attempts: a hold, an open breaker, retries that are not due, an ownership check,
        or a log that accepts no record.
        """
        state = self.state
        if not state.has_work or self.admission.hindrance:
            return None
        if state.standstill.lasts or state.ledger.is_full:
            return None
        return max(state.moved_at, self.admission.open_since)

    def parked(self, most: int, *, key: str | None = None) -> ParkedKeys:
        """Return the `most` parked keys of this process that are due first; with `key`, only this key."""
        state = self.state
        listing = ParkedListing(lanes=state.lanes, delay_queue=state.delay_queue, in_flight=state.in_flight)
        return listing.keys(most, key=key)

    def standing(self, entry: Entry) -> Standing | None:
        """Return the standing of an event, or `None` if another process owns its partition."""
        return self.state.standing(entry)

    @property
    def _next_try_at(self) -> float | None:
        opens_s = self.admission.opens_in_s
        # While a worker waits for permission for one lane, this lane is due, but `ready` can be
        # false.
        is_due = self.state.lanes.ready or self._workers.is_choosing
        due_s = 0.0 if is_due else self.state.delay_queue.next_s
        if opens_s is None or due_s is None:
            return None
        wait_s = max(opens_s, due_s)
        return self._clock.now() + wait_s if wait_s else None

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until `stopping` is set, then finish and record the attempts in flight, and return.

        Raises the errors of `follow` and of opening the plugin.
        """
        name, ending = self.state.name, self.attempts.plugin.ending
        async with (
            self.attempts.opened(),
            self._reader.follow(self._subscription) as feed,
            asyncio.TaskGroup() as group,
        ):
            self.following = True
            side_tasks = [
                group.create_task(or_end(self._intake.run(feed), ending), name=f"read {name}"),
                group.create_task(or_end(self._intake.record(feed), ending), name=f"record {name}"),
                group.create_task(or_end(self._wake_due(), ending), name=f"wake {name}"),
                group.create_task(or_end(self.state.standstill.run(), ending), name=f"beat {name}"),
            ]
            deliver = or_end(self._workers.run(group, feed), ending)
            delivering = group.create_task(deliver, name=f"deliver {name}")
            try:
                await stopping.wait()
                delivering.cancel()
                await self._drain(feed)
            except BaseException:
                ending.set()
                raise
            for task in side_tasks:
                task.cancel()

    async def _drain(self, feed: Feed) -> None:
        state = self.state
        state.is_closed = True
        if self._workers.on_idle is not None:
            self._workers.on_idle()
        # Reading continues, because the feed also reports lost partitions.
        self._intake.restrain(feed)
        await state.in_flight.landed()
        # The lanes are parked, so that the attempts made so far still count after a restart.
        state.park_failed(state.ledger.partitions)
        await state.ledger.complete()

    async def _wake_due(self) -> None:
        while True:
            lane = await self.state.delay_queue.due()
            had_work = self.state.has_work
            self.state.lanes.make_ready(lane)
            if not had_work:
                self.state.moved()
