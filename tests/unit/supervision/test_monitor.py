"""States of the parts as operators see them, and stuck parts."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import cast

import pytest
import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict

from streamer.clock import TurnedClock
from streamer.events import SubscriberName
from streamer.ingest.channel_supervisor import ChannelState, ChannelStatus, ChannelSupervisor
from streamer.observe.metrics import Metrics
from streamer.observe.process import Pulse, Pulses
from streamer.supervision.health import Health, ProbeKind
from streamer.supervision.monitor import Monitor, StuckLimits
from streamer.supervision.status import Status
from tests.contracts.values import CHANGES
from tests.unit.supervision.parts import SALES, Condition, Delivering, Kept, Session

LIMIT_S = 60.0
HOUR_S = 3600


@dataclass
class World:
    """A daemon with one channel, one subscriber and one thread, and who looks at them."""

    clock: TurnedClock
    metrics: Metrics
    status: Status
    kept: Kept
    log: Condition
    thread: Pulse
    health: Health

    @property
    def problems(self) -> list[str]:
        """Return liveness' problems."""
        return self.health.report(ProbeKind.LIVENESS).problems

    def subscribe(self, *paths: str) -> None:
        """Let Salesforce accept `paths`, and no others."""
        self.status.reading.channels_opened(cast("ChannelSupervisor", self.kept), Session(frozenset(paths)))

    def gauge(self, name: str, /, **labels: str) -> float | None:
        """Return a gauge's value; `None` if there is no such series."""
        return self.metrics.registry.get_sample_value(f"streamer_{name}", labels)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Everything is idle and watched."""
    clock = TurnedClock()
    metrics, pulses, health, log = Metrics(clock=clock), Pulses(clock), Health(), Condition()
    kept = Kept({CHANGES: ChannelStatus(state=ChannelState.RUNNING)})
    status = Status()
    status.log.opened(log)
    status.reading.started()
    status.reading.channels_opened(cast("ChannelSupervisor", kept), Session())
    status.subscribers.started(SALES, Delivering())
    limits = StuckLimits(log_s=LIMIT_S, subscribers_s={SALES: LIMIT_S})
    monitor = Monitor(status, metrics, clock, pulses, limits)
    monitor.register(health)
    thread = pulses.begin("follow sales")
    thread.rest()
    looking = asyncio.create_task(monitor.run())
    await clock.turn(1)
    yield World(clock, metrics, status, kept, log, thread, health)
    looking.cancel()


@pytest.fixture
def said() -> Iterator[list[EventDict]]:
    """What is logged."""
    structlog.reset_defaults()
    with capture_logs() as lines:
        yield lines


async def test_channel_of_another_process_is_not_shown_as_down(world: World) -> None:
    """It has no `channel_up` at all, whether it never was ours or is no longer."""
    path = CHANGES.path
    world.subscribe(path)
    await world.clock.turn(1)
    assert (world.gauge("channel_owned", channel=path), world.gauge("channel_up", channel=path)) == (1, 1)
    world.subscribe()
    await world.clock.turn(1)
    assert world.gauge("channel_up", channel=path) == 0
    world.kept.status.clear()
    await world.clock.turn(1)

    assert (world.gauge("channel_owned", channel=path), world.gauge("channel_up", channel=path)) == (0, None)
    assert world.gauge("standby") == 1


async def test_held_target_is_shown(world: World) -> None:
    """Within a second."""
    world.status.subscribers.started(SALES, Delivering(held="410"))
    await world.clock.turn(1)

    assert world.gauge("subscriber_held", subscriber="sales") == 1
    assert world.gauge("breaker_open", subscriber="sales") == 1
    shown = ("delivery_lag_events", "parked_events", "delivery_in_flight", "delivery_limit")
    assert [world.gauge(name, subscriber="sales") for name in shown] == [7, 2, 1, 4]


async def test_deliveries_that_are_not_recorded_are_shown_and_make_unready(world: World) -> None:
    """For a moment that is nothing; a log that takes none for half a minute is for somebody to look at."""
    since = world.clock.monotonic()
    world.status.subscribers.started(SALES, Delivering(unrecorded_since=since))
    await world.clock.turn(29)
    assert world.gauge("unrecorded_seconds", subscriber="sales") == 29
    assert world.health.report(ProbeKind.READINESS).ok
    await world.clock.turn(2)
    [problem] = world.health.report(ProbeKind.READINESS).problems
    assert "sales: the log has recorded no deliveries for 31 s" in problem
    assert not world.problems
    world.status.subscribers.started(SALES, Delivering())
    await world.clock.turn(1)
    assert world.gauge("unrecorded_seconds", subscriber="sales") == 0
    assert world.health.report(ProbeKind.READINESS).ok


@pytest.mark.parametrize(
    ("path", "hours_kept", "hours_ready"), [("/data/ChangeEvents", 72, 66), ("/u/notifications/Demo", 24, 22)]
)
async def test_position_that_is_about_to_expire_makes_unready(
    world: World, path: str, hours_kept: int, hours_ready: int
) -> None:
    """While its next events can still be read; a proof that nothing is missing ends it."""
    channel = replace(CHANGES, path=path)
    world.kept.status[channel] = world.kept.status[CHANGES]
    world.kept.channels = (channel,)
    verified_at = world.kept.verified_at[channel] = world.clock.now()
    await world.clock.turn(1)
    assert world.gauge("checkpoint_verified_timestamp_seconds", channel=path) == verified_at
    expires_at = world.gauge("checkpoint_expires_timestamp_seconds", channel=path)
    assert expires_at == verified_at + hours_kept * HOUR_S

    world.clock._now = verified_at + hours_ready * HOUR_S
    assert world.health.report(ProbeKind.READINESS).ok
    world.clock._now += 60
    [problem] = world.health.report(ProbeKind.READINESS).problems
    assert problem == (
        f"positions: {path}: Salesforce keeps events for {hours_kept} h, but Streamer has been unable to "
        f"verify for {hours_ready}.0 h that no event is missing"
    )
    assert not world.problems
    world.kept.verified_at[channel] = world.clock.now()
    assert world.health.report(ProbeKind.READINESS).ok


async def test_channel_that_salesforce_sends_has_no_position_that_expires(world: World) -> None:
    """An outbound message is repeated until it is taken."""
    pushed = replace(CHANGES, path="/outbound/Case")
    world.kept.status[pushed] = world.kept.status[CHANGES]
    world.kept.channels = (pushed,)
    world.kept.verified_at[pushed] = world.clock.now() - 1_000 * HOUR_S
    await world.clock.turn(1)

    assert world.health.report(ProbeKind.READINESS).ok
    assert world.gauge("checkpoint_expires_timestamp_seconds", channel=pushed.path) is None


async def test_age_of_the_last_poll_is_shown_and_judged(world: World) -> None:
    """A thread that does not come round fails liveness; a thread that rests may do so for ever."""
    await world.clock.turn(10 * LIMIT_S)
    assert world.problems == []
    world.thread.beat()
    await world.clock.turn(LIMIT_S)
    assert world.gauge("poll_age_seconds", thread="follow sales") == LIMIT_S
    assert world.problems == []
    await world.clock.turn(2)

    [problem] = world.problems
    assert problem.startswith("progress: The thread follow sales has stalled for 62 s, since 2025-01-01T")
    assert world.gauge("stuck", kind="thread", name="follow sales") == 1


@pytest.mark.parametrize("part", ["channel", "subscriber"])
async def test_work_of_which_nothing_comes_is_found(world: World, part: str) -> None:
    """Counted from when it began; liveness says what, since when and where to look."""
    if part == "channel":
        world.kept.busy_since[CHANGES] = world.clock.monotonic()
    else:
        world.status.subscribers.started(SALES, Delivering(stalled_since=world.clock.monotonic()))
    await world.clock.turn(LIMIT_S - 1)
    assert world.problems == []
    await world.clock.turn(3)

    [problem] = world.problems
    assert f"The {part} " in problem
    assert "in the event stuck.found" in problem


async def test_work_that_gets_on_is_not_stuck(world: World) -> None:
    """However busy it is, each append restarts the count."""
    for _ in range(10):
        world.kept.busy_since[CHANGES] = world.clock.monotonic()
        await world.clock.turn(LIMIT_S - 1)

    assert world.problems == []


async def test_log_that_is_away_explains_a_channel_that_waits(world: World) -> None:
    """And the time that it explained does not count afterwards."""
    world.log.outage = "The file is full."
    world.kept.busy_since[CHANGES] = world.clock.monotonic()
    await world.clock.turn(10 * LIMIT_S)
    assert world.problems == []
    world.log.outage = ""
    await world.clock.turn(LIMIT_S - 1)
    assert world.problems == []
    await world.clock.turn(3)

    assert world.problems != []


async def test_process_that_was_stopped_blames_nobody(world: World) -> None:
    """After SIGCONT everything is old, and gets time to show that it lives."""
    world.thread.beat()
    world.clock._now += 10 * LIMIT_S

    assert world.problems == []
    await world.clock.turn(LIMIT_S + 2)
    assert world.problems != []


async def test_each_episode_is_told_once_with_all_stacks(world: World, said: list[EventDict]) -> None:
    """An hour of being stuck is one line, and its end another."""
    world.thread.beat()
    await world.clock.turn(10 * LIMIT_S)
    world.thread.beat()
    await world.clock.turn(1)

    assert [(line["event"], line["log_level"]) for line in said] == [
        ("stuck.found", "error"),
        ("stuck.ended", "warning"),
    ]
    assert any("thread MainThread" in stack for stack in said[0]["stacks"])


async def test_log_that_cant_be_used_and_a_login_that_is_awaited_are_shown(world: World) -> None:
    """Each shows while it lasts: neither has a channel or a subscriber that could report it."""
    assert (world.gauge("log_unavailable"), world.gauge("login_awaited")) == (0, 1)
    world.status.reading.logged_in()
    world.log.outage = "No broker answers."
    await world.clock.turn(1)
    assert (world.gauge("log_unavailable"), world.gauge("login_awaited")) == (1, 0)
    world.log.outage = ""
    world.status.log.unavailable("The file is locked.")
    await world.clock.turn(1)
    assert world.gauge("log_unavailable") == 1


async def test_subscriber_that_does_not_follow_the_log_is_shown(world: World) -> None:
    """Also one whose plugin was never open, and which has no dispatcher."""
    invoice = SubscriberName("invoice")
    world.status.subscribers.expect([SALES, invoice])
    world.status.subscribers.blocked(invoice, "no such certificate")
    await world.clock.turn(1)

    assert world.gauge("subscriber_following", subscriber=SALES) == 1
    assert world.gauge("subscriber_following", subscriber=invoice) == 0
