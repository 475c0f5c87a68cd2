"""Dead letters as Kafka records."""

from dataclasses import replace

from streamer.log.kafka.dead_letters import PART_BYTES, dead_letter_records, dead_letters
from streamer.log.kafka.encoding import Headers, Record
from tests.contracts.values import a_dead_letter


def as_read(record: Record) -> tuple[bytes, Headers]:
    """Return the value and the headers as a consumer gets them."""
    return record.value, [(name, value) for name, value in record.headers.items() if isinstance(value, bytes)]


def test_small_letter_is_one_record() -> None:
    """Most letters need no parts."""
    letter = a_dead_letter("x")
    records = dead_letter_records(letter, "dead")

    assert [record.key for record in records] == [b"x#0"]
    assert list(dead_letters(map(as_read, records))) == [letter]


def test_large_letter_comes_in_parts_that_a_broker_takes() -> None:
    """What was too large for a topic must not be too large for the dead letters."""
    letter = replace(a_dead_letter("x"), raw=bytes(range(256)) * 8192)
    records = dead_letter_records(letter, "dead")

    assert len(records) > 4
    assert max(len(record.value) for record in records) <= PART_BYTES
    assert list(dead_letters(map(as_read, reversed(records)))) == [letter]


def test_letter_of_which_a_part_is_missing_is_not_made_up() -> None:
    """Half a letter is none."""
    records = dead_letter_records(replace(a_dead_letter("x"), raw=b"\0" * PART_BYTES), "dead")

    assert not list(dead_letters(map(as_read, records[1:])))


def test_last_letter_of_an_id_counts() -> None:
    """The same event set aside again replaces the former letter, as compaction will."""
    former, latter = a_dead_letter("x", error="first"), a_dead_letter("x", error="second")
    records = [*dead_letter_records(former, "dead"), *dead_letter_records(latter, "dead")]

    assert list(dead_letters(map(as_read, records))) == [latter]
