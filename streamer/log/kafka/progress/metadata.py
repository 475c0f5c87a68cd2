"""Progress in one partition as a committed offset and its metadata.

All offsets below the committed offset are settled. The metadata of the commit encode
the settled offsets above the committed offset: a version, and then runs of consecutive
settled offsets. A run is encoded as the gap before the run and the length of the run,
as variable-length integers; all runs together are encoded in Base64. After the runs,
there can be a full stop and the mark of the transaction that committed the offset.
"""

import base64
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from streamer.events import SettledOffsets

_VERSION = "1:"
# The broker accepts 4,096 bytes, and librdkafka also sends the zero byte that ends a C string.
MAX_METADATA_BYTES = 4_095
# This character does not occur in Base64.
_POINT = "."
_MARK_BYTES = 6
_MARK_LENGTH = _MARK_BYTES // 3 * 4
_MAX_BODY_BYTES = (MAX_METADATA_BYTES - len(_VERSION) - len(_POINT) - _MARK_LENGTH) // 4 * 3
# The metadata must still have room for the deliveries that are in flight when reading stops.
_CROWDED_BYTES = MAX_METADATA_BYTES * 3 // 4
# Metadata with more offsets are not from Streamer, and would not fit in memory.
MAX_SETTLED_ABOVE = 1_000_000
_LOW_BITS = 0x7F
_MORE = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittableOffset:
    """Offset and metadata to commit for one partition.

    `metadata` holds the lowest offsets that are settled above `offset`, and `kept` is
    their number. After a crash, events at the offsets without room in `metadata` are
    delivered again. So when the metadata of a partition are three quarters full, the
    partition is `crowded`, and should not be read further.
    """

    offset: int
    metadata: str
    kept: int
    crowded: bool


def new_mark() -> str:
    """Return a random mark that identifies one transaction."""
    return secrets.token_urlsafe(_MARK_BYTES)


def marked(metadata: str, mark: str) -> str:
    """Return `metadata` with the `mark` of the transaction that commits it."""
    return f"{metadata or _VERSION}{_POINT}{mark}"


def bears(metadata: str | None, mark: str) -> bool:
    """Return whether `metadata` contains `mark`.

    If `metadata` contains `mark`, the transaction with this mark has committed.
    """
    return (metadata or "").partition(_POINT)[2] == mark


def encode(progress: SettledOffsets) -> CommittableOffset:
    """Return `progress` as an offset and ASCII metadata; a mark fits within `MAX_METADATA_BYTES`."""
    body = bytearray()
    kept = 0
    cut = False
    end = progress.next_offset
    for first, length in _runs(progress.settled_above, above=progress.next_offset):
        run = _varint(first - end) + _varint(length)
        if len(body) + len(run) > _MAX_BODY_BYTES or kept + length > MAX_SETTLED_ABOVE:
            cut = True
            break
        body += run
        kept += length
        end = first + length
    metadata = _VERSION + base64.b64encode(body).decode("ascii") if body else ""
    crowded = cut or len(metadata) > _CROWDED_BYTES
    return CommittableOffset(offset=progress.next_offset, metadata=metadata, kept=kept, crowded=crowded)


def decode(offset: int, metadata: str | None) -> SettledOffsets:
    """Return the progress of a committed offset; raises `ValueError` for foreign metadata."""
    if not metadata:
        return SettledOffsets(next_offset=offset)
    if not metadata.startswith(_VERSION):
        raise ValueError("the commit metadata have an unknown version")
    try:
        encoded, _, _ = metadata[len(_VERSION) :].partition(_POINT)
        body = base64.b64decode(encoded, validate=True)
        above = frozenset(_offsets(offset, body))
    except ValueError as exc:
        raise ValueError(f"Streamer did not write the commit metadata: {exc}") from exc
    return SettledOffsets(next_offset=offset, settled_above=above)


def _runs(offsets: Iterable[int], *, above: int) -> Iterator[tuple[int, int]]:
    """Yield the first offset and the length of each run of consecutive offsets from `above` on."""
    first = end = above
    for offset in sorted(offset for offset in offsets if offset >= above):
        if offset != end:
            if end > first:
                yield first, end - first
            first = offset
        end = offset + 1
    if end > first:
        yield first, end - first


def _offsets(offset: int, body: bytes) -> Iterator[int]:
    numbers = _varints(body)
    total = 0
    # The numbers come in pairs; an odd number of them raises `ValueError`.
    for gap, length in zip(numbers, numbers, strict=True):
        total += length
        if total > MAX_SETTLED_ABOVE:
            raise ValueError("the metadata contain too many offsets")
        yield from range(offset + gap, offset + gap + length)
        offset += gap + length


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > _LOW_BITS:
        encoded.append(number & _LOW_BITS | _MORE)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _varints(body: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in body:
        number |= (byte & _LOW_BITS) << shift
        shift += 7
        if byte < _MORE:
            yield number
            number = shift = 0
    if shift:
        raise ValueError("the metadata end within a number")
