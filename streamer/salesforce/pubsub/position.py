"""Position from which a channel is subscribed over the Pub/Sub API."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from streamer.eventbus import FetchRequest, ReplayPreset
from streamer.events import Checkpoint, ReplayId, Start
from streamer.salesforce.retained import RetainedMessages, StreamPosition, position_of


@dataclass(slots=True, kw_only=True)
class Position(StreamPosition):
    """Position of one channel: a replay id, or the start of the wanted events.

    `dropped` is the replay id of the last dropped message, and `passed` is the
    replay id before `dropped`. The next stream resumes after `passed`, because
    split events share a replay id, and some events of `dropped` can still follow. A
    stream uses the `selection` that was current at its start, so later settlements
    do not change which messages it drops. A call of `subscribed` takes effect at
    the next stream: the current stream has begun, and brings only new messages.
    """

    over_cometd: ClassVar = False

    passed: ReplayId | None = None
    dropped: ReplayId | None = None
    selection: RetainedMessages | None = None

    @property
    def replay_id(self) -> ReplayId | None:
        """Replay id after which to read, or `None` to read from the start."""
        return self.passed or self.complete

    @property
    def is_open_to_new(self) -> bool:
        """True if only new events are wanted, so that no event before the next accepted stream is missing."""
        return self.start is Start.LATEST and self.replay_id is None

    def settled(self, checkpoint: Checkpoint) -> "Position":
        """Return the position after `checkpoint`, which is in the log; the current stream continues."""
        settled = Position.after(checkpoint)
        settled.selection = self.selection
        if settled.complete is None:
            settled.passed, settled.dropped = self.passed, self.dropped
        return settled

    def request(self, topic: str, credit: int) -> FetchRequest:
        """Return the first request of a stream that continues from this position."""
        self.selection = self.retained
        replay_id = self.replay_id
        if replay_id is not None:
            preset = ReplayPreset.CUSTOM
        else:
            preset = ReplayPreset.LATEST if self.start is Start.LATEST else ReplayPreset.EARLIEST
        return FetchRequest(
            topic_name=topic, replay_preset=preset, replay_id=replay_id or b"", num_requested=credit
        )

    def new(self, messages: Sequence[Any]) -> Sequence[Any]:
        """Return the `messages` that the log does not hold. Raises `LastEventMissing`."""
        if self.selection is None:
            return messages
        new = self.selection.new(messages)
        first = new[0] if new else None
        for message in messages:
            position = position_of(message)
            if message is first:
                # A new message can share the replay id of dropped messages, so read all of these again.
                self.passed = self.passed if position in {None, self.dropped} else self.dropped or self.passed
                self.dropped = None
                break
            if position is not None and position != self.dropped:
                self.passed, self.dropped = self.dropped or self.passed, position
        return new

    def read_to_end(self) -> None:
        """Record that Salesforce has no more messages at the moment. Raises `LastEventMissing`."""
        if self.selection is not None:
            self.selection.read_to_end()

    def told_lost(self) -> bool:
        """At the first call, return true if Salesforce no longer retains the last event in the log."""
        return self.selection is not None and self.selection.told_lost()

    def told_unmarked(self) -> float | None:
        """At the first call, return the stream's start time if only time marks the position; else `None`."""
        return None if self.selection is None else self.selection.told_unmarked()

    def begin_again(self, *, by_time: bool) -> None:
        """Read all retained messages again, because dropped messages or their replay ids are unreliable."""
        self.passed = self.dropped = None
        if self.retained is not None:
            self.retained = self.retained.by_time() if by_time else self.retained.afresh()
