"""Start of a channel without a checkpoint in the log."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import structlog

from streamer.clock import CLOCKS_DIFFER_S
from streamer.events import Channel, Checkpoint, Start
from streamer.ingest.positions.checkpoints import verified_at
from streamer.replay_ids import replay_id_to_text
from streamer.settings import StartTime, StartWord

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """Start with the first retained event that was committed at `at` (epoch seconds), or later."""

    at: float

    def __str__(self) -> str:
        """Return it with the time in UTC."""
        return f"since {datetime.fromtimestamp(self.at, UTC).isoformat(timespec='seconds')}"


ChannelStart = Start | Since | Literal["snapshot"]
"""Start of a channel: `snapshot` begins with new events, and then reads the records that there are."""


def configured_start(configured: StartWord | StartTime) -> ChannelStart:
    """Return the start that a channel's settings name."""
    if isinstance(configured, StartTime):
        return Since(at=configured.since.timestamp())
    return "snapshot" if configured is StartWord.SNAPSHOT else Start(configured)


def source_position(channel: Channel, start: ChannelStart) -> Checkpoint | Start:
    """Return the position after which a source begins to read `channel`."""
    if isinstance(start, Since):
        # A source without a replay id begins so long before the time, and this time is of Salesforce's clock.
        return Checkpoint(channel=channel, replay_id=None, verified_at=start.at + CLOCKS_DIFFER_S)
    return Start.LATEST if start == "snapshot" else start


def tell_position(channel: Channel, checkpoint: Checkpoint | None, start: ChannelStart, now: float) -> None:
    """Log where reading of `channel` resumes, and the age of that position at `now` where it has one."""
    if checkpoint is None:
        reason = "there is no checkpoint"
        _log.info("channel.positioned", channel=str(channel), at=str(start), reason=reason)
        return
    known = verified_at(checkpoint)
    age_s = round(now - known, 1) if known else None
    if checkpoint.replay_id is None:
        reason = "the checkpoint holds no complete replay id"
        _log.info("channel.positioned", channel=str(channel), at=Start.EARLIEST, age_s=age_s, reason=reason)
        return
    after = replay_id_to_text(checkpoint.replay_id)
    retained_s = channel.retention_s
    _log.info("channel.positioned", channel=str(channel), after=after, age_s=age_s, retained_s=retained_s)
