"""Dead letters as Kafka records, in parts where one would be too large for a broker."""

from collections.abc import Iterator

from streamer.events import DeadLetter
from streamer.log.kafka.cluster.clients import MAX_MESSAGE_BYTES
from streamer.log.kafka.cluster.record import ANY_PARTITION, Headers, Record, Tombstone, WrittenHeaders
from streamer.log.kafka.records.chunks import PART_BYTES, parts_of
from streamer.log.records import encode_dead_letter
from streamer.ports import Settlement

_PART = "part"
_PARTS = "parts"
_ID = "id"
# What a letter holds beside its event: errors, a hint, the target's answer.
_ROOM_BYTES = 128 * 1024
_TIMES = 3
_MOST_PARTS = 1 + (_TIMES * MAX_MESSAGE_BYTES + _ROOM_BYTES) // PART_BYTES


def dead_letter_records(letter: DeadLetter, topic: str) -> list[Record]:
    """Return the records of `letter`; the same letter has the same keys, so compaction keeps the last."""
    pieces = parts_of(encode_dead_letter(letter))
    id_ = encoded_id(letter.id)
    about: WrittenHeaders = {_ID: id_, _PARTS: b"%d" % len(pieces), "content-type": b"application/json"}
    return [
        Record(topic, piece, _key(id_, number), ANY_PARTITION, {_PART: b"%d" % number, **about})
        for number, piece in enumerate(pieces)
    ]


def letter_tombstones(id_: bytes, parts: int, topic: str) -> list[Tombstone]:
    """Return what removes a letter that has at most so many parts."""
    return [Tombstone(topic, _key(id_, number), ANY_PARTITION) for number in range(parts)]


def redriven_tombstones(settlement: Settlement, topic: str) -> Iterator[Tombstone]:
    """Yield what removes the letters that `settlement` has redriven.

    How many parts a letter has is not known here, so there is one for each that
    the largest letter could have.
    """
    for id_ in settlement.redriven:
        yield from letter_tombstones(encoded_id(id_), _MOST_PARTS, topic)


def encoded_id(id_: str) -> bytes:
    """Return the id of a letter as keys and headers hold it."""
    return id_.encode("utf-8", "backslashreplace")


def letter_part(key: bytes | None) -> tuple[bytes, int]:
    """Return the id of a letter, and which part of it is meant, by the key of a record.

    Raises `ValueError`.
    """
    id_, _, number = (key or b"").rpartition(b"#")
    return id_, int(number)


def part_count(headers: Headers | None) -> int:
    """Return how many parts a letter has; raises `LookupError`, `ValueError`."""
    return int(dict(headers or ())[_PARTS])


def _key(id_: bytes, part: int) -> bytes:
    return b"%s#%d" % (id_, part)
