"""Subscribers that come after others: each starts once upstream has delivered, in order per key."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from streamer.app.dispatching import Dispatching
from streamer.app.observers import Observers
from streamer.app.plan import Plan
from streamer.app.redriving import Redriving
from streamer.app.reloading import PlanInEffect
from streamer.clock import TurnedClock
from streamer.configuration import Document, load
from streamer.controls import LetterFilter, Redrive
from streamer.dispatch.delivery.route import Route
from streamer.events import Delivered, Delivery, Outcome, Reject, Retry, SubscriberName
from streamer.log.memory import MemoryLog
from streamer.log.memory.feed import forwarded_to
from streamer.observe.metrics import Metrics
from streamer.salesforce.auth.flows import Logins
from streamer.supervision.conditions import SubscribersCondition
from tests.contracts.values import an_append, an_event, append_to
from tests.unit.dispatch.world import ScriptedTarget, route

INVOICE, SHIPMENT, NOTICE = map(SubscriberName, ("invoice", "shipment", "notice"))
CHAIN: dict[str, dict[str, Any]] = {
    INVOICE: {"on": "*", "start": "earliest"},
    SHIPMENT: {"after": INVOICE},
    NOTICE: {"after": [SHIPMENT]},
}


@dataclass
class Target(ScriptedTarget):
    """A target that keeps what it was sent, beside the scripted answers; invoices have numbers."""

    name: str = ""
    journal: list[tuple[str, str]] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Answer as written; note what was delivered."""
        self.deliveries.append(delivery)
        outcome = await super().deliver(delivery)
        if outcome == Delivered():
            self.journal.append((self.name, delivery.event.id))
            return Delivered(answer={"number": f"{self.name}-{delivery.event.id}", "attempts": "theirs"})
        return outcome


@dataclass
class World:
    """Subscribers by name, between a log in memory and a target for each."""

    subscribers: dict[str, dict[str, Any]] = field(default_factory=lambda: dict(CHAIN))
    routes: dict[SubscriberName, Route] = field(default_factory=dict)
    clock: TurnedClock = field(default_factory=TurnedClock)
    log: MemoryLog = field(default_factory=MemoryLog)
    journal: list[tuple[str, str]] = field(default_factory=list)
    targets: dict[SubscriberName, Target] = field(default_factory=dict)

    def plan(self) -> Plan:
        """Return the configuration."""
        names = list(map(SubscriberName, self.subscribers))
        for name in names:
            self.targets.setdefault(name, Target(name=name, journal=self.journal))
        auth = {"flow": "client_credentials", "client_id": "id", "client_secret": "secret"}
        document = Document(
            data={
                "org": {"login_url": "https://login.salesforce.com", "auth": auth},
                "channels": ["/data/ChangeEvents"],
                "subscribers": {name: {"uses": "x", **each} for name, each in self.subscribers.items()},
            }
        )
        return Plan(
            document=document,
            settings=load(document),
            logins=Logins(self.clock),
            subscribers={name: lambda name=name: self.targets[name] for name in names},  # type: ignore[misc] # mypy infers no lambda with a default
            routes={name: self.routes.get(name, Route(name=name)) for name in names},
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Dispatching]:
        """Deliver inside the context."""
        observers = Observers(metrics=Metrics(clock=self.clock))
        dispatching = Dispatching(
            in_effect=PlanInEffect(plan=self.plan()),
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

    async def append(
        self, *names: str, key: str = "one", what: str = "salesforce.cdc.Account.updated"
    ) -> None:
        """Let events enter the log, and whatever follows happen."""
        await append_to(self.log, an_append(*(an_event(name, key=key, what=what) for name in names)))
        await self.quiet()

    async def quiet(self) -> None:
        """Let everything happen that needs no time."""
        for _ in range(30):
            await self.clock.turn(0)

    async def turn(self, seconds: float) -> None:
        """Let time pass, and what it sets off happen."""
        for _ in range(round(seconds)):
            await self.clock.turn(1)
            await self.quiet()

    def passed(self, event: str) -> list[str]:
        """Return the targets that took an event, in their order."""
        return [target for target, name in self.journal if name == event]


async def redrive(world: World, dispatching: Dispatching, name: SubscriberName) -> None:
    """Deliver all dead letters of a subscriber again."""
    order = Redrive(
        id="r",
        letters=LetterFilter(subscriber=name),
        per_second=100.0,
        by="me",
        at=0.0,
        include_superseded=True,
    )
    redriving = Redriving(
        order=order,
        controls=world.log.controls,
        dispatchers=dispatching.dispatchers,
        clock=world.clock,
    )
    running = asyncio.create_task(redriving.run())
    await world.turn(5)
    await running


@pytest.fixture
def world() -> World:
    """A chain of three, which nothing has passed yet."""
    return World()


async def test_each_subscriber_delivers_after_the_one_before(world: World) -> None:
    """Once, and only what that has delivered."""
    async with world.running():
        world.targets[INVOICE].hang()
        await world.append("1")
        assert world.journal == []
        world.targets[INVOICE].release()
        await world.quiet()

    assert world.journal == [(INVOICE, "1"), (SHIPMENT, "1"), (NOTICE, "1")]
    assert [receipt.subscriber for receipt in world.log.receipts] == [INVOICE, SHIPMENT]


async def test_answers_are_in_the_receipts_of_those_after(world: World) -> None:
    """All along the chain; what Streamer says itself stands before a member of the same name."""
    shape = {"number": "receipts.invoice.number", "tries": "receipts.invoice.attempts"}
    world.routes[SHIPMENT] = route(body=shape, when="receipts.invoice.outcome == 'delivered'")
    world.routes[NOTICE] = route(text="{{ receipts.invoice.number }}, {{ receipts.shipment.number }}")
    async with world.running():
        world.targets[INVOICE].answers["1"].append(Retry(reason="503"))
        await world.append("1")
        await world.turn(5)

    assert world.targets[SHIPMENT].deliveries[0].body == {"number": "invoice-1", "tries": 2}
    assert world.targets[NOTICE].deliveries[0].text == "invoice-1, shipment-1"
    assert world.targets[NOTICE].deliveries[0].receipts["shipment"]["number"] == "shipment-1"


async def test_order_of_a_key_holds_along_the_chain(world: World) -> None:
    """While the first waits for a retry in the middle, the second does not overtake it."""
    async with world.running():
        world.targets[SHIPMENT].answers["1"] += [Retry(reason="503")] * 5
        await world.append("1", "2")
        await world.append("other", key="other")
        assert world.passed("other") == [INVOICE, SHIPMENT, NOTICE]
        assert world.passed("2") == [INVOICE]
        await world.turn(200)

    assert [name for target, name in world.journal if target == NOTICE] == ["other", "1", "2"]


async def test_restart_goes_on_where_the_chain_was(world: World) -> None:
    """Events that upstream has forwarded are not lost, and not forwarded again."""
    async with world.running():
        world.targets[SHIPMENT].hang()
        await world.append("1", "2")
        world.targets[SHIPMENT].release()
    async with world.running():
        await world.append("3")

    assert [world.passed(name) for name in "123"] == [[INVOICE, SHIPMENT, NOTICE]] * 3


async def test_what_upstream_skips_or_rejects_is_not_for_those_after(world: World) -> None:
    """Until a redrive delivers it upstream: then it comes to them as any other."""
    world.routes[INVOICE] = route(when="id != 'skipped'")
    async with world.running() as dispatching:
        world.targets[INVOICE].answers["1"].append(Reject(reason="422"))
        await world.append("1", "skipped", "2")
        assert world.passed("1") == world.passed("skipped") == []
        await redrive(world, dispatching, INVOICE)

    assert world.passed("1") == world.passed("2") == [INVOICE, SHIPMENT, NOTICE]
    assert world.passed("skipped") == []


async def test_compensation_gets_what_upstream_rejected(world: World) -> None:
    """With the reason, under a key of its own: a redrive can deliver the event upstream later."""
    undo = SubscriberName("undo")
    world.subscribers[undo] = {"after": INVOICE, "on_rejected": "run"}
    world.routes[undo] = route(
        when="receipts.invoice.rejected",
        body={"why": "receipts.invoice.reason", "error": "receipts.invoice.error"},
    )
    async with world.running():
        world.targets[INVOICE].answers["1"].append(Reject(reason="422 no such customer"))
        await world.append("1", "2")

    assert world.passed("1") == [undo]
    assert undo not in world.passed("2")
    [delivery] = world.targets[undo].deliveries
    assert delivery.body == {"why": "rejected", "error": "422 no such customer"}
    assert delivery.key == "1:target:rejected"


async def test_dead_letter_in_the_middle_keeps_its_receipts(world: World) -> None:
    """Its redrive needs them."""
    world.routes[SHIPMENT] = route(body={"number": "receipts.invoice.number"})
    async with world.running():
        world.targets[SHIPMENT].answers["1"].append(Reject(reason="422"))
        await world.append("1")

    [letter] = world.log.letters
    assert letter.event is not None
    assert letter.event.receipts is not None
    assert letter.event.receipts[INVOICE]["answer"]["number"] == "invoice-1"


async def test_subscriber_that_is_added_begins_with_what_is_delivered_from_then_on(world: World) -> None:
    """Without a restart of the process."""
    del world.subscribers[SHIPMENT], world.subscribers[NOTICE]
    async with world.running() as dispatching:
        await world.append("1")
        world.subscribers[SHIPMENT] = CHAIN[SHIPMENT]
        dispatching.in_effect.apply(world.plan())
        await world.quiet()
        await world.append("2")

    assert world.passed("1") == [INVOICE]
    assert world.passed("2") == [INVOICE, SHIPMENT]


CREDIT = SubscriberName("credit")
JOIN: dict[str, dict[str, Any]] = {
    INVOICE: {"on": "*", "start": "earliest"},
    CREDIT: {"on": "*", "start": "earliest"},
    SHIPMENT: {"after": [INVOICE, CREDIT]},
}
_DAY_S = 86_400


@pytest.fixture
def join() -> World:
    """One subscriber after two others."""
    return World(subscribers={name: dict(each) for name, each in JOIN.items()})


@pytest.mark.parametrize("first", [INVOICE, CREDIT])
async def test_several_before_mean_all_of_them(join: World, first: SubscriberName) -> None:
    """Whichever comes first, and once."""
    last = CREDIT if first == INVOICE else INVOICE
    shape = {"invoice": "receipts.invoice.number", "credit": "receipts.credit.number"}
    join.routes[SHIPMENT] = route(body=shape)
    async with join.running():
        join.targets[last].hang()
        await join.append("1", "2")
        assert join.passed("1") == [first]
        join.targets[last].release()
        await join.quiet()

    assert join.passed("1") == [first, last, SHIPMENT]
    assert join.passed("2") == [first, last, SHIPMENT]
    assert join.targets[SHIPMENT].deliveries[0].body == {"invoice": "invoice-1", "credit": "credit-1"}


async def test_half_waits_parked_for_a_day_and_over_a_restart(join: World) -> None:
    """Later events of its key wait behind it, and others go on."""
    async with join.running():
        join.targets[CREDIT].answers["1"] += [Retry(reason="503", after_s=3600.0)] * 2
        await join.append("1", "2")
        await join.append("other", key="other")
        assert join.passed("other")[-1] == SHIPMENT
        await join.turn(30)
        [lane] = join.log.parked(SHIPMENT, forwarded_to(SHIPMENT))
        assert len(lane.offsets) == 2
        assert lane.setback.last_error == "waits until credit forwards the event"
    async with join.running():
        for _ in range(3):
            await join.clock.turn(3600)
            await join.quiet()

    assert join.passed("1")[-1] == join.passed("2")[-1] == SHIPMENT
    assert [name for target, name in join.journal if target == SHIPMENT] == ["other", "1", "2"]
    assert not join.log.parked(SHIPMENT, forwarded_to(SHIPMENT))
    assert join.log.settled[SHIPMENT][forwarded_to(SHIPMENT)].next_offset == 6


@pytest.mark.parametrize("what", ["skipped", "rejected"])
async def test_join_is_not_waited_for_that_can_not_come(join: World, what: str) -> None:
    """An event that one of them skips or rejects holds up nothing."""
    join.routes[CREDIT] = route(when="id != 'skipped'")
    async with join.running():
        join.targets[CREDIT].answers["rejected"].append(Reject(reason="422"))
        await join.append(what, "2")

    assert join.passed(what) == [INVOICE]
    assert join.passed("2")[-1] == SHIPMENT


async def test_type_that_one_of_them_never_takes_is_not_waited_for(join: World) -> None:
    """It is known from the configuration."""
    join.subscribers[CREDIT]["on"] = "*.created"
    async with join.running():
        await join.append("1")
        await join.append("2", what="salesforce.cdc.Account.created")

    assert join.passed("1") == [INVOICE]
    assert join.passed("2")[-1] == SHIPMENT


async def test_skip_far_upstream_reaches_the_join(join: World) -> None:
    """Otherwise the half of the other way would wait for it."""
    first = SubscriberName("first")
    join.subscribers[first] = {"on": "*", "start": "earliest"}
    join.subscribers[CREDIT] = {"after": first}
    async with join.running():
        join.targets[first].answers["1"].append(Reject(reason="422"))
        await join.append("1", "2")

    assert join.passed("1") == [INVOICE]
    assert join.passed("2")[-1] == SHIPMENT


async def test_half_that_never_comes_becomes_a_dead_letter(join: World) -> None:
    """After a week, by default; the events behind it go on then."""
    join.subscribers[SHIPMENT]["join_within_s"] = 3 * _DAY_S
    async with join.running() as dispatching:
        dispatching.dispatchers[CREDIT].admission.pause("for longer than that")
        await join.append("1")
        await join.turn(20)
        await join.append("2")
        for _ in range(2):
            await join.clock.turn(_DAY_S)
            await join.quiet()
        assert not join.log.letters
        await join.clock.turn(_DAY_S)
        await join.quiet()
        [first, second] = join.log.letters

    assert (first.reason, first.error) == ("incomplete", "credit has not forwarded the event within 259200 s")
    assert second.event is not None
    assert second.event.id == "2"
    assert not join.log.parked(SHIPMENT, forwarded_to(SHIPMENT))


async def test_late_half_of_what_was_settled_without_it_holds_up_nothing(join: World) -> None:
    """A redrive upstream delivers what was rejected; the other half is no longer there."""
    async with join.running() as dispatching:
        join.targets[CREDIT].answers["1"].append(Reject(reason="422"))
        await join.append("1", "2")
        await redrive(join, dispatching, CREDIT)
        await join.append("3")

    assert join.passed("1") == [INVOICE, CREDIT]
    assert join.passed("3")[-1] == SHIPMENT
    [letter] = join.log.letters
    assert letter.subscriber == SHIPMENT
    assert (
        letter.error
        == "the event was redriven after the halves from invoice had been settled without this half"
    )


async def test_redrive_is_in_time_for_a_join_that_still_waits(join: World) -> None:
    """The late delivery counts."""
    async with join.running() as dispatching:
        join.targets[INVOICE].hang()
        join.targets[CREDIT].answers["1"].append(Reject(reason="422"))
        await join.append("1")
        await redrive(join, dispatching, CREDIT)
        join.targets[INVOICE].release()
        await join.quiet()

    assert join.passed("1") == [CREDIT, INVOICE, SHIPMENT]
    assert join.log.settled[SHIPMENT][forwarded_to(SHIPMENT)].next_offset == 3
