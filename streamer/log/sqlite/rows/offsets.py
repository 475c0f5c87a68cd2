"""Sets of offsets, as text: runs of neighbours, since lanes settle many beside each other."""

from collections.abc import Iterable, Iterator

import orjson


def encode_offsets(offsets: Iterable[int]) -> str:
    """Return `offsets` as a JSON array of the first and last of each run."""
    bounds: list[int] = []
    for offset in sorted(offsets):
        if bounds and offset == bounds[-1] + 1:
            bounds[-1] = offset
        else:
            bounds += (offset, offset)
    return orjson.dumps(bounds).decode()


def decode_offsets(text: str) -> frozenset[int]:
    """Return the offsets that `encode_offsets` wrote."""
    return frozenset(_offsets(orjson.loads(text)))


def _offsets(bounds: list[int]) -> Iterator[int]:
    for first, last in zip(bounds[::2], bounds[1::2], strict=True):
        yield from range(first, last + 1)
