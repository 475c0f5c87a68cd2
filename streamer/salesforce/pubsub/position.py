"""Position from which one channel is subscribed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from streamer.eventbus import FetchRequest, ReplayPreset
from streamer.events import Checkpoint, ReplayId, Start
from streamer.salesforce.retained import RetainedMessages, StreamPosition, position_of


@dataclass(slots=True, kw_only=True)
class Position(StreamPosition):
    """Position of one channel: a replay id, or the start of what is wanted.

    `dropped` is the last replay id with a dropped message, and `passed` the last
    one before it: the events of a split message share a replay id, and some can be
    still to come. The present stream drops what its `selection` drops; later
    settlements do not change that, and what `subscribed` notes matters to the next
    stream: the present one has new messages alone.
    """

    over_cometd: ClassVar = False

    passed: ReplayId | None = None
    dropped: ReplayId | None = None
    selection: RetainedMessages | None = None

    @property
    def replay_id(self) -> ReplayId | None:
        """Replay id after which to read, or `None` for the start."""
        return self.passed or self.complete

    @property
    def is_open_to_new(self) -> bool:
        """True if no message is missed before the next stream is accepted."""
        return self.start is Start.LATEST and self.replay_id is None

    def settled(self, checkpoint: Checkpoint) -> "Position":
        """Return the position after `checkpoint`, which is in the log; the present stream goes on."""
        settled = Position.after(checkpoint)
        settled.selection = self.selection
        if settled.complete is None:
            settled.passed, settled.dropped = self.passed, self.dropped
        return settled

    def request(self, topic: str, credit: int) -> FetchRequest:
        """Return the first request of a stream that reads on from here."""
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
        """Return those of `messages` that the log does not hold; raises `LastEventMissing`."""
        if self.selection is None:
            return messages
        new = self.selection.new(messages)
        first = new[0] if new else None
        for message in messages:
            position = position_of(message)
            if message is first:
                # A new message of the dropped ones' replay id must be read again with them.
                self.passed = self.passed if position in {None, self.dropped} else self.dropped or self.passed
                self.dropped = None
                break
            if position is not None and position != self.dropped:
                self.passed, self.dropped = self.dropped or self.passed, position
        return new

    def read_to_end(self) -> None:
        """Note that Salesforce has nothing more at the moment; raises `LastEventMissing`."""
        if self.selection is not None:
            self.selection.read_to_end()

    def told_lost(self) -> bool:
        """Return once whether the last event in the log is not among those that Salesforce retains."""
        return self.selection is not None and self.selection.told_lost()

    def told_unmarked(self) -> float | None:
        """Return once the time at which the stream begins, where nothing but time marks the place."""
        return None if self.selection is None else self.selection.told_unmarked()

    def begin_again(self, *, by_time: bool) -> None:
        """Read all retained messages again, because the dropped ones, or their replay ids, prove nothing."""
        self.passed = self.dropped = None
        if self.retained is not None:
            self.retained = self.retained.by_time() if by_time else self.retained.afresh()
