"""In any sequence of faults, no event is lost, overtaken or tried too often."""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streamer.dispatch.admission.circuit_breaker import BreakerLimits
from streamer.dispatch.delivery.retry_schedule import RetrySchedule
from streamer.dispatch.dispatcher import Dispatcher
from streamer.dispatch.state import Limits
from streamer.errors import LogUnavailable
from streamer.events import Hold, Outcome, Reject, Retry, Setback
from streamer.log.memory import MemoryLog
from streamer.ports import Batching
from tests.unit.dispatch.moody import Era, Moody
from tests.unit.dispatch.world import TARGET, World, middle

KEYS = ("a", "b", "c", "d")
ENTITIES = ("Account", "Contact")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A dispatcher that runs."""

    task: asyncio.Task[None]
    stopping: asyncio.Event
    dispatcher: Dispatcher


class Machine(RuleBasedStateMachine):
    """One subscriber, its log, its target, and everything that befalls them."""

    batching: Batching | None = None

    def __init__(self) -> None:
        """Start with an empty log."""
        super().__init__()
        self.runner = asyncio.Runner()
        self.target = Moody(self)
        self.world = World(
            target=self.target,
            log=MemoryLog(),
            limits=Limits(waiting=12, parked=8, finished=4),
            in_flight=3 if self.batching is None else 2 * self.batching.size,
            batching=self.batching,
            receipts=True,
            breaker=BreakerLimits(minimum=6, window=12, open_s=4.0, max_open_s=16.0),
            schedule=RetrySchedule(
                first_delay_s=1.0, max_delay_s=8.0, give_up_after_s=20.0, fast_tries=1, jitter=middle
            ),
        )
        self.sent = 0
        self.crashes = 0
        self.processes: list[Process] = []
        self.process: Process | None = None

    def do(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run `work`, and all that follows from it at once."""

        async def then_quiet() -> None:
            await work
            await self.world.quiet()

        self.runner.run(then_quiet())

    @initialize()
    def begin(self) -> None:
        """Start a process."""
        self.do(self._start())

    @rule(key=st.sampled_from(KEYS), entity=st.sampled_from(ENTITIES), number=st.integers(1, 6))
    def append(self, key: str, entity: str, number: int) -> None:
        """Events come, if the log takes them."""
        names = range(self.sent, self.sent + number)
        self.sent += number
        with suppress(LogUnavailable):
            self.do(self.world.append(*names, key=f"{entity}{key}", entity=entity))

    @rule(
        key=st.sampled_from(KEYS),
        mood=st.sampled_from([None, Retry(reason="500"), Reject(reason="422")]),
        every=st.integers(1, 2),
    )
    def turn_mood(self, key: str, mood: Outcome | None, every: int) -> None:
        """A key begins to fail, with each of its events or some, or heals."""
        self.target.every = every
        for entity in ENTITIES:
            if mood is None:
                self.target.moods.pop(f"{entity}{key}", None)
            else:
                self.target.moods[f"{entity}{key}"] = mood

    @rule(key=st.sampled_from(KEYS))
    def ask_for_a_pause(self, key: str) -> None:
        """A key is answered with 429 once."""
        for entity in ENTITIES:
            self.target.moods[f"{entity}{key}"] = Hold(reason="429", after_s=3.0)
        self.do(self.world.clock.turn(1))
        for entity in ENTITIES:
            self.target.moods.pop(f"{entity}{key}", None)

    @rule(down=st.booleans())
    def target_fails(self, *, down: bool) -> None:
        """The whole target is down, or back."""
        self.target.down = down

    @rule(closed=st.booleans())
    def target_hangs(self, *, closed: bool) -> None:
        """Attempts stay open, or end."""
        if closed:
            self.target.hang()
        else:
            self.target.release()
            self.do(asyncio.sleep(0))

    @rule(down=st.sampled_from([True, False, False]))
    def log_fails(self, *, down: bool) -> None:
        """The log is away, or back."""
        self.world.log.faults.down = down

    @rule()
    def answer_is_lost(self) -> None:
        """The next record takes effect, and nobody hears so."""
        self.world.log.faults.fail_after_commit = True

    @rule(seconds=st.sampled_from([0.5, 2, 10, 60]))
    def time_goes_by(self, seconds: float) -> None:
        """Waiting lanes become due."""
        self.do(self.world.clock.turn(seconds))

    @precondition(lambda self: self.process is not None)
    @rule()
    def crash(self) -> None:
        """The process ends where it stands."""
        assert self.process
        self.process.task.cancel()
        self.do(asyncio.wait([self.process.task]))
        self.process = None
        self.crashes += 1

    @precondition(lambda self: self.process is not None)
    @rule()
    def crash_and_start(self) -> None:
        """The next process comes at once."""
        self.crash()
        self.start()

    @precondition(lambda self: self.process is not None)
    @rule()
    def stop(self) -> None:
        """The process ends in good order, if it can."""
        assert self.process
        self.process.stopping.set()
        self.do(self.world.clock.turn(40))
        if self.process.task.done():
            self.process = None
        else:
            self.crash()

    @precondition(lambda self: self.process is None)
    @rule()
    def start(self) -> None:
        """The next process takes over."""
        self.do(self._start())

    @precondition(lambda self: self.process is not None and not self.world.log.faults.down)
    @rule(seconds=st.sampled_from([1, 3]))
    def rebalance(self, seconds: float) -> None:
        """All partitions go away without being asked, also for longer than attempts are waited for."""
        log = self.world.log
        if log.consumers.feeds:
            [feed] = log.consumers.feeds
            held = feed.holds
            log.consumers.reassign(TARGET, held, to=None)
            self.do(self.world.clock.turn(seconds))
            log.consumers.reassign(TARGET, held, to=feed)
            self.do(asyncio.sleep(0))
            self.crashes += 1

    @invariant()
    def nothing_is_passed_over(self) -> None:
        """Each settled event was delivered or set aside, or is parked."""
        for partition, progress in self.world.log.settled.get(TARGET, {}).items():
            parked = {n for lane in self.world.log.parked(TARGET, partition) for n in lane.offsets}
            for entry in self.world.log.partitions.of(partition):
                if progress.covers(entry.offset):
                    assert entry.event.id in self._ended or entry.offset in parked, entry

    @invariant()
    def keys_are_in_order(self) -> None:
        """An event arrives for the first time when all before it of its key did, or were set aside."""
        first = list(dict.fromkeys(self.target.delivered))
        by_key: dict[str, list[int]] = defaultdict(list)
        keys = {str(event.id): event.key for event in self.world.log.events}
        for name in first:
            by_key[keys[name]].append(int(name))
        assert all(numbers == sorted(numbers) for numbers in by_key.values()), by_key
        assert not self.target.overlapping

    @invariant()
    def nothing_is_tried_too_often(self) -> None:
        """Only a crash forgets attempts, and only an outage gives them back."""
        assert not self.target.miscounted
        assert not self.target.early
        most = self.world.schedule.attempts
        assert all(receipt.attempts <= most for receipt in self.world.log.receipts)
        assert all(letter.attempts <= most for letter in self.world.letters)
        outages = sum(each.dispatcher.admission.breaker._outages for each in self.processes)
        forgotten = self.crashes * (self.world.schedule.fast_tries + 1)
        given_back = outages * self.world.breaker.window
        assert all(tried <= most + forgotten + given_back for tried in self.target.tried.values())

    @invariant()
    def log_knows_what_is_parked(self) -> None:
        """Whoever comes next has the same events, attempts and times."""
        if self.process is None or not self.world.log.consumers.feeds:
            return
        lanes, ledger = self.process.dispatcher.state.lanes, self.process.dispatcher.state.ledger
        # Unrecorded changes, and partitions that come or go, can differ.
        if ledger.unrecorded or self.world.feed._changes:
            return
        for partition in ledger.partitions & self.world.feed.holds:
            for kept in self.world.log.parked(TARGET, partition):
                lane = lanes.get((partition, kept.lane))
                assert lane is not None
                assert tuple(lane.parked) == kept.offsets
                assert (lane.retries.attempts, lane.retries.due_at) == (
                    kept.setback.attempts,
                    kept.setback.due_at,
                )

    @invariant()
    def receipts_are_written_once(self) -> None:
        """Each belongs to a delivery."""
        names = [receipt.event_id for receipt in self.world.log.receipts]
        assert len(names) == len(set(names))
        assert set(names) <= set(self.target.delivered)

    def teardown(self) -> None:
        """Everything heals, and then everything has ended."""
        try:
            self._heal()
            assert self._ended == self._names, self._names - self._ended
            assert self._receipted == self._names - self._set_aside
        finally:
            self.runner.close()

    def _heal(self) -> None:
        self.target.moods.clear()
        self.target.down = self.world.log.faults.down = self.world.log.faults.fail_after_commit = False
        self.target.release()
        if self.process is None:
            self.do(self._start())
        for _ in range(20):
            self.do(self.world.clock.turn(30))
            if self._ended == self._names and self._receipted == self._names - self._set_aside:
                break

    @property
    def era(self) -> Era:
        """Which it is now."""
        breaker = self.processes[-1].dispatcher.admission.breaker
        return Era(len(self.processes), self.world.feed._assignment, breaker._outages)

    @property
    def now(self) -> float:
        """The time, in epoch seconds."""
        return self.world.clock.now()

    def parked_heads(self) -> Mapping[str, Setback]:
        """Return what the log says of the heads of parked lanes, by their events."""
        return {
            self.world.log.partitions.of(partition)[lane.offsets[0]].event.id: lane.setback
            for partition in self.world.log.settled.get(TARGET, {})
            for lane in self.world.log.parked(TARGET, partition)
        }

    @property
    def _names(self) -> set[str]:
        return {event.id for event in self.world.log.events}

    @property
    def _receipted(self) -> set[str]:
        return {receipt.event_id for receipt in self.world.log.receipts}

    @property
    def _set_aside(self) -> set[str]:
        return {letter.event.id for letter in self.world.letters if letter.event}

    @property
    def _ended(self) -> set[str]:
        return set(self.target.delivered) | self._set_aside

    async def _start(self) -> None:
        stopping = asyncio.Event()
        dispatcher = self.world.dispatcher()
        if self.world.log.faults.down:
            return
        task = asyncio.create_task(dispatcher.run(stopping), name="process")
        self.process = Process(task=task, stopping=stopping, dispatcher=dispatcher)
        self.processes.append(self.process)


class BatchMachine(Machine):
    """The same, with a plugin that takes several events in one call."""

    batching = Batching(size=3, wait_s=0.01)


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    # More than ten thousand steps in all.
    max_examples=250,
    stateful_step_count=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

TestBatchMachine = BatchMachine.TestCase
TestBatchMachine.settings = settings(TestMachine.settings, max_examples=150)
