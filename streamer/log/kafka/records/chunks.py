"""Chunks of a value that is too large for one record."""

CHUNK_BYTES = 512 * 1024
"""Largest chunk, well below the 1 MB that brokers accept by default."""

ChunkOffsets = tuple[int, ...]
"""Offsets of the chunks of one value, in the order of the chunks."""

_MISSING = -1


def split(value: bytes) -> list[bytes]:
    """Return `value` in chunks of at most `CHUNK_BYTES`, in their order; a small value is one chunk."""
    return [value[start : start + CHUNK_BYTES] for start in range(0, len(value), CHUNK_BYTES)]


def with_chunk(offsets: ChunkOffsets, chunk: int, offset: int, *, chunks: int) -> ChunkOffsets:
    """Return `offsets` with chunk number `chunk`, of so many `chunks`, found at `offset`."""
    if chunks == 1:
        return (offset,)
    known = offsets if len(offsets) == chunks else (_MISSING,) * chunks
    return (*known[:chunk], offset, *known[chunk + 1 :])


def without_chunk(offsets: ChunkOffsets, chunk: int) -> ChunkOffsets:
    """Return `offsets` without chunk number `chunk`; empty when it was the last one known."""
    known = tuple(_MISSING if number == chunk else offset for number, offset in enumerate(offsets))
    return known if any(offset != _MISSING for offset in known) else ()


def is_complete(offsets: ChunkOffsets) -> bool:
    """Return whether every chunk was found."""
    return _MISSING not in offsets
