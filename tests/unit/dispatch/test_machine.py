"""Whatever happens in whatever order: nothing is lost, nothing overtakes, and nothing is tried too often."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streamer.dispatch.breaker import BreakerLimits
from streamer.dispatch.dispatcher import Dispatcher, Limits
from streamer.dispatch.schedule import RetrySchedule
from streamer.errors import LogUnavailable
from streamer.events import Delivered, Event, Hold, Outcome, Reject, Retry
from streamer.log.memory import MemoryLog
from tests.unit.dispatch.world import TARGET, ScriptedTarget, World, middle

KEYS = ("a", "b", "c", "d")
ENTITIES = ("Account", "Contact")


class Moody(ScriptedTarget):
    """Answers each key as its mood is at the moment."""

    def __init__(self) -> None:
        """Accept everything."""
        super().__init__(any_order=True)
        self.moods: dict[str, Outcome] = {}
        self.tried: Counter[str] = Counter()

    async def _answer(self, event: Event) -> Outcome:
        outcome = Retry(reason="down") if self.down else self.moods.get(event.key, Delivered())
        if isinstance(outcome, Retry) and not self.down:
            self.tried[event.id] += 1
        if isinstance(outcome, Delivered):
            self.delivered.append(event.id)
        return outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A dispatcher that runs."""

    task: asyncio.Task[None]
    stopping: asyncio.Event
    dispatcher: Dispatcher


class Machine(RuleBasedStateMachine):
    """One subscriber, its log, its target, and everything that befalls them."""

    def __init__(self) -> None:
        """Start with an empty log."""
        super().__init__()
        self.runner = asyncio.Runner()
        self.target = Moody()
        self.world = World(
            target=self.target,
            log=MemoryLog(),
            limits=Limits(waiting=12, parked=8),
            in_flight=3,
            receipts=True,
            breaker=BreakerLimits(minimum=6, window=12, open_s=4.0, max_open_s=16.0),
            schedule=RetrySchedule(
                first_delay_s=1.0, max_delay_s=8.0, give_up_after_s=20.0, fast_tries=2, jitter=middle
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

    @rule(key=st.sampled_from(KEYS), mood=st.sampled_from([None, Retry(reason="500"), Reject(reason="422")]))
    def turn_mood(self, key: str, mood: Outcome | None) -> None:
        """A key begins to fail, or heals."""
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
        self.do(self.world.turn(1))
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

    @rule(down=st.booleans())
    def log_fails(self, *, down: bool) -> None:
        """The log is away, or back."""
        self.world.log.down = down

    @rule()
    def answer_is_lost(self) -> None:
        """The next record takes effect, and nobody hears so."""
        self.world.log.fail_after_commit = True

    @rule(seconds=st.sampled_from([0.5, 2, 10, 60]))
    def time_goes_by(self, seconds: float) -> None:
        """What waits becomes due."""
        self.do(self.world.turn(seconds))

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
    def stop(self) -> None:
        """The process ends in good order, if it can."""
        assert self.process
        self.process.stopping.set()
        self.do(self.world.turn(40))
        if self.process.task.done():
            self.process = None
        else:
            self.crash()

    @precondition(lambda self: self.process is None)
    @rule()
    def start(self) -> None:
        """The next process takes over."""
        self.do(self._start())

    @precondition(lambda self: self.process is not None and not self.world.log.down)
    @rule()
    def rebalance(self) -> None:
        """All partitions go away for a moment, without being asked."""
        log = self.world.log
        if log._feeds:
            [feed] = log._feeds
            held = feed.holds
            log.reassign(TARGET, held, to=None)
            self.do(self.world.turn(1))
            log.reassign(TARGET, held, to=feed)
            self.do(self.world.quiet())
            self.crashes += 1

    @invariant()
    def nothing_is_passed_over(self) -> None:
        """What is settled was delivered, set aside, or is parked."""
        for partition, progress in self.world.log.settled.get(TARGET, {}).items():
            parked = {n for lane in self.world.log.parked(TARGET, partition) for n in lane.offsets}
            for entry in self.world.log.partition(partition):
                if entry.offset < progress.next_offset or entry.offset in progress.settled_above:
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

    @invariant()
    def nothing_is_tried_too_often(self) -> None:
        """Only a crash forgets attempts, and only an outage gives them back."""
        most = self.world.schedule.attempts
        assert all(receipt.attempts <= most for receipt in self.world.log.receipts)
        assert all(letter.attempts <= most for letter in self.world.letters)
        outages = sum(each.dispatcher.admission.breaker._outages for each in self.processes)
        forgotten = self.crashes * (self.world.schedule.fast_tries + 1)
        given_back = outages * self.world.breaker.window
        assert all(tried <= most + forgotten + given_back for tried in self.target.tried.values())

    @invariant()
    def receipts_are_written_once(self) -> None:
        """Each tells of a delivery."""
        names = [receipt.event_id for receipt in self.world.log.receipts]
        assert len(names) == len(set(names))
        assert set(names) <= set(self.target.delivered)

    def teardown(self) -> None:
        """Everything heals, and then everything has ended."""
        self.target.moods.clear()
        self.target.down = self.world.log.down = self.world.log.fail_after_commit = False
        self.target.release()
        if self.process is None:
            self.do(self._start())
        for _ in range(20):
            self.do(self.world.turn(30))
        names = {event.id for event in self.world.log.events}
        assert self._ended == names, names - self._ended
        assert {receipt.event_id for receipt in self.world.log.receipts} == names - self._set_aside
        self.crash()
        self.runner.close()

    @property
    def _set_aside(self) -> set[str]:
        return {letter.event.id for letter in self.world.letters if letter.event}

    @property
    def _ended(self) -> set[str]:
        return set(self.target.delivered) | self._set_aside

    async def _start(self) -> None:
        stopping = asyncio.Event()
        dispatcher = self.world.dispatcher()
        if self.world.log.down:
            return
        task = asyncio.create_task(dispatcher.run(stopping), name="process")
        self.process = Process(task=task, stopping=stopping, dispatcher=dispatcher)
        self.processes.append(self.process)


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=200,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
