"""Position of a channel in the replay map of a subscription."""

from dataclasses import dataclass

from streamer.clock import CLOCKS_DIFFER_S
from streamer.errors import ReplayIdRefused
from streamer.events import Checkpoint, ReplayId, Start

NEW_EVENTS = -1
ALL_RETAINED = -2


@dataclass(slots=True, kw_only=True)
class ReplayPosition:
    """Position from which one channel is subscribed, and its number in the replay map.

    Reading resumes after `complete`, the checkpoint's last complete replay id;
    the consumer drops the events of the open id that it already holds. While no
    id is complete there is no id to resume from: Salesforce sends all events
    that it retains, and the consumer does not get messages that were committed
    before `since` (epoch seconds).
    """

    start: Start
    complete: ReplayId | None = None
    since: float | None = None

    @classmethod
    def after(cls, after: Checkpoint | Start, *, path: str) -> "ReplayPosition":
        """Return the position that `after` describes.

        Raises `ReplayIdRefused` for an id that was not read over CometD.
        """
        if isinstance(after, Start):
            return cls(start=after)
        for replay_id in (after.replay_id, after.open_replay_id):
            if replay_id is not None and not replay_id.isdigit():
                raise ReplayIdRefused(
                    f"The replay id of {path} was read over another transport, and CometD can't resume "
                    "from it: choose earliest or latest",
                    path=path,
                )
        # An open id's event was committed at `verified_at` by Salesforce's own clock.
        since = after.verified_at - (0 if after.open_replay_id else CLOCKS_DIFFER_S)
        return cls(start=Start.EARLIEST, complete=after.replay_id, since=since)

    @property
    def known(self) -> bool:
        """True if there is a replay id to resume from."""
        return self.complete is not None

    def replay(self) -> int:
        """Return this channel's number in the replay map of a subscription."""
        if self.complete is not None:
            return int(self.complete)
        return NEW_EVENTS if self.start is Start.LATEST else ALL_RETAINED

    def subscribed(self, now: float) -> None:
        """Note that from `now` on (epoch seconds) no message of the channel may be missed."""
        if self.start is Start.LATEST:
            # An extra message does no harm before the first read.
            self.start, self.since = Start.EARLIEST, now - CLOCKS_DIFFER_S
