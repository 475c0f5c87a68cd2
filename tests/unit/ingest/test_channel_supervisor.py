"""The supervisor keeps channels running after any failure."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from streamer.clock import TurnedClock
from streamer.errors import LogUnavailable, SubscriptionRefused
from streamer.events import Channel
from streamer.ingest.channel_supervisor import ChannelState, ChannelStatus, ChannelSupervisor
from tests.messages import CHANGES, ORDERS


@dataclass
class ChangedOwnership:
    """An ownership that the test changes."""

    changes: asyncio.Queue[frozenset[Channel]] = field(default_factory=asyncio.Queue)
    given_up: Callable[[], None] = lambda: None

    async def owned(self, channels: Sequence[Channel]) -> AsyncGenerator[frozenset[Channel], None]:
        """Yield what the test puts in."""
        del channels
        try:
            while True:
                yield await self.changes.get()
        finally:
            self.given_up()


@dataclass
class Runs:
    """Plays the part of `Ingest`: notes when a channel is run, and fails as told."""

    failures: list[Exception] = field(default_factory=list)
    running: set[Channel] = field(default_factory=set)
    verified_at: dict[Channel, float] = field(default_factory=dict)
    started: int = 0

    def ingest(self, channel: Channel) -> "Run":
        """Return a run of `channel`."""
        return Run(self, channel)


@dataclass
class Run:
    """One run of one channel."""

    runs: Runs
    channel: Channel
    busy_since: float | None = None

    @property
    def log(self) -> "Run":
        """State of the log, which is here too."""
        return self

    @property
    def verified_at(self) -> float | None:
        """State of the channel, as a test sets it."""
        return self.runs.verified_at.get(self.channel)

    async def run(self) -> None:
        """Fail, or go on until cancelled."""
        self.runs.started += 1
        if self.runs.failures:
            raise self.runs.failures.pop(0)
        self.runs.running.add(self.channel)
        try:
            await asyncio.Event().wait()
        finally:
            self.runs.running.discard(self.channel)


@dataclass
class World:
    """A supervisor whose ownership, runs and clock are the test's."""

    clock: TurnedClock = field(default_factory=TurnedClock)
    board: ChangedOwnership = field(default_factory=ChangedOwnership)
    runs: Runs = field(default_factory=Runs)

    def supervisor(
        self, jitter: Callable[[float, float], float] = lambda _low, high: high
    ) -> ChannelSupervisor:
        """Return the supervisor, with the longest delays."""
        return ChannelSupervisor(
            ownership=self.board,
            channels=[CHANGES, ORDERS],
            ingest=self.runs.ingest,  # type: ignore[arg-type] # runs as an Ingest does
            clock=self.clock,
            jitter=jitter,
        )


async def test_owned_channels_run_and_others_are_let_go() -> None:
    """A channel that moves to another process stops here and leaves no status."""
    world = World()
    supervisor = world.supervisor()
    task = asyncio.create_task(supervisor.run())
    world.board.changes.put_nowait(frozenset({CHANGES, ORDERS}))
    await world.clock.turn(0)
    assert world.runs.running == {CHANGES, ORDERS}

    world.board.changes.put_nowait(frozenset({ORDERS}))
    await world.clock.turn(0)
    assert world.runs.running == {ORDERS}
    assert set(supervisor.status) == {ORDERS}

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not world.runs.running


async def test_release_of_a_channel_is_reported_once_it_has_stopped() -> None:
    """Whoever follows orders for it lets go of it then."""
    world = World()
    released: list[tuple[Channel, set[Channel]]] = []
    supervisor = world.supervisor()
    supervisor.released = lambda channel: released.append((channel, set(world.runs.running)))
    task = asyncio.create_task(supervisor.run())
    world.board.changes.put_nowait(frozenset({CHANGES, ORDERS}))
    await world.clock.turn(0)
    assert released == []

    world.board.changes.put_nowait(frozenset({ORDERS}))
    await world.clock.turn(0)
    assert released == [(CHANGES, {ORDERS})]

    task.cancel()
    await asyncio.wait([task])
    assert released[1:] == [(ORDERS, set())]


async def test_times_of_the_channels_that_run_are_told() -> None:
    """One whose checkpoint is not known yet has none, and neither has one that moved away."""
    world = World()
    supervisor = world.supervisor()
    task = asyncio.create_task(supervisor.run())
    world.board.changes.put_nowait(frozenset({CHANGES, ORDERS}))
    await world.clock.turn(0)
    assert supervisor.verified_at == {}
    world.runs.verified_at = {CHANGES: 7.0, ORDERS: 9.0}
    assert supervisor.verified_at == {CHANGES: 7.0, ORDERS: 9.0}
    assert supervisor.busy_since == {}

    world.board.changes.put_nowait(frozenset({ORDERS}))
    await world.clock.turn(0)
    assert supervisor.verified_at == {ORDERS: 9.0}
    task.cancel()
    await asyncio.wait([task])


async def test_ownership_is_given_up_when_no_channel_runs_any_more() -> None:
    """A next owner must not find the former one reading, and what it appends late fenced off again."""
    world = World()
    still_running: list[set[Channel]] = []
    world.board.given_up = lambda: still_running.append(set(world.runs.running))
    task = asyncio.create_task(world.supervisor().run())
    world.board.changes.put_nowait(frozenset({CHANGES, ORDERS}))
    await world.clock.turn(0)
    assert world.runs.running == {CHANGES, ORDERS}

    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert still_running == [set()]


async def test_failed_channel_runs_again_later_and_later() -> None:
    """The delays double: 1 s after the first failure, 2 s after the second."""
    world = World()
    world.runs.failures = [LogUnavailable("away"), LogUnavailable("away")]
    supervisor = world.supervisor()
    task = asyncio.create_task(supervisor.run())
    world.board.changes.put_nowait(frozenset({CHANGES}))
    await world.clock.turn(0.9)
    assert world.runs.started == 1
    assert supervisor.status[CHANGES].state is ChannelState.RECOVERING
    await world.clock.turn(0.2)
    assert world.runs.started == 2
    await world.clock.turn(1.8)
    assert world.runs.started == 2
    await world.clock.turn(0.3)
    assert world.runs.running == {CHANGES}
    task.cancel()


async def test_refused_channel_says_why_and_is_tried_again() -> None:
    """A repaired permission needs no restart, and the others go on meanwhile."""
    world = World()
    world.runs.failures = [SubscriptionRefused("403::No access on channel", path=CHANGES.path)]
    supervisor = world.supervisor()
    task = asyncio.create_task(supervisor.run())
    world.board.changes.put_nowait(frozenset({CHANGES, ORDERS}))
    await world.clock.turn(0.9)
    assert supervisor.status[CHANGES].state is ChannelState.STOPPED
    assert "No access" in supervisor.status[CHANGES].reason
    assert world.runs.running == {ORDERS}

    await world.clock.turn(0.2)
    assert world.runs.running == {CHANGES, ORDERS}
    tried = supervisor.status[CHANGES]
    assert tried.state is ChannelState.RUNNING
    assert tried.earlier_failure is not None
    assert "No access" in tried.earlier_failure.reason
    await world.clock.turn(60)
    assert supervisor.status[CHANGES] == ChannelStatus(state=ChannelState.RUNNING)
    task.cancel()


async def test_lasting_refusal_is_tried_every_five_minutes() -> None:
    """Soon at first, because many are gone at once, and then less and less often."""
    world = World()
    world.runs.failures = [SubscriptionRefused("403::No access", path=CHANGES.path)] * 20
    task = asyncio.create_task(world.supervisor().run())
    world.board.changes.put_nowait(frozenset({CHANGES}))
    await world.clock.turn(31.5)
    assert world.runs.started == 6
    await world.clock.turn(600)
    started = world.runs.started
    await world.clock.turn(1500)
    assert world.runs.started == started + 5
    task.cancel()


async def test_channel_that_waits_can_be_hurried() -> None:
    """An operator who has helped it need not wait, and one that runs is left alone."""
    world = World(runs=Runs(failures=[SubscriptionRefused("no", path=CHANGES.path)] * 9))
    supervisor = world.supervisor()
    task = asyncio.create_task(supervisor.run())
    world.board.changes.put_nowait(frozenset({CHANGES}))
    await world.clock.turn(200)
    before = world.runs.started
    world.runs.failures.clear()
    supervisor.retry_now(ORDERS)
    supervisor.retry_now(CHANGES)
    await world.clock.turn(0)

    assert world.runs.started == before + 1
    assert world.runs.running == {CHANGES}
    supervisor.retry_now(CHANGES)
    await world.clock.turn(0)
    assert world.runs.started == before + 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
