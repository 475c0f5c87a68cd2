"""One process repeats comparisons, and reports differences until somebody repairs them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from streamer.continuity.reconciling import Asked, DriftKind, Reconciled, ReconcileSchedule
from streamer.errors import ConfigurationError, RetryLater
from streamer.log.memory import MemoryLog
from streamer.observe.metrics import Metrics
from tests.idle_clock import IdleClock

HOUR_S = 3_600.0
DAY_S = 24 * HOUR_S


@dataclass
class World:
    """A log whose entity is compared once a day; `missing` records differ, and `asked` says what was."""

    clock: IdleClock = field(default_factory=IdleClock)
    log: MemoryLog = field(default_factory=MemoryLog)
    metrics: Metrics = field(init=False)
    missing: int = 0
    error: Exception | None = None
    owned: bool = True
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Count what happens."""
        self.metrics = Metrics(clock=self.clock)

    async def compare(self, asked: Asked) -> Reconciled:
        """Find what is missing."""
        self.asked.append(asked)
        if self.error is not None:
            raise self.error
        return Reconciled(
            entity=asked.entity,
            channel="/data/ChangeEvents",
            stamp="SystemModstamp",
            since=asked.since,
            until=self.clock.now() - 1_500,
            records=10,
            deletions=0,
            counts={DriftKind.MISSING: self.missing} if self.missing else {},
            drift=(),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let a process follow the schedule."""
        schedule = ReconcileSchedule(
            entities=("Account",),
            every_s=DAY_S,
            compare=lambda entity, since: self.compare(Asked(entity=entity, since=since)),
            owns=lambda _: self.owned,
            controls=self.log.controls,
            clock=self.clock,
            observer=self.metrics.reconciling,
        )
        running = asyncio.create_task(schedule.run())
        await self.clock.turn(0)
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def pass_days(self, days: int) -> None:
        """Let days pass; the process sees the last seconds of each hour."""
        for _ in range(24 * days):
            self.clock.jump(HOUR_S - 5)
            await self.clock.turn(5)

    def sample(self, name: str, **labels: str) -> float | None:
        """Return what is shown of the entity."""
        shown: Mapping[str, str] = {"entity": "Account", **labels}
        return self.metrics.registry.get_sample_value(f"streamer_reconcile_{name}", dict(shown))


async def test_first_comparison_covers_a_day_and_the_next_goes_on_from_its_end() -> None:
    """The last 25 minutes can't be compared yet."""
    world = World()
    began = world.clock.now()
    async with world.running():
        await world.clock.turn(DAY_S + 120)

    assert [each.since for each in world.asked] == [began - DAY_S - 1_500, began - 1_500]


async def test_restart_goes_on_with_the_schedule() -> None:
    """The audit has the last comparison, and the metrics show it again."""
    world = World(missing=2)
    async with world.running():
        pass
    assert world.sample("differences", kind="missing") is None
    await world.clock.turn(3_600)
    async with world.running():
        await world.clock.turn(3_600)
        assert world.sample("differences", kind="missing") == 2
        assert world.sample("differences", kind="absent") == 0
        assert world.sample("compared_timestamp_seconds") == world.clock.now() - 7_200
        assert world.sample("due_timestamp_seconds") == world.clock.now() - 7_200 + DAY_S

    assert len(world.asked) == 1


async def test_differences_are_looked_for_again_until_they_are_mended() -> None:
    """And not behind them, as if they were gone; for 14 days."""
    world = World(missing=1)
    began = world.clock.now() - DAY_S - 1_500
    async with world.running():
        await world.pass_days(2)
        assert {each.since for each in world.asked} == {began}
        world.missing = 0
        await world.pass_days(2)
        assert world.sample("differences", kind="missing") == 0
        assert world.asked[-1].since > began
        world.missing = 1
        await world.pass_days(20)

    assert world.asked[-1].since >= world.clock.now() - 15 * DAY_S


async def test_comparison_that_fails_is_tried_again_after_an_hour() -> None:
    """The time at which it was due stays, so that an alert can tell."""
    world = World(error=RetryLater("503"))
    due = world.clock.now()
    async with world.running():
        await world.clock.turn(7_300)
        assert len(world.asked) == 3
        assert world.sample("failures_total") == 3
        assert world.sample("due_timestamp_seconds") == due
        world.error = None
        await world.clock.turn(3_700)
        assert world.sample("compared_timestamp_seconds") is not None


async def test_defect_of_a_comparison_ends_no_daemon() -> None:
    """It is tried again like any other failure."""
    world = World(error=KeyError("secret"))
    async with world.running():
        await world.clock.turn(3_700)
    assert len(world.asked) == 2


async def test_log_that_is_new_has_nothing_to_compare() -> None:
    """That does not count as a failure."""
    world = World(error=ConfigurationError("nothing can be compared"))
    async with world.running():
        await world.clock.turn(60)
        assert world.sample("failures_total") is None


async def test_process_that_owns_the_channel_compares() -> None:
    """Its successor continues the schedule, and the former process shows nothing any more."""
    world = World(owned=False)
    async with world.running():
        await world.clock.turn(120)
        assert world.asked == []
        world.owned = True
        await world.clock.turn(61)
        assert len(world.asked) == 1
        world.owned = False
        await world.clock.turn(61)
        assert world.sample("compared_timestamp_seconds") is None
