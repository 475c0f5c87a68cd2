"""What readiness is told of the parts."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest

from streamer.clock import TurnedClock
from streamer.events import Channel, SubscriberName
from streamer.ingest.keeper import ChannelState, ChannelStatus, Keeper
from streamer.observe.subscriber_status import SubscriberStatus
from streamer.supervision.health import Health, Kind, State
from streamer.supervision.status import Status
from tests.contracts.values import CHANGES

SALES = SubscriberName("sales")


@dataclass
class Kept:
    """A keeper that says what a test wants."""

    status: dict[Channel, ChannelStatus]
    channels: Sequence[Channel] = (CHANGES,)
    joined: bool = True
    busy_since: dict[Channel, float] = field(default_factory=dict)


@dataclass
class Session:
    """A source that is subscribed to what a test wants."""

    subscribed: frozenset[str] = frozenset()


@dataclass
class Delivering:
    """A dispatcher in the state that a test wants."""

    following: bool = True
    held: str = ""
    stalled_since: float | None = None
    unrecorded_since: float | None = None

    @property
    def status(self) -> SubscriberStatus:
        """How it stands: held, or at rest."""
        return SubscriberStatus(
            lag=7,
            waiting=3,
            parked=2,
            in_flight=1,
            limit=4,
            hindrance=self.held,
            is_held=bool(self.held),
            is_down=bool(self.held),
        )


@dataclass
class Condition:
    """A log in the condition that a test wants."""

    hindrance: str = ""
    is_member: bool = True


@pytest.fixture
def clock() -> TurnedClock:
    """Time stands still."""
    return TurnedClock()


@pytest.fixture
def status() -> Status:
    """One channel that runs and is subscribed, and one subscriber that follows the log."""
    return Status(
        log=Condition(),
        ingests=True,
        keeper=keeper(ChannelState.RUNNING),
        source=Session(frozenset({CHANGES.path})),
        dispatchers={SALES: Delivering()},
        awaited=frozenset({SALES}),
    )


def keeper(state: ChannelState | None = None, reason: str = "") -> Keeper:
    """Return a keeper of one channel, which is another process's without a `state`."""
    kept = {CHANGES: ChannelStatus(state=state, reason=reason)} if state else {}
    return cast("Keeper", Kept(kept))


def readiness(status: Status) -> list[str]:
    """Return what keeps the daemon from being ready."""
    health = Health()
    status.register(health)
    return health.report(Kind.READINESS).problems


def says(status: Status, probe: str) -> str:
    """Return the sentence of one probe."""
    health = Health()
    status.register(health)
    return health.report(Kind.READINESS).verdicts[probe].sentence


def without_subscribers(status: Status) -> Status:
    """Leave only what an ingest process does."""
    status.awaited = frozenset()
    status.dispatchers.clear()
    return status


def test_daemon_whose_events_can_flow_is_ready(status: Status) -> None:
    """A target that is away keeps its backlog in the log and makes nobody unready."""
    status.dispatchers[SALES] = Delivering(held="429")

    assert readiness(status) == []
    assert status.complete()
    assert status.state() is State.ACTIVE


def test_channel_that_does_not_run_is_named_with_its_reason(status: Status) -> None:
    """So that an operator need not look into the log."""
    status.keeper = keeper(
        next(each for each in ChannelState if each is not ChannelState.RUNNING), "no right"
    )

    assert readiness(status) == [f"channels: {CHANGES.path}: no right"]
    assert not status.complete()


def test_channel_that_is_not_subscribed_is_named(status: Status) -> None:
    """It runs, but Salesforce has not accepted it yet."""
    status.source = Session()

    assert readiness(status) == [f"channels: {CHANGES.path}: not subscribed yet"]


def test_what_is_waited_for_is_named(status: Status) -> None:
    """Such as Salesforce's login."""
    status.waiting_for["salesforce"] = "Logging in to Salesforce."

    assert readiness(status) == ["connections: Logging in to Salesforce."]


def test_daemon_without_its_subscribers_is_not_complete(status: Status) -> None:
    """Each must have its place in the log."""
    status.dispatchers[SALES] = Delivering(following=False)
    assert not status.complete()
    status.dispatchers.clear()
    assert not status.complete()


@pytest.mark.parametrize("comes", [True, False])
async def test_followers_are_waited_for_within_reason(
    status: Status,
    clock: TurnedClock,
    comes: bool,  # noqa: FBT001 - a table of cases
) -> None:
    """Until they are there, or the time is over."""
    delivering = Delivering(following=False)
    status.dispatchers[SALES] = delivering
    waiting = asyncio.create_task(status.followed(clock, within_s=10))
    await clock.turn(9)
    assert not waiting.done()
    delivering.following = comes
    await clock.turn(0.5 if comes else 2)

    assert waiting.done()


def test_process_whose_channels_are_all_read_by_others_stands_by(status: Status) -> None:
    """It is ready, and says so in a sentence and in a word."""
    without_subscribers(status).keeper = keeper()

    assert readiness(status) == []
    assert says(status, "channels").startswith("Standby: the channels are read by other processes;")
    assert status.state() is State.STANDBY


def test_process_that_also_delivers_is_active_without_channels(status: Status) -> None:
    """Its subscribers are not on standby."""
    status.keeper = keeper()

    assert readiness(status) == []
    assert status.state() is State.ACTIVE


@pytest.mark.parametrize("lacks", ["membership", "share", "login"])
def test_process_that_has_not_joined_is_not_ready(status: Status, lacks: str) -> None:
    """Nobody may count on it before it is logged in, a member, and has its first share."""
    without_subscribers(status)
    if lacks == "membership":
        status.log = Condition(is_member=False)
    else:
        status.keeper = cast("Keeper", Kept({}, joined=False)) if lacks == "share" else None

    assert readiness(status) == [
        "channels: This process has not joined the group that shares the channels yet."
    ]
    assert status.state() is State.STARTING


def test_log_that_is_away_makes_every_role_unready(status: Status) -> None:
    """A standby and a process that only delivers, too."""
    status.log = Condition(hindrance="No broker has answered for 9 s.")
    assert readiness(status) == ["log: No broker has answered for 9 s."]
    without_subscribers(status).keeper = keeper()
    assert readiness(status) == ["log: No broker has answered for 9 s."]
    status.log = None
    assert "log: The log is not open yet." in readiness(status)


def test_subscriber_without_its_place_in_the_log_makes_unready(status: Status) -> None:
    """Nothing can be delivered."""
    status.dispatchers[SALES] = Delivering(following=False)

    assert readiness(status) == ["subscribers: sales: no place in the log yet."]


def test_plugin_that_waits_for_its_target_does_not_make_unready(status: Status) -> None:
    """Its backlog is kept; the sentence says what is waited for."""
    status.dispatchers[SALES] = Delivering(following=False)
    status.unopened[SALES] = "the broker of MQTT refuses"

    assert readiness(status) == []
    assert says(status, "subscribers") == "sales: the broker of MQTT refuses"


def test_process_that_stops_is_not_ready(status: Status) -> None:
    """Whatever it still drains."""
    status.stopping = True

    assert readiness(status) == ["connections: This process is stopping."]
    assert status.state() is State.STOPPING
