"""A batch as it was read knows its events, its dead letters, and the order of both."""

from streamer.clock import TurnedClock
from streamer.events import DeadLetter, Event, ReplayId, Unreadable
from streamer.ingest.read_batch import ReadBatch
from streamer.ingest.reading.quarantine import Quarantine
from streamer.normalise import normaliser_for
from tests.messages import CHANGES, change, events_of

READ = normaliser_for(CHANGES)
FIRST, SECOND, OTHER = events_of(READ, change(1), change(3), change(4))


def letter(replay_id: bytes = b"2") -> DeadLetter:
    """Return the dead letter of a message."""
    piece = Unreadable(raw=b"?", error="not JSON", replay_id=ReplayId(replay_id))
    return Quarantine(clock=TurnedClock()).unreadable(piece, CHANGES)


def test_batch_of_both_keeps_their_order() -> None:
    """The checkpoint moves with the last of both."""
    mixed: list[Event | DeadLetter] = [FIRST, letter(), SECOND]
    read = ReadBatch.of(mixed)

    assert (read.events, read.dead_letters, read.mixed) == ([FIRST, SECOND], [mixed[1]], mixed)


def test_batch_of_events_alone_has_nothing_mixed() -> None:
    """Its events are in order by themselves."""
    read = ReadBatch.of([FIRST, SECOND])

    assert (list(read.events), list(read.dead_letters), list(read.mixed)) == ([FIRST, SECOND], [], [])


def test_events_are_replaced_at_their_places() -> None:
    """A dead letter stays where it is, and an event can become one."""
    first, last = letter(), letter(b"3")
    read = ReadBatch.of([first, FIRST, SECOND]).with_events([OTHER, last])

    assert read.mixed == [first, OTHER, last]
    assert (read.events, read.dead_letters) == ([OTHER], [first, last])


def test_batch_whose_events_are_the_same_is_the_same() -> None:
    """Most batches pass unchanged."""
    read = ReadBatch.of([letter(), FIRST])

    assert read.with_events(read.events) is read
