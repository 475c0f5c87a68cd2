"""Check before a replay: the replayed events count again, so enough of the day's events must be left."""

from dataclasses import dataclass

import structlog

from streamer.channel_paths import ChannelKind
from streamer.errors import AllowanceLow
from streamer.events import Channel, Checkpoint, NewEventsAfter, Start, is_of_cometd
from streamer.quota.limits import KEPT_SHARE, OrgLimit
from streamer.quota.monitor import LimitsMonitor

_log = structlog.get_logger()

# If the limits can't be read, a channel must not wait for long.
_FIRST_READING_S = 10.0
_LIMITS = {
    ChannelKind.CHANGES: (OrgLimit.DELIVERED_EVENTS, "platform and change events"),
    ChannelKind.EVENTS: (OrgLimit.DELIVERED_EVENTS, "platform and change events"),
    ChannelKind.PUSH_TOPIC: (OrgLimit.PUSH_TOPIC_EVENTS, "PushTopic events"),
    ChannelKind.GENERIC: (OrgLimit.GENERIC_EVENTS, "generic events"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayAllowance:
    """Lets a channel read all retained events only if enough of the day's events are left.

    The channel has a retention at Salesforce, so it is not a channel of outbound
    messages.

    An event counts each time it is delivered, even if the log already has it
    (Platform Events guide, allocations). If the limits are unknown, the replay
    continues, and a log line reports this.
    """

    channel: Channel
    limits: LimitsMonitor
    is_on_cometd: bool

    async def admit(self, after: Checkpoint | Start, /) -> None:
        """Do nothing if reading can begin after `after`.

        Otherwise raise `AllowanceLow`: see `ReplayAdmission`.
        """
        if not self._reads_all(after):
            return
        await self.limits.tried(_FIRST_READING_S)
        key, events = _LIMITS[ChannelKind.of(self.channel.path)]
        reading = self.limits.latest
        limit = reading.limits.get(key) if reading else None
        share = limit.share_left if limit else None
        if limit is None or share is None:
            reason = f"Salesforce does not report how many {events} the org can still deliver today"
            _log.warning("replay.not_checked", channel=str(self.channel), reason=reason)
        elif share < KEPT_SHARE:
            raise AllowanceLow(
                f"{self.channel.path} waits: Streamer must read the channel from the earliest "
                f"retained event, but the org can deliver only {limit.remaining:,} more of "
                f"{limit.most:,} {events} in 24 hours ({share:.1%}, {key.value}). Each repeated event "
                "counts again, so the replay could use up the allowance of all clients. The channel "
                f"continues when {KEPT_SHARE:.0%} are left. To continue now, set replay_retained: "
                "always"
            )

    def _reads_all(self, after: Checkpoint | Start) -> bool:
        """Return whether the source would read all retained events to find the position `after`."""
        if isinstance(after, Start):
            return after is Start.EARLIEST
        replay_id = after.replay_id or after.skips_after
        if isinstance(after, NewEventsAfter):
            return False
        return replay_id is None or is_of_cometd(replay_id) is not self.is_on_cometd
