"""Progress in one partition as a committed offset and its metadata.

The contiguous prefix is the offset. The offsets settled above it are encoded in
the metadata of the commit: a version, then runs of settled offsets, each as the
gap before it and its length, in variable-length integers and Base64. A point
and the mark of the transaction that committed them can follow.
"""

import base64
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from streamer.events import SettledOffsets

_VERSION = "1:"
# The broker accepts 4,096 bytes, and librdkafka also sends the zero that ends a C string.
MAX_METADATA_BYTES = 4_095
# This character does not occur in Base64.
_POINT = "."
_MARK_BYTES = 6
_MARK_LENGTH = _MARK_BYTES // 3 * 4
_MAX_BODY_BYTES = (MAX_METADATA_BYTES - len(_VERSION) - len(_POINT) - _MARK_LENGTH) // 4 * 3
# The deliveries in flight when reading stops must still fit.
_CROWDED_BYTES = MAX_METADATA_BYTES * 3 // 4
# Metadata with a higher number are not ours, and would not fit in memory.
MAX_SETTLED_ABOVE = 1_000_000
_LOW_BITS = 0x7F
_MORE = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittableOffset:
    """Offset and metadata to commit for one partition.

    `kept` is the number of offsets settled above the prefix that `metadata`
    holds: the lowest ones. A crash repeats the others, so a `crowded`
    partition, whose metadata are three quarters full, should not be read
    further.
    """

    offset: int
    metadata: str
    kept: int
    crowded: bool


def new_mark() -> str:
    """Return a mark that no other transaction has."""
    return secrets.token_urlsafe(_MARK_BYTES)


def marked(metadata: str, mark: str) -> str:
    """Return `metadata` with the `mark` of the transaction that commits it."""
    return f"{metadata or _VERSION}{_POINT}{mark}"


def bears(metadata: str | None, mark: str) -> bool:
    """Return whether the transaction with `mark` has committed `metadata`."""
    return (metadata or "").partition(_POINT)[2] == mark


def encode(progress: SettledOffsets) -> CommittableOffset:
    """Return `progress` as ASCII of at most `MAX_METADATA_BYTES` bytes, including a mark."""
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
        raise ValueError("commit metadata of an unknown version")
    try:
        encoded, _, _ = metadata[len(_VERSION) :].partition(_POINT)
        body = base64.b64decode(encoded, validate=True)
        above = frozenset(_offsets(offset, body))
    except ValueError as exc:
        raise ValueError(f"commit metadata that are not ours: {exc}") from exc
    return SettledOffsets(next_offset=offset, settled_above=above)


def _runs(offsets: Iterable[int], *, above: int) -> Iterator[tuple[int, int]]:
    """Yield each run of consecutive offsets from `above` on as its first offset and its length."""
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
    # The numbers come in pairs; an odd one out raises `ValueError`.
    for gap, length in zip(numbers, numbers, strict=True):
        total += length
        if total > MAX_SETTLED_ABOVE:
            raise ValueError("too many offsets")
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
        raise ValueError("they end within a number")
