"""Faults that take hours, on a turned clock: parts of a daemon with their metrics, and a sandbox."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace

from prometheus_client import generate_latest

from streamer.clock import TurnedClock
from streamer.continuity.reconciling import Asked, ReconcileSchedule
from streamer.errors import LogUnavailable, RecordsRefused
from streamer.events import Checkpoint, Event
from streamer.log.kafka.schemas.registry import MemoryRegistry
from streamer.log.memory import MemoryLog
from streamer.observe.metrics import Metrics
from streamer.salesforce.cometd.source import CometdSource
from streamer.sandbox import Sandbox
from streamer.state.keeper import StateKeeper
from streamer.state.readings import StateReadings
from tests.contracts.values import CHANGES, an_event
from tests.integration.monitoring.stretching import Look, Phase
from tests.limits import monitored
from tests.streaming import World, streaming
from tests.unit.continuity import test_reconciliation as reconciliation
from tests.unit.log.kafka.schemas.state_formats import Process, a_state
from tests.waiting import turned

ALERTS = frozenset(
    {
        "StreamerComparisonOverdue",
        "StreamerDeliveredEventsRunOut",
        "StreamerLogDiffers",
        "StreamerOrgLimitsUnread",
        "StreamerSalesforceSilent",
        "StreamerSchemaRegistryUnavailable",
        "StreamerStatesBehind",
    }
)

_DELIVERED = "DailyDeliveredPlatformEvents"
_HOUR_S = 3600.0
_CHANGES = 3_000
_EVERY_H = 4.0


@dataclass(slots=True)
class _Seen:
    """Phases of what `metrics` show."""

    metrics: Metrics
    clock: TurnedClock
    phases: list[Phase] = field(default_factory=list)

    def note(self, name: str, *alerts: str) -> None:
        """Add a phase of what is shown now."""
        self.metrics.process.configuration_applied()
        look = Look.of(generate_latest(self.metrics.registry).decode(), at=self.clock.now())
        self.phases.append(Phase(name=name, began=look, ended=look, alerts=alerts))


async def silent_salesforce() -> list[Phase]:
    """Two connects in a row are left unanswered; after the mending all are answered."""
    async with streaming() as world:
        metrics = Metrics(clock=world.clock)
        seen = _Seen(metrics, world.clock)
        async with CometdSource(
            world.tokens, world.clock, observer=metrics.session, random=lambda: 0.5
        ) as source:
            reading = replace(world, source=source, tasks=world.tasks)
            await _is_left_unanswered(reading, seen)
    return seen.phases


async def _is_left_unanswered(world: World, seen: _Seen) -> None:
    reader = world.read()
    world.publish(1)
    await world.all_read(reader)
    seen.note("before")
    world.sandbox.faults.half_open(times=2)
    overdue = seen.metrics.session.overdue_answers
    await world.until(lambda: overdue._value.get() >= 2, turning=5)
    seen.note("unanswered", "StreamerSalesforceSilent")
    world.sandbox.faults.heal()
    world.publish(1)
    await world.all_read(reader)
    seen.note("after")


async def comparisons() -> list[Phase]:
    """A change has no event until it is redriven; then the org refuses comparisons for hours."""
    world = reconciliation.World()
    await world.append()
    metrics = Metrics(clock=world.clock)
    seen = _Seen(metrics, world.clock)
    compared = world.reconciliation()
    schedule = ReconcileSchedule(
        entities=("Contact",),
        every_s=_EVERY_H * _HOUR_S,
        compare=lambda entity, since: compared.compare(Asked(entity=entity, since=since)),
        owns=lambda _: True,
        controls=world.log.controls,
        clock=world.clock,
        observer=metrics.reconciling,
    )
    running = asyncio.create_task(schedule.run())
    try:
        await _differ(world, seen)
        await _are_refused(world, seen)
    finally:
        running.cancel()
    return seen.phases


async def _differ(world: reconciliation.World, seen: _Seen) -> None:
    """The event is read after all."""
    await _lasts(world, 0.1)
    seen.note("before")
    world.holds(1, 25)
    await _lasts(world, _EVERY_H)
    seen.note("differs", "StreamerLogDiffers")
    await world.tells(1, 25)
    await _lasts(world, _EVERY_H)
    seen.note("mended")


async def _are_refused(world: reconciliation.World, seen: _Seen) -> None:
    """Salesforce answers again."""
    world.queries.error = RecordsRefused("no right to see it", code="INSUFFICIENT_ACCESS")
    await _lasts(world, _EVERY_H + 8)
    seen.note("refused", "StreamerComparisonOverdue")
    world.queries.error = None
    await _lasts(world, 1.1)
    seen.note("after")


async def _lasts(world: reconciliation.World, hours: float) -> None:
    """Let time pass, in which the channel is read."""
    read_to = (world.clock.now() - reconciliation.BEGAN) / _HOUR_S + hours
    await world.append(verified=read_to)
    await world.clock.turn(hours * _HOUR_S)


async def limits() -> list[Phase]:
    """Another client uses 40 % of the day's events in 40 minutes; then the limits can't be read for hours."""
    clock = TurnedClock()
    async with Sandbox(clock) as sandbox, monitored(sandbox, clock) as (_, metrics, _):
        seen = _Seen(metrics, clock)
        for fault in (_are_used_up, _are_unread):
            seen.note("before")
            await fault(sandbox, seen)
        seen.note("after")
    return seen.phases


async def _are_used_up(sandbox: Sandbox, seen: _Seen) -> None:
    """The client that uses so much is stopped."""
    events = sandbox.org.usage.delivered_events
    for _ in range(8):
        events.use(events.most // 20)
        await _read(seen)
    seen.note("used up", "StreamerDeliveredEventsRunOut")
    await turned(seen.clock, lambda: _sample(seen, "used_up_timestamp_seconds") is None, step_s=60)


async def _are_unread(sandbox: Sandbox, seen: _Seen) -> None:
    """The REST API answers again."""
    sandbox.faults.refuse_call(status=503, code="SERVER_UNAVAILABLE", on=["read"], times=100)
    began = seen.clock.now()
    await turned(seen.clock, lambda: seen.clock.now() > began + 2.2 * _HOUR_S, step_s=30)
    seen.note("unread", "StreamerOrgLimitsUnread")
    sandbox.faults.heal()
    await _read(seen)


async def _read(seen: _Seen) -> None:
    """Turn until the limits were read again."""
    before = _sample(seen, "read_timestamp_seconds")
    await turned(seen.clock, lambda: _sample(seen, "read_timestamp_seconds") != before, step_s=10)


def _sample(seen: _Seen, name: str) -> float | None:
    return seen.metrics.registry.get_sample_value(f"streamer_org_limit_{name}", {"limit": _DELIVERED})


async def states() -> list[Phase]:
    """The log is down while many changes wait for the keeper of states."""
    clock, log = TurnedClock(), MemoryLog()
    metrics = Metrics(clock=clock)
    seen = _Seen(metrics, clock)
    readings = StateReadings.of(["Account"], [CHANGES.path], log, clock)
    keeping = asyncio.create_task(
        StateKeeper(log=log, clock=clock, readings=readings, metrics=metrics.states).run()
    )
    await clock.turn(1)
    seen.note("before")
    append = log.begin(CHANGES)
    append.add([_created(number) for number in range(_CHANGES)])
    await append.commit(Checkpoint(channel=CHANGES, replay_id=None, verified_at=0.0))
    while not metrics.registry.get_sample_value("streamer_state_lag_events"):  # noqa: ASYNC110 - a turn of the loop
        await asyncio.sleep(0)
    log.faults.down = True
    await clock.turn(_HOUR_S)
    seen.note("behind", "StreamerStatesBehind")
    log.faults.down = False
    await clock.turn(60)
    seen.note("caught up")
    keeping.cancel()
    await asyncio.wait([keeping])
    return seen.phases


def _created(number: int) -> Event:
    return an_event(
        number,
        what="salesforce.cdc.Account.created",
        data={"entity": "Account", "record_id": f"001{number:012}AAA", "fields": {"Name": "Acme"}},
    )


async def schemas() -> list[Phase]:
    """The registry is away while states of accounts need a schema, and the keeper asks every second."""
    clock, process = TurnedClock(), Process(registry=MemoryRegistry())
    metrics = Metrics(clock=clock)
    seen, health = _Seen(metrics, clock), process.readers.health
    seen.note("before")
    process.registry.outage = "the registry is away"
    began = await _asked_in_vain(process, seen)
    ended = await _asked_in_vain(process, seen)
    seen.phases.append(
        Phase(name="away", began=began, ended=ended, alerts=["StreamerSchemaRegistryUnavailable"])
    )
    process.registry.outage = ""
    await process.written(a_state({"Name": "Acme"}))
    assert health.outage == ""
    seen.note("back")
    return seen.phases


async def _asked_in_vain(process: Process, seen: _Seen) -> Look:
    for _ in range(10):
        with suppress(LogUnavailable):
            await process.written(a_state({"Name": "Acme"}))
        await seen.clock.turn(1)
    seen.metrics.log.set_schema_failures(process.readers.health.failures)
    return Look.of(generate_latest(seen.metrics.registry).decode(), at=seen.clock.now())
