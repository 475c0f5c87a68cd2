"""Start of a channel of which the log has no checkpoint."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from streamer.clock import CLOCKS_DIFFER_S
from streamer.events import Channel, Checkpoint, Start


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """Start with the first retained event that was committed at `at` (epoch seconds), or later."""

    at: float

    def __str__(self) -> str:
        """Return it with the time in UTC."""
        return f"since {datetime.fromtimestamp(self.at, UTC).isoformat(timespec='seconds')}"


ChannelStart = Start | Since | Literal["snapshot"]
"""Start of a channel: `snapshot` begins with new events, and then reads the records that there are."""


def source_position(channel: Channel, start: ChannelStart) -> Checkpoint | Start:
    """Return the position after which a source begins to read `channel`."""
    if isinstance(start, Since):
        # A source without a replay id begins so long before the time, and this time is of Salesforce's clock.
        return Checkpoint(channel=channel, replay_id=None, verified_at=start.at + CLOCKS_DIFFER_S)
    return Start.LATEST if start == "snapshot" else start
