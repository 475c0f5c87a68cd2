"""Records of dead letters."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from confluent_kafka import Message
from structlog.testing import capture_logs

from streamer.events import DeadLetter
from streamer.log.kafka.cluster.producer import ProducerRecord, Tombstone
from streamer.log.kafka.control.letters import LetterIndex
from streamer.log.kafka.records.dead_letters import (
    dead_letter_records,
    letter_tombstones,
    removed_letters,
)
from streamer.log.kafka.records.events import CHUNK_BYTES
from streamer.log.records import decode_dead_letter
from tests.contracts.values import a_dead_letter, an_event
from tests.unit.log.kafka.topics.kafka_topic import as_read

LARGE = replace(a_dead_letter("x"), raw=bytes(range(256)) * 8192)


def index(*records: ProducerRecord | Tombstone) -> LetterIndex:
    """Return the index of a topic that holds `records`."""
    found = LetterIndex()
    found.apply(as_read(records))
    return found


def test_small_letter_is_one_record() -> None:
    """Most letters have one chunk."""
    letter = a_dead_letter("x")
    [record] = dead_letter_records(letter, "dead")

    assert record.key == b"x#0"
    assert decode_dead_letter(record.value) == letter


def test_large_letter_comes_in_parts_that_a_broker_takes() -> None:
    """An event that is too large for its topic must not be too large for the dead letters."""
    records = dead_letter_records(LARGE, "dead")

    assert len(records) > 4
    assert max(len(record.value) for record in records) <= CHUNK_BYTES
    assert decode_dead_letter(b"".join(record.value for record in records)) == LARGE
    assert index(*records).complete([b"x"]) == {b"x": tuple(range(len(records)))}


def test_letter_of_which_a_part_is_missing_is_not_made_up() -> None:
    """Half a letter does not count as a letter."""
    records = dead_letter_records(LARGE, "dead")

    assert not index(*records[1:]).complete([b"x"])
    assert not index(*records, *letter_tombstones(b"x", 1, "dead")).complete([b"x"])


@pytest.mark.parametrize("former", [a_dead_letter("x"), LARGE])
def test_last_letter_of_an_id_counts(former: object) -> None:
    """The same event set aside again replaces the earlier letter, as compaction will."""
    assert isinstance(former, type(LARGE))
    before = dead_letter_records(former, "dead")
    latter = dead_letter_records(a_dead_letter("x", error="second"), "dead")

    assert index(*before, *latter).complete([b"x"]) == {b"x": (len(before),)}


def test_id_may_look_like_a_key() -> None:
    """Ids are foreign input."""
    records = [*dead_letter_records(a_dead_letter("a"), "d"), *dead_letter_records(a_dead_letter("a#0"), "d")]

    assert index(*records, *letter_tombstones(b"a", 1, "d")).complete([b"a", b"a#0"]) == {b"a#0": (1,)}


def test_redriven_letter_is_removed_in_all_its_parts() -> None:
    """The number of its chunks is no longer known when its event is parked instead."""
    event = an_event(1, data={"text": "x" * 3_000_000})
    letter = replace(a_dead_letter("x"), event=event, raw=b"y" * 1_000_000)
    records = dead_letter_records(letter, "dead")

    removed: Sequence[Tombstone] = list(removed_letters(["x"], "dead"))
    assert {record.key for record in records} <= {tombstone.key for tombstone in removed}
    assert index(*records, *removed).chunks(b"x") == 0


def test_redriven_letter_of_what_was_delivered_at_once_is_removed_in_all_its_parts() -> None:
    """The log does not know its size: its event was never parked."""
    records = dead_letter_records(LARGE, "dead")

    assert index(*records, *removed_letters(["x"], "dead")).chunks(b"x") == 0


@pytest.mark.parametrize(
    ("key", "headers"),
    [
        (None, []),
        (b"x", []),
        (b"x#y", []),
        (b"x#0", []),
        (b"x#0", [("parts", b"200000000")]),
        (b"x#0", [("parts", b"-1")]),
        (b"x#200000000", [("parts", b"2")]),
    ],
)
def test_foreign_record_is_logged_and_left_out(
    key: bytes | None, headers: list[tuple[str, str | bytes | None]]
) -> None:
    """It keeps nobody from the other letters, and takes no memory for what its headers promise."""
    found = index(*dead_letter_records(a_dead_letter("y"), "dead"))

    with capture_logs() as lines:
        found.apply([Message(topic="dead", partition=0, offset=7, key=key, value=b"z", headers=headers)])

    [line] = lines
    assert "topic dead, partition 0, offset 7" in line["place"]
    assert [head.id for head in found.take_heads()] == ["y"]


@pytest.mark.parametrize("letter", [a_dead_letter("x"), LARGE])
def test_head_is_told_once_for_each_version(letter: DeadLetter) -> None:
    """A reader that has seen the others asks only for what has come since."""
    found = index(*dead_letter_records(letter, "dead"))

    assert list(found.take_heads()) == [letter.head]
    assert list(found.take_heads()) == []
    found.apply(as_read(dead_letter_records(replace(letter, error="second"), "dead")))
    assert [head.error for head in found.take_heads()] == ["second"]


@pytest.mark.parametrize("letter", [a_dead_letter("x"), LARGE])
def test_letter_of_an_older_streamer_has_a_head_too(letter: DeadLetter) -> None:
    """It was written without, so that the head is made of its content."""
    records = dead_letter_records(letter, "dead")
    del records[0].headers["head"]

    [head] = index(*records).take_heads()

    assert head == letter.head
    assert head.size == sum(len(record.value) for record in records)


def test_letter_that_was_removed_has_no_head() -> None:
    """Nobody has asked for it in time."""
    records = dead_letter_records(LARGE, "dead")

    assert list(index(*records, *removed_letters(["x"], "dead")).take_heads()) == []
