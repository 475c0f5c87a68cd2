"""Dead letters as Kafka records, in parts where one would be too large for a broker."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from streamer.events import DeadLetter
from streamer.log.kafka.encoding import ANY_PARTITION, Headers, Record, WrittenHeaders
from streamer.log.records import decode_dead_letter, encode_dead_letter

PART_BYTES = 512 * 1024
"""Well below the 1 MB that brokers take by default."""

_PART = "part"
_PARTS = "parts"
_ID = "id"


def dead_letter_records(letter: DeadLetter, topic: str) -> list[Record]:
    """Return the records of `letter`; the same letter has the same keys, so compaction keeps the last."""
    whole = encode_dead_letter(letter)
    pieces = [whole[start : start + PART_BYTES] for start in range(0, len(whole), PART_BYTES)]
    id_ = letter.id.encode("utf-8", "backslashreplace")
    about: WrittenHeaders = {_ID: id_, _PARTS: b"%d" % len(pieces), "content-type": b"application/json"}
    return [
        Record(topic, piece, b"%s#%d" % (id_, number), ANY_PARTITION, {_PART: b"%d" % number, **about})
        for number, piece in enumerate(pieces)
    ]


def dead_letters(records: Iterable[tuple[bytes | None, Headers | None]]) -> Iterator[DeadLetter]:
    """Yield the letters that `records` (value, headers) hold whole, the last of each id.

    Raises `LogMisconfigured` for what is no dead letter.
    """
    found: dict[bytes, dict[int, bytes]] = defaultdict(dict)
    counts: dict[bytes, int] = {}
    for value, headers in records:
        about = dict(headers or ())
        if value is not None and _ID in about:
            found[about[_ID]][int(about[_PART])] = value
            counts[about[_ID]] = int(about[_PARTS])
    for id_, count in counts.items():
        if all(number in found[id_] for number in range(count)):
            yield decode_dead_letter(b"".join(found[id_][number] for number in range(count)))
