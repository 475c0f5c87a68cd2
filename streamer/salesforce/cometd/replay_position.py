"""Where a channel's reading resumes after its session was lost."""

from collections.abc import Iterator
from dataclasses import dataclass

from streamer.errors import ReplayIdRefused
from streamer.events import Batch, Checkpoint, ReplayId, Start
from streamer.salesforce.cometd.message import committed_at, replay_id_of

NEW_EVENTS = -1
ALL_RETAINED = -2

# Our clock and Salesforce's may differ, and a message too many does no harm where none was read yet.
_CLOCKS_DIFFER_S = 60.0


@dataclass(slots=True, kw_only=True)
class ReplayPosition:
    """What one channel has acknowledged, and what that means for the replay map.

    Split events share a replay id, so the last id that was seen may not be
    complete: reading resumes after the one before it, `complete`, and the
    consumer drops what it holds already. A quiet answer completes the last id,
    for split events are stored together.

    Where no id is complete yet there is none to resume from: what Salesforce
    retains is read again, and messages that were committed before `since`
    (epoch seconds) are not for the consumer.
    """

    start: Start
    complete: ReplayId | None = None
    last: ReplayId | None = None
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
        since = after.verified_at - (0 if after.open_replay_id else _CLOCKS_DIFFER_S)
        return cls(start=Start.EARLIEST, complete=after.replay_id, last=after.open_replay_id, since=since)

    @property
    def known(self) -> bool:
        """Whether there is a replay id to resume from."""
        return self.complete is not None

    def replay(self) -> int:
        """Return this channel's number in the replay map of a subscription."""
        if self.complete is not None:
            return int(self.complete)
        return NEW_EVENTS if self.start is Start.LATEST else ALL_RETAINED

    def subscribed(self, now: float) -> None:
        """Note that from `now` on (epoch seconds) nothing of the channel may be missed."""
        if self.start is Start.LATEST:
            self.start, self.since = Start.EARLIEST, now - _CLOCKS_DIFFER_S

    def acknowledge(self, batch: Batch) -> None:
        """Move past `batch`, which is in the log."""
        ids = _newest_first(batch)
        last = next(ids, None)
        if last is None:
            self.complete = self.last or self.complete
            return
        before = next((replay_id for replay_id in ids if replay_id != last), None)
        if before is None and last != self.last:
            before = self.last
        self.complete = before or self.complete
        self.last = last
        if self.complete is None and batch.messages:
            self.since = committed_at(batch.messages[0]) or self.since


def _newest_first(batch: Batch) -> Iterator[ReplayId]:
    # Where an unreadable piece stood is not known: it counts as before the messages.
    for message in reversed(batch.messages):
        replay_id = replay_id_of(message)
        if replay_id is not None:
            yield replay_id
    for piece in reversed(batch.unreadable):
        if piece.replay_id is not None:
            yield piece.replay_id
