"""The committed offset, and the settled offsets above it."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamer.dispatch.partition_progress import OffsetTracker
from streamer.events import SettledOffsets


def concerns_us(offset: int) -> bool:
    """Every third entry is of a type that nobody asked for."""
    return offset % 3 != 0


class Tracking(RuleBasedStateMachine):
    """A process that may end at any point, against a plain account of what was delivered."""

    def __init__(self) -> None:
        """Begin with an empty partition."""
        super().__init__()
        self.tracker = OffsetTracker(SettledOffsets(next_offset=0))
        self.read = 0
        self.open: set[int] = set()
        self.delivered: set[int] = set()

    @rule()
    def read_one(self) -> None:
        """The next offset is an event for us, or it is passed over."""
        if concerns_us(self.read) and self.read not in self.delivered:
            self.tracker.opened(self.read)
            self.open.add(self.read)
        self.read += 1
        self.tracker.passed(self.read)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def settle_one(self, data: st.DataObject) -> None:
        """Any open offset may be settled next."""
        offset = data.draw(st.sampled_from(sorted(self.open)))
        self.tracker.settled(offset)
        self.open.remove(offset)
        self.delivered.add(offset)

    @rule()
    def restart(self) -> None:
        """The next process delivers exactly what this one had not."""
        progress = self.tracker.progress()
        again = set(range(progress.next_offset, self.read)) - progress.settled_above
        assert {offset for offset in again if concerns_us(offset)} == self.open
        self.tracker = OffsetTracker(progress)
        self.read = progress.next_offset
        self.open = set()

    @invariant()
    def prefix_never_passes_an_open_offset(self) -> None:
        """Nothing open is below the prefix or counted as settled, and nothing settled is missing."""
        progress = self.tracker.progress()
        assert progress.next_offset >= min(self.open, default=self.read)
        assert all(offset >= progress.next_offset for offset in self.open | progress.settled_above)
        assert progress.settled_above == {each for each in self.delivered if each >= progress.next_offset}


TestTracking = Tracking.TestCase


def test_restart_delivers_exactly_what_was_not_settled() -> None:
    """Offsets 1 and 3 were delivered, 0 and 2 come again."""
    tracker = OffsetTracker(SettledOffsets(next_offset=0))
    for offset in range(4):
        tracker.opened(offset)
    tracker.settled(1)
    tracker.settled(3)

    assert tracker.progress() == SettledOffsets(next_offset=0, settled_above=frozenset({1, 3}))
    tracker.settled(0)
    assert tracker.progress() == SettledOffsets(next_offset=2, settled_above=frozenset({3}))


def test_what_a_former_process_settled_joins_the_prefix() -> None:
    """The log leaves those offsets out, so they are never opened here."""
    tracker = OffsetTracker(SettledOffsets(next_offset=0, settled_above=frozenset({1})))
    tracker.opened(0)
    tracker.passed(2)
    tracker.settled(0)

    assert tracker.progress() == SettledOffsets(next_offset=2)


def test_partition_without_open_events_is_settled_as_far_as_it_was_read() -> None:
    """Events that do not concern a subscriber do not keep it back."""
    tracker = OffsetTracker(SettledOffsets(next_offset=3))
    tracker.passed(9)

    assert tracker.progress() == SettledOffsets(next_offset=9)
