"""Records of dead letters; a dead letter that is too large for one record is written in chunks."""

from collections.abc import Iterable, Iterator

from streamer.events import DeadLetter
from streamer.log.kafka.cluster.producer import (
    ANY_PARTITION,
    Headers,
    ProducerRecord,
    Tombstone,
    WrittenHeaders,
)
from streamer.log.kafka.records.events import CHUNK_BYTES, split
from streamer.log.records import LARGEST_LETTER, encode_dead_letter

_PART = "part"
_PARTS = "parts"
_ID = "id"
_HEAD = "head"
_MAX_CHUNKS = 1 + LARGEST_LETTER // CHUNK_BYTES


def dead_letter_records(letter: DeadLetter, topic: str) -> list[ProducerRecord]:
    """Return the records of `letter`; compaction keeps the newest version, because the keys stay the same.

    The first record has the head of the dead letter as a header.
    """
    encoded = encode_dead_letter(letter)
    chunks = split(encoded.body)
    id_ = encoded_id(letter.id)
    about: WrittenHeaders = {_ID: id_, _PARTS: b"%d" % len(chunks), "content-type": b"application/json"}
    records = [
        ProducerRecord(topic, chunk, _key(id_, number), ANY_PARTITION, {_PART: b"%d" % number, **about})
        for number, chunk in enumerate(chunks)
    ]
    records[0].headers[_HEAD] = encoded.head
    return records


def letter_tombstones(id_: bytes, chunks: int, topic: str) -> list[Tombstone]:
    """Return the tombstones of a dead letter that has at most `chunks` chunks."""
    return [Tombstone(topic, _key(id_, number), ANY_PARTITION) for number in range(chunks)]


def removed_letters(letters: Iterable[str], topic: str) -> Iterator[Tombstone]:
    """Yield the tombstones of redriven dead letters with the ids `letters`.

    The number of chunks is unknown here, so each dead letter gets as many
    tombstones as the largest dead letter has chunks.
    """
    for id_ in letters:
        yield from letter_tombstones(encoded_id(id_), _MAX_CHUNKS, topic)


def encoded_id(id_: str) -> bytes:
    """Return the id of a dead letter as bytes, for keys and headers."""
    return id_.encode("utf-8", "backslashreplace")


def letter_chunk(key: bytes | None) -> tuple[bytes, int]:
    """Return the id of a dead letter and the number of the chunk, from the key of a record.

    Raises `ValueError`.
    """
    id_, _, number = (key or b"").rpartition(b"#")
    if not 0 <= int(number) < _MAX_CHUNKS:
        raise ValueError(f"the record's key has the invalid part number {int(number)}")
    return id_, int(number)


def chunk_count(headers: Headers | None) -> int:
    """Return the number of a dead letter's chunks; raises `LookupError`, `ValueError`."""
    chunks = int(dict(headers or ())[_PARTS])
    # A header must not decide how much memory Streamer allocates.
    if not 1 <= chunks <= _MAX_CHUNKS:
        raise ValueError(f"the record's header has the invalid number of parts {chunks}")
    return chunks


def head_of(headers: Headers | None) -> bytes | None:
    """Return the encoded head in a record's headers; `None` in records of earlier Streamer versions."""
    return dict(headers or ()).get(_HEAD)


def _key(id_: bytes, chunk: int) -> bytes:
    return b"%s#%d" % (id_, chunk)
