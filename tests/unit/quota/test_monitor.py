"""The org's limits are read every five minutes, and a failure has no other effect."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from structlog.testing import capture_logs

from streamer.clock import TurnedClock
from streamer.errors import CredentialsRefused, RetryLater, SalesforceUnavailable
from streamer.observe.metrics import Metrics
from streamer.quota import Limit, LimitsMonitor, OrgLimit
from streamer.salesforce.rest import RequestRefused
from tests.waiting import limited

DELIVERED = {"limit": "DailyDeliveredPlatformEvents"}
FORBIDDEN = RequestRefused("GET limits was refused with HTTP 403", status=403, code="INSUFFICIENT_ACCESS")
LOST = SalesforceUnavailable("no answer")


@dataclass
class World:
    """An org that answers what a test says, and then the same, and a monitor of its limits."""

    answer: Any = None
    asked_at: list[float] = field(default_factory=list)
    clock: TurnedClock = field(default_factory=TurnedClock)

    def __post_init__(self) -> None:
        """Begin now."""
        self.began = self.clock.now()
        self.metrics = Metrics(clock=self.clock)
        self.monitor = LimitsMonitor(read=self.read, clock=self.clock, observer=self.metrics.org_limits)

    async def read(self) -> Any:
        """Answer, or fail."""
        self.asked_at.append(self.clock.now() - self.began)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def remains(self, remaining: int, most: int = 10_000) -> None:
        """Answer that so many delivered events remain."""
        self.answer = {"DailyDeliveredPlatformEvents": {"Max": most, "Remaining": remaining}}

    def sample(self, name: str, labels: Mapping[str, str] = DELIVERED) -> float | None:
        """Return the value of a metric of the limits."""
        return self.metrics.registry.get_sample_value(f"streamer_org_limit_{name}", dict(labels))

    async def falls(self, *remainders: int) -> None:
        """Answer one after the other, every five minutes; the last one stays."""
        for remaining in remainders:
            self.remains(remaining)
            await self.clock.turn(300)


@asynccontextmanager
async def running(answer: Any) -> AsyncIterator[World]:
    """Run the monitor of an org that begins with `answer`."""
    world = World()
    if isinstance(answer, int):
        world.remains(answer)
    else:
        world.answer = answer
    task = asyncio.create_task(world.monitor.run())
    await world.clock.turn(0)
    try:
        yield world
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_limits_are_read_every_five_minutes() -> None:
    """And are metrics."""
    async with running(9_000) as world:
        assert (world.sample("max"), world.sample("remaining")) == (10_000, 9_000)
        await world.falls(8_000, 7_000)
        assert world.asked_at == [0, 300, 600]
        assert world.sample("remaining") == 7_000
        assert world.sample("read_timestamp_seconds") == world.began + 600
        assert world.monitor.latest
        assert world.monitor.latest.limits == {OrgLimit.DELIVERED_EVENTS: Limit(most=10_000, remaining=7_000)}
    assert world.sample("remaining") is None


async def test_only_known_limits_are_metrics_and_missing_ones_go() -> None:
    """The labels are bounded."""
    async with running(
        {"DailyApiRequests": {"Max": 5, "Remaining": 4}, "X": {"Max": 1, "Remaining": 1}}
    ) as world:
        assert world.sample("remaining", {"limit": "DailyApiRequests"}) == 4
        assert world.sample("remaining", {"limit": "X"}) is None
        await world.falls(7)
        assert world.sample("remaining", {"limit": "DailyApiRequests"}) is None


async def test_a_refusal_is_told_once_and_tried_hourly() -> None:
    """It says which permission is missing, and limits come as soon as it is there."""
    with capture_logs() as lines:
        async with running(FORBIDDEN) as world:
            await world.clock.turn(2 * 3600)
            assert world.asked_at == [0, 3600, 7200]
            world.remains(5)
            await world.clock.turn(3600)
            assert world.sample("remaining") == 5
    assert [line["event"] for line in lines] == ["limits.not_read", "limits.read_again"]
    assert "View Setup and Configuration" in lines[0]["reason"]


async def test_failures_back_off_to_an_hour() -> None:
    """Whatever fails: the network, the login, the answer, the day's requests."""
    async with running(LOST) as world:
        answers: list[Any] = [CredentialsRefused("no"), "a page of a proxy", {}]
        for answer in answers:
            await world.clock.turn(600)
            world.answer = answer
        await world.clock.turn(12 * 3600)
        pauses = [after - before for before, after in zip(world.asked_at, world.asked_at[1:], strict=False)]
        assert pauses[:4] == [60, 120, 240, 480]
        assert pauses[-1] == 3600
        world.answer = RetryLater("the org has reached its limit of API requests", after_s=5_000)
        await world.clock.turn(3600 + 5_000)
        assert world.asked_at[-1] - world.asked_at[-2] == 5_000
        world.remains(5)
        await world.clock.turn(6_000)
        world.answer = LOST
        asked = len(world.asked_at)
        await world.clock.turn(300 + 60)
        assert world.asked_at[asked + 1] - world.asked_at[asked] == 60


async def test_a_refusal_is_told_after_a_failure() -> None:
    """A failure passes by itself, and a missing permission does not."""
    with capture_logs() as lines:
        async with running(LOST) as world:
            await world.clock.turn(60)
            world.answer = FORBIDDEN
            await world.clock.turn(5 * 3600)
    assert [line["reason"][:20] for line in lines] == ["no answer", str(FORBIDDEN)[:20]]


async def test_a_reading_of_yesterday_is_none() -> None:
    """Nothing that it counted is left in a rolling day."""
    async with running(500) as world:
        world.answer = LOST
        await world.clock.turn(24 * 3600)
        assert world.monitor.latest is not None
        await world.clock.turn(1)
        assert world.monitor.latest is None


async def test_the_forecast_comes_and_goes() -> None:
    """It is a time, told once while it lies within hours, and once when it does not."""
    with capture_logs() as lines:
        async with running(2_000) as world:
            await world.falls(1_900, 1_800)
            assert world.sample("used_up_timestamp_seconds") is None
            await world.falls(1_700, 1_600)
            assert world.sample("used_up_timestamp_seconds") == world.began + 1200 + 1_600 * 3
            await world.falls(*[1_600] * 12)
            assert world.sample("used_up_timestamp_seconds") is None
    assert [line["event"] for line in lines] == ["delivered_events.run_out", "delivered_events.suffice"]
    assert lines[0]["used_up_at"] == "2025-01-01T01:40:00Z"
    assert (lines[0]["remaining"], lines[0]["most"]) == (1_700, 10_000)


async def test_a_forecast_is_not_kept_without_readings() -> None:
    """An hour later, its rate is not the present one."""
    async with running(2_000) as world:
        await world.falls(1_900, 1_800, 1_700)
        assert world.sample("used_up_timestamp_seconds") is not None
        world.answer = LOST
        await world.clock.turn(2 * 3600)
        assert world.sample("used_up_timestamp_seconds") is None


async def test_who_needs_a_reading_waits_for_it_briefly() -> None:
    """Not longer than the first attempt takes, and not longer than it wants to."""
    world = World()
    waiting = asyncio.create_task(world.monitor.tried(10.0))
    await world.clock.turn(9.9)
    assert not waiting.done()
    await world.clock.turn(0.2)
    assert waiting.done()
    async with running(LOST) as other, limited("the reading"):
        await other.monitor.tried(1e9)
