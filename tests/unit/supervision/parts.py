"""Parts of a daemon in the states that tests want."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from streamer.events import Channel, SubscriberName
from streamer.ingest.channel_supervisor import ChannelState, ChannelStatus, ChannelSupervisor
from streamer.observe.subscriber_status import LastFailure, SubscriberStatus
from tests.contracts.values import CHANGES

SALES = SubscriberName("sales")


@dataclass
class Kept:
    """A supervisor that says what a test wants."""

    status: dict[Channel, ChannelStatus]
    channels: Sequence[Channel] = (CHANGES,)
    joined: bool = True
    busy_since: dict[Channel, float] = field(default_factory=dict)
    verified_at: dict[Channel, float] = field(default_factory=dict)


@dataclass
class Session:
    """A source that is subscribed to what a test wants."""

    subscribed: frozenset[str] = frozenset()
    overdue: dict[str, int] = field(default_factory=dict)


@dataclass
class Delivering:
    """A dispatcher in the state that a test wants."""

    following: bool = True
    held: str = ""
    stalled_since: float | None = None
    unrecorded_since: float | None = None
    last_failure: LastFailure | None = None

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
            last_failure=self.last_failure,
            next_try_at=1_735_689_660.0 if self.last_failure else None,
        )


@dataclass
class Condition:
    """A log in the condition that a test wants."""

    outage: str = ""
    is_member: bool = True
    schema_outage: str = ""


def supervisor(state: ChannelState | None = None, reason: str = "") -> ChannelSupervisor:
    """Return a supervisor of one channel, which is another process's without a `state`."""
    kept = {CHANGES: ChannelStatus(state=state, reason=reason)} if state else {}
    return cast("ChannelSupervisor", Kept(kept))
