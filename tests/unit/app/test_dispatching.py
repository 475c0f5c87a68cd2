"""Subscribers follow switches and the configuration, and keep the switches that they set themselves."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Self

import pytest

from streamer.admin.subscribers import deliver_trial, trial_event
from streamer.app.dispatching import Dispatching
from streamer.app.observers import Observers
from streamer.app.plan import Plan
from streamer.app.reloading import PlanInEffect
from streamer.clock import TurnedClock
from streamer.configuration import Document, load
from streamer.controls import AuditRecord, Control, ControlState, Switch
from streamer.dispatch.delivery.route import Route
from streamer.errors import ConfigurationError, ForeignRecord
from streamer.events import Delivery, FailureClass, Outcome, Reject, Retry, SubscriberName
from streamer.log.memory import MemoryLog
from streamer.log.memory.feed import MemoryFeed
from streamer.observe.metrics import Metrics
from streamer.ports import Subscription
from streamer.salesforce.auth.flows import Logins
from streamer.supervision.conditions import SubscribersCondition
from tests.contracts.values import an_append, an_event, append_to
from tests.unit.dispatch.world import ScriptedTarget

ONE, OTHER = SubscriberName("one"), SubscriberName("other")


@dataclass
class World:
    """The side that delivers, between a log in memory and a target for each subscriber."""

    clock: TurnedClock = field(default_factory=TurnedClock)
    log: MemoryLog = field(default_factory=MemoryLog)
    targets: dict[SubscriberName, ScriptedTarget] = field(
        default_factory=lambda: {ONE: ScriptedTarget(), OTHER: ScriptedTarget()}
    )
    _numbers: "count[int]" = field(default_factory=count)

    def plan(self, *names: SubscriberName, **settings: Any) -> Plan:
        """Return a configuration of these subscribers."""
        subscriber = {"uses": "scripted", "on": "*", "start": "earliest", **settings}
        auth = {"flow": "client_credentials", "client_id": "id", "client_secret": "secret"}
        document = Document(
            data={
                "org": {"login_url": "https://login.salesforce.com", "auth": auth},
                "channels": ["/data/ChangeEvents"],
                "subscribers": dict.fromkeys(names, subscriber),
            }
        )
        return Plan(
            document=document,
            settings=load(document),
            logins=Logins(self.clock),
            subscribers={name: lambda name=name: self.targets[name] for name in names},  # type: ignore[misc] # mypy infers no lambda with a default
            routes={name: Route(name=name) for name in names},
        )

    @asynccontextmanager
    async def running(self, plan: Plan) -> AsyncIterator[Dispatching]:
        """Deliver inside the context."""
        observers = Observers(metrics=Metrics(clock=self.clock))
        dispatching = Dispatching(
            in_effect=PlanInEffect(plan=plan),
            clock=self.clock,
            observers=observers,
            condition=SubscribersCondition(),
        )
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(dispatching.run(self.log, stopping))
            await self.quiet()
            try:
                yield dispatching
            finally:
                stopping.set()
                await self.quiet()

    async def happen(self, events: int) -> None:
        """Let so many events enter the log, and whatever follows happen."""
        await append_to(self.log, an_append(*(an_event(next(self._numbers)) for _ in range(events))))
        await self.quiet()

    async def quiet(self) -> None:
        """Let everything happen that needs no time."""
        for _ in range(10):
            await self.clock.turn(0)

    def delivered(self, name: SubscriberName) -> int:
        """Return how many events a target has taken."""
        return len(self.targets[name].delivered)

    async def switch(self, name: SubscriberName, to: Switch) -> None:
        """Switch a subscriber in the log, as another process does."""
        control = Control(subscriber=name, switch=to, by="operator", at=self.clock.now())
        audit = AuditRecord(at=self.clock.now(), what=f"subscriber.{to}", by="operator", subscriber=name)
        await self.log.controls.switch(control, audit)
        await self.quiet()

    async def reject_while_the_log_is_down(self, name: SubscriberName) -> None:
        """Have a target reject its first event after the log has gone away."""
        target = self.targets[name]
        target.answers["0"].append(Reject(reason="422"))
        target.hang()
        await self.happen(1)
        self.log.faults.down = True
        target.release()
        await self.quiet()

    async def board(self) -> ControlState:
        """Return what is switched in the log."""
        return await anext(self.log.controls.switched())


@pytest.fixture
def world() -> World:
    """Nothing runs yet."""
    return World()


async def test_pause_and_resume_in_the_log_are_obeyed(world: World) -> None:
    """By the subscriber that is meant, and by no other."""
    async with world.running(world.plan(ONE, OTHER)):
        await world.switch(ONE, Switch.PAUSED)
        await world.happen(3)
        assert (world.delivered(ONE), world.delivered(OTHER)) == (0, 3)
        await world.switch(ONE, Switch.RUNNING)
        assert (world.delivered(ONE), world.delivered(OTHER)) == (3, 3)


@dataclass(slots=True, kw_only=True)
class SpoiltLog(MemoryLog):
    """Holds a record of somebody else among the parked events of one subscriber."""

    @asynccontextmanager
    async def follow(self, subscription: Subscription) -> AsyncIterator[MemoryFeed]:
        """Fail for that subscriber."""
        if subscription.subscriber == ONE:
            raise ForeignRecord("Streamer did not write a record: topic parked.one, partition 0, offset 5")
        async with MemoryLog.follow(self, subscription) as feed:
            yield feed


class ExitsLater(ScriptedTarget):
    """Target that leaves a task behind, which exits as a script does."""

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Deliver, and start the task."""

        async def script() -> None:
            sys.exit("a mistake of the script")

        # Of a task that is started by a task of the plugin, the same holds.
        async def outer() -> None:
            with pytest.raises(RuntimeError, match="raised SystemExit"):
                await asyncio.create_task(script())

        self.task = asyncio.create_task(outer())
        return await ScriptedTarget.deliver(self, delivery)


class CancelsOpening(ScriptedTarget):
    """Target that cancels the task in which it is opened, twice, and then opens."""

    async def __aenter__(self) -> Self:
        """Cancel, or open."""
        self.entered += 1
        if self.entered <= 2:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
        return self


@pytest.mark.parametrize(("target", "failures"), [(ExitsLater(), 3), (CancelsOpening(), 2)])
async def test_plugin_that_exits_or_cancels_ends_no_other(target: ScriptedTarget, failures: int) -> None:
    """The daemon goes on, the subscriber is tried again, and its failures are counted."""
    world = World(targets={ONE: target, OTHER: ScriptedTarget()})
    async with world.running(world.plan(ONE, OTHER)) as dispatching:
        await world.happen(3)
        for _ in range(3):
            await world.clock.turn(1)
            await world.quiet()
        failed = dispatching.observers.metrics.subscriber(ONE).attempts.failures[FailureClass.PLUGIN_ERROR]

        assert (world.delivered(ONE), world.delivered(OTHER)) == (3, 3)
        assert failed._value.get() == failures


async def test_trial_whose_plugin_exits_later_ends_nothing() -> None:
    """The operator's trial runs outside of the dispatcher, in the same event loop."""
    world = World(targets={ONE: ExitsLater()})
    async with world.running(world.plan(ONE)) as dispatching:
        outcome = await deliver_trial(dispatching, ONE, trial_event(world.clock.now(), None), world.clock)
        task: asyncio.Task[None] = world.targets[ONE].task  # type: ignore[attr-defined] # it was started
        await task
        assert outcome["outcome"] == "delivered"


async def test_foreign_record_stops_one_subscriber_alone() -> None:
    """The others deliver, readiness names the record, and it is looked at again later."""
    world = World(log=SpoiltLog())
    async with world.running(world.plan(ONE, OTHER)) as dispatching:
        await world.happen(3)
        assert (world.delivered(ONE), world.delivered(OTHER)) == (0, 3)
        [reason] = dispatching.condition._blocked_plugins.values()
        assert "offset 5" in reason
        await world.clock.turn(31)
        assert world.delivered(ONE) == 0


async def test_paused_subscriber_stays_paused_when_a_process_starts(world: World) -> None:
    """Not one event is delivered before it is known what is switched."""
    await world.switch(ONE, Switch.PAUSED)
    await world.happen(3)
    async with world.running(world.plan(ONE, OTHER)):
        await world.clock.turn(10)
        assert (world.delivered(ONE), world.delivered(OTHER)) == (0, 3)


async def test_pause_by_the_guard_is_kept(world: World) -> None:
    """A subscriber whose events are all refused is paused for everybody, and by the next process too."""
    plan = world.plan(ONE, guard={"consecutive": 5})
    for number in range(20):
        world.targets[ONE].answers[str(number)].append(Reject(reason="422"))
    async with world.running(plan):
        await world.happen(10)
        await world.happen(10)
    letters = len(world.log.letters)
    assert letters < 20
    control = (await world.board()).controls[ONE]
    assert (control.switch, control.by) == (Switch.PAUSED, "guard")
    async with world.running(plan):
        await world.clock.turn(10)
    assert len(world.log.letters) == letters
    assert [(each.what, each.by) for each in await world.log.controls.audit(last=9)] == [
        ("subscriber.paused", "guard")
    ]


async def test_pause_of_our_own_outlasts_what_was_switched_before(world: World) -> None:
    """Somebody else's change shows the board as it was before our pause was written."""
    async with world.running(world.plan(ONE, OTHER, guard={"consecutive": 1})):
        await world.switch(ONE, Switch.RUNNING)
        await world.reject_while_the_log_is_down(ONE)
        world.log.faults.down = False
        await world.switch(OTHER, Switch.PAUSED)
        await world.happen(2)
        assert world.delivered(ONE) == 0
        await world.clock.turn(2)
        await world.switch(ONE, Switch.RUNNING)
        assert world.delivered(ONE) == 2


async def test_pause_is_written_as_soon_as_the_log_is_back(world: World) -> None:
    """It holds in this process meanwhile."""
    async with world.running(world.plan(ONE, guard={"consecutive": 1})):
        await world.reject_while_the_log_is_down(ONE)
        assert not (await world.board()).controls
        world.log.faults.down = False
        await world.clock.turn(2)
        await world.quiet()
        assert (await world.board()).controls[ONE].by == "guard"


async def test_breaker_is_written_down(world: World) -> None:
    """When it opens, with the reason, and when it closes."""
    async with world.running(world.plan(ONE, breaker={"minimum": 5})):
        world.targets[ONE].down = True
        await world.happen(10)
        await world.clock.turn(30)
        world.targets[ONE].down = False
        await world.clock.turn(120)
        await world.quiet()
        assert world.delivered(ONE) == 10
    opened, closed = await world.log.controls.audit(last=9)
    assert (opened.what, closed.what) == ("breaker.opened", "breaker.closed")
    assert "of the last" in str(opened.detail["reason"])


async def test_new_configuration_leaves_others_alone(world: World) -> None:
    """New subscribers start, removed ones end, and the others keep their connections."""
    async with world.running(world.plan(ONE)) as dispatching:
        await world.happen(2)
        dispatcher = dispatching.dispatchers[ONE]
        dispatching.in_effect.apply(world.plan(ONE, OTHER))
        await world.quiet()
        assert dispatching.dispatchers[ONE] is dispatcher
        assert (world.delivered(ONE), world.delivered(OTHER)) == (2, 2)
        dispatching.in_effect.apply(world.plan(OTHER))
        await world.happen(2)
        assert (world.delivered(ONE), world.delivered(OTHER)) == (2, 4)
        assert (world.targets[ONE].entered, world.targets[OTHER].entered) == (0, 1)
        assert world.log.consumers.expected == {OTHER}


async def test_mistake_that_only_opening_finds_stops_no_daemon_at_work(world: World) -> None:
    """With an invalid certificate, for example, the others continue, and opening is retried."""

    class Refused(ScriptedTarget):
        mended = False

        async def __aenter__(self) -> Self:
            if not self.mended:
                raise ConfigurationError("ca_file: is no certificate")
            return await super().__aenter__()

    world.targets[OTHER] = refused = Refused()
    async with world.running(world.plan(ONE)) as dispatching:
        dispatching.in_effect.apply(world.plan(ONE, OTHER))
        await world.happen(2)
        assert (world.delivered(ONE), world.delivered(OTHER)) == (2, 0)
        assert dispatching.condition.plugin_problems() == [f"{OTHER}: ca_file: is no certificate"]
        refused.mended = True
        await world.clock.turn(31)
        await world.quiet()
        assert world.delivered(OTHER) == 2


async def test_changed_subscriber_goes_on_where_it_was(world: World) -> None:
    """It keeps its place, what it has parked and the attempts spent on it, and repeats nothing."""
    target = world.targets[ONE]
    target.answers["1"].extend([Retry(reason="503")] * 100)
    async with world.running(world.plan(ONE)) as dispatching:
        await world.happen(3)
        await world.clock.turn(5)
        tried = target.began.count("1")
        dispatching.in_effect.apply(world.plan(ONE, max_in_flight=2))
        await world.happen(1)
        assert sorted(target.delivered) == ["0", "2", "3"]
        target.answers["1"].clear()
        await world.clock.turn(24 * 3600)
        await world.quiet()
        assert sorted(target.delivered) == ["0", "1", "2", "3"]
    assert 1 < tried < target.began.count("1")
    assert max(target.attempts) == target.began.count("1")


async def test_paused_subscriber_stays_paused_when_it_changes(world: World) -> None:
    """A pause belongs to its name."""
    async with world.running(world.plan(ONE)) as dispatching:
        await world.switch(ONE, Switch.PAUSED)
        dispatching.in_effect.apply(world.plan(ONE, max_in_flight=2))
        await world.happen(2)
        assert world.delivered(ONE) == 0


async def test_restart_knows_since_when_a_target_is_down(world: World) -> None:
    """Also after a crash: the audit has the beginning of an outage, and the events of then still wait."""
    world.targets[ONE].down = True
    plan = world.plan(ONE, breaker={"minimum": 5})
    async with world.running(plan):
        down_at = world.clock.now()
        await world.happen(6)
        # The opening can be long after the first failure.
        assert await breaker_opened_since(world) == "2025-01-01T00:00:00.000000Z"
    world.clock.jump(600)
    async with world.running(plan) as dispatching:
        await world.clock.turn(1)
        status = dispatching.dispatchers[ONE].status

    assert (status.is_down, status.down_since) == (True, down_at)
    assert status.last_failure is not None
    assert status.last_failure.since == down_at


async def test_outage_that_no_event_remembers_is_over(world: World) -> None:
    """The process ended in an outage, and a later one delivered what had waited and noted no end of it."""
    opened = AuditRecord(at=world.clock.now(), what="breaker.opened", by="streamer", subscriber=ONE)
    await world.log.controls.note(opened)
    world.clock.jump(86_400)
    world.targets[ONE].down = True
    async with world.running(world.plan(ONE, breaker={"minimum": 5})) as dispatching:
        events = [an_event(n, time="2025-01-02T00:00:00.000Z") for n in range(6)]
        await append_to(world.log, an_append(*events))
        await world.quiet()
        status = dispatching.dispatchers[ONE].status

    assert (status.is_down, status.down_since) == (True, world.clock.now())


async def breaker_opened_since(world: World) -> object:
    """Return the beginning of the outage that the audit records last."""
    [*_, last] = await world.log.controls.audit(last=9)
    assert last.what == "breaker.opened"
    return last.detail["since"]
