"""The checkpoint moves together with the events."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from streamer.clock import CLOCKS_DIFFER_S, TurnedClock
from streamer.events import Checkpoint, DeadLetter, Event, ReplayId, Unreadable
from streamer.ingest.positions.checkpoints import advanced, confirmed, without_appended
from streamer.ingest.read_batch import ReadBatch
from streamer.ingest.reading.quarantine import Quarantine
from streamer.normalise import normaliser_for
from streamer.salesforce.cometd.answer import ReplayPosition
from tests.messages import CHANGES, batch, change, events_of

READ = normaliser_for(CHANGES)


def moved(former: Checkpoint | None, *messages: dict[str, object], at: float = 1_735_690_000.0) -> Checkpoint:
    """Return the checkpoint after a batch of `messages`."""
    read = events_of(READ, *messages)
    return advanced(former, ReadBatch(events=read), batch(*messages, at=at))


def resumed_since(checkpoint: Checkpoint) -> float:
    """Return the time before which messages are left out when reading resumes by time."""
    retained = ReplayPosition.after(checkpoint).retained
    assert retained is not None
    return retained.since


def test_last_replay_id_stays_open_and_the_one_before_is_complete() -> None:
    """More events may carry the last one."""
    checkpoint = moved(None, change(5, "001A"), change(6, "001A"))

    assert checkpoint.replay_id == b"5"
    assert checkpoint.open_replay_id == b"6"
    assert checkpoint.appended == ("t1-6:1:001A",)


def test_split_events_over_two_batches_gather_under_one_replay_id() -> None:
    """The replay id before them stays the complete one until another follows."""
    first = moved(None, change(5, "001A"), change(6, "001A"))
    second = moved(first, change(6, "001B"))
    third = moved(second, change(9, "001A"))

    assert (second.replay_id, second.open_replay_id) == (b"5", b"6")
    assert second.appended == ("t1-6:1:001A", "t1-6:1:001B")
    assert (third.replay_id, third.open_replay_id) == (b"6", b"9")


def test_first_replay_id_stays_open_over_two_batches() -> None:
    """Its other events would be left out after a restart."""
    second = moved(moved(None, change(5, "001A")), change(5, "001B"))

    assert (second.replay_id, second.open_replay_id) == (None, b"5")
    assert second.appended == ("t1-5:1:001A", "t1-5:1:001B")


def test_quiet_answer_completes_the_last_replay_id() -> None:
    """Nothing is missing at that moment, and no sibling of the last event is still to come."""
    first = moved(None, change(5, "001A"), change(6, "001A"))
    quiet = confirmed(first, batch(at=1_735_700_000.0))

    assert quiet.verified_at == 1_735_700_000.0
    assert (quiet.replay_id, quiet.open_replay_id) == (b"6", None)
    assert quiet.positioned_at == first.positioned_at == 1_735_689_600.006


def test_position_of_a_quiet_answer_is_where_reading_resumes() -> None:
    """Salesforce's position moves on without events of ours, or it would expire."""
    first = moved(None, change(5, "001A"), change(6, "001A"))
    position = ReplayId(b"\x00\x00\x01")
    quiet = confirmed(first, replace(batch(at=1_735_700_000.0), position=position))

    assert (quiet.replay_id, quiet.open_replay_id) == (position, None)
    assert quiet.positioned_at == 1_735_700_000.0


@pytest.mark.parametrize("position", [None, ReplayId(b"\x00\x00\x01")])
def test_quiet_answers_keep_the_ids_of_the_last_events(position: ReplayId | None) -> None:
    """The other transport knows them by nothing else."""
    last = moved(None, change(5, "001A"), change(6, "001A", "001B"))
    quiet = last
    for at in (1_735_700_000.0, 1_735_700_110.0):
        quiet = confirmed(quiet, replace(batch(at=at), position=position))

    assert len(last.appended) == 2
    assert quiet.appended == last.appended
    assert moved(quiet, change(7, "001C")).appended == ("t1-7:1:001C",)


def test_backlog_verifies_no_later_than_its_last_event() -> None:
    """A late read proves nothing about later events."""
    assert moved(None, change(5), at=1_735_999_999.0).verified_at == 1_735_689_600.005


@pytest.mark.parametrize("ahead_s", [0.0000001, 30.0])
def test_first_event_is_resumed_from_by_salesforces_clock(ahead_s: float) -> None:
    """With no complete replay id the event itself decides, or else a time well before it."""
    committed = 1_735_689_600.005
    quiet = confirmed(None, batch(at=committed + ahead_s))
    first = moved(quiet, change(5, "001A"), at=committed + ahead_s)

    assert (first.replay_id, first.open_replay_id) == (None, b"5")
    assert resumed_since(first) == committed - CLOCKS_DIFFER_S
    retained = ReplayPosition.after(first).retained
    assert retained is not None
    assert retained.new([change(4), change(5, "001A"), change(6)]) == [change(6)]


def test_first_message_without_a_time_is_resumed_from_well_before_it() -> None:
    """Only our clock tells when it came, and that can be ahead."""
    at = 1_735_690_000.0
    letter = Quarantine(clock=TurnedClock()).unreadable(
        Unreadable(raw=b"?", error="not JSON", replay_id=ReplayId(b"5")), CHANGES
    )
    first = advanced(confirmed(None, batch(at=at)), ReadBatch.of([letter]), batch(at=at))

    assert resumed_since(first) <= at - 60


def test_only_the_open_position_is_read_again() -> None:
    """A publisher's duplicate under another replay id is an event of its own."""
    checkpoint = Checkpoint(
        channel=CHANGES,
        replay_id=ReplayId(b"5"),
        verified_at=0,
        appended=(events_of(READ, change(6, "001A"))[0].id,),
        open_replay_id=ReplayId(b"6"),
    )
    again = [*events_of(READ, change(6, "001A", "001B")), *events_of(READ, change(7, "001A"))]
    new = without_appended(ReadBatch(events=again), checkpoint)

    assert [(event.replay_id, event.key) for event in new.events] == [(b"6", "001B"), (b"7", "001A")]


def test_open_position_is_known_by_its_events_on_the_other_transport() -> None:
    """Its replay id is another there, and its split events must not come twice."""
    first = moved(None, change(5, "001A"), change(6, "001A", transaction="split"))
    sibling = change(6, "001B", transaction="split")
    sibling["data"]["event"]["replayId"] = b"\0\6"
    second = moved(first, sibling)

    assert (second.replay_id, second.open_replay_id) == (b"6", b"\0\6")
    assert second.appended == ("split-6:1:001A", "split-6:1:001B")


@pytest.mark.parametrize(
    ("answers", "number"),
    [
        ([[5]], -2),
        ([[5], []], 5),
        ([[5, 7, 9]], 7),
        ([[5, 7, 7, 7]], 5),
        ([[5, 7], [9]], 7),
        ([[5, 7], [7, 7]], 5),
        ([[5, 7], [7], [8]], 7),
        ([[5, 7], []], 7),
        ([[5, 7], ["9"]], 7),
        ([[5, 7], ["9", 8]], 9),
    ],
)
def test_reading_resumes_before_the_last_replay_id(answers: list[list[int | str]], number: int) -> None:
    """Its events may be split over several answers, so it is read again, and nothing else is."""
    checkpoint: Checkpoint | None = None
    for answer in answers:
        read = ReadBatch.of([item for each in answer for item in items(each)])
        checkpoint = advanced(checkpoint, read, batch()) if answer else confirmed(checkpoint, batch())
    assert checkpoint is not None
    assert ReplayPosition.after(checkpoint).replay() == number


def items(replay_id: int | str) -> Sequence[Event | DeadLetter]:
    """Return the event of a replay id, or what is set aside of it where it is written as text."""
    if isinstance(replay_id, int):
        return events_of(READ, change(replay_id))
    piece = Unreadable(raw=b"", error="", replay_id=ReplayId(replay_id.encode()))
    return [Quarantine(clock=TurnedClock()).unreadable(piece, CHANGES)]


SKIPPED = Checkpoint(channel=CHANGES, replay_id=None, verified_at=1_735_689_700.0, skips_after=ReplayId(b"9"))


def test_id_before_skipped_events_stays_until_another_is_complete() -> None:
    """Reading can begin behind it until then."""
    quiet = confirmed(SKIPPED, batch())
    first = moved(SKIPPED, change(20, "001A"))

    assert (quiet.replay_id, quiet.skips_after) == (None, b"9")
    assert (first.replay_id, first.open_replay_id, first.skips_after) == (None, b"20", b"9")
    assert moved(first, change(21, "001A")).skips_after is None
    assert confirmed(first, batch()).skips_after is None
    assert moved(SKIPPED, change(20, "001A"), change(21, "001A")).skips_after is None


def test_channel_without_an_id_is_verified_by_salesforces_clock() -> None:
    """Reading resumes by the commit times of events: where our clock is ahead, they would seem too old."""
    behind, ahead = (replace(batch(at=1_000.0), org_time=org_time) for org_time in (700.0, 1_300.0))

    assert [confirmed(None, each).verified_at for each in (behind, ahead)] == [700.0, 1_000.0]


@pytest.mark.parametrize(
    ("org_time", "verified"),
    [(700.0, 700.0), (950.0, 1_000.0), (1_300.0, 1_000.0), (50.0, 1_000.0), (None, 1_000.0)],
)
@pytest.mark.parametrize("position", [None, ReplayId(b"\x00\x00\x01")])
def test_clock_that_is_minutes_ahead_does_not_verify_a_channel_with_an_id(
    position: ReplayId | None, org_time: float | None, verified: float
) -> None:
    """On the other transport, its next events would seem too old. The header of a proxy can name any time."""
    known = moved(None, change(5, "001A"), change(6, "001A"))
    quiet = confirmed(known, replace(batch(at=1_000.0), org_time=org_time, position=position))

    assert quiet.verified_at == verified
