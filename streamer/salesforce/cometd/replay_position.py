"""Position of a channel in the replay map of a subscription."""

from dataclasses import dataclass

from streamer.clock import CLOCKS_DIFFER_S
from streamer.events import Checkpoint, NewEventsAfter, ReplayId, Start
from streamer.salesforce.retained import RetainedMessages, place_after

NEW_EVENTS = -1
ALL_RETAINED = -2


@dataclass(slots=True, kw_only=True)
class ReplayPosition:
    """Position from which one channel is subscribed, and its number in the replay map.

    Reading resumes after `complete`, the checkpoint's last complete replay id;
    the consumer drops the events of the open id that it already holds. While no
    id is complete, or while an id is another transport's, there is no number
    that marks the place: the consumer does not get the messages that `retained`
    drops. `skips_after` takes the place of `complete` once new events were
    subscribed behind events that are skipped; the log holds none that was committed
    at `skips_until` or later.
    """

    start: Start
    complete: ReplayId | None = None
    retained: RetainedMessages | None = None
    skips_after: ReplayId | None = None
    skips_until: float = 0.0

    @classmethod
    def after(cls, after: Checkpoint | Start) -> "ReplayPosition":
        """Return the position that `after` describes."""
        if isinstance(after, Start):
            return cls(start=after)
        complete, retained = place_after(after, over_cometd=True)
        if isinstance(after, NewEventsAfter):
            skips_until = retained.since if retained is not None else 0.0
            return cls(start=Start.LATEST, skips_after=complete, skips_until=skips_until)
        return cls(start=Start.EARLIEST, complete=complete, retained=retained)

    def replay(self) -> int:
        """Return this channel's number in the replay map of a subscription."""
        if self.complete is not None:
            return int(self.complete)
        return NEW_EVENTS if self.start is Start.LATEST else ALL_RETAINED

    def decide_by_time(self) -> None:
        """Note that Salesforce no longer retains the last event in the log."""
        if self.retained is not None:
            self.retained = self.retained.by_time()

    def subscribed(self, now: float) -> None:
        """Note that from `now` on (epoch seconds) no message of the channel may be missed."""
        if self.start is Start.LATEST:
            # An extra message does no harm before the first read.
            self.start, self.complete = Start.EARLIEST, self.skips_after
            since = max(now - CLOCKS_DIFFER_S, self.skips_until)
            self.retained = RetainedMessages.from_time(since, after=self.complete)
