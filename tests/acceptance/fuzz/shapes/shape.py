"""Shape: one hostile input that the bench sends to a daemon."""

from collections.abc import Awaitable, Callable

from tests.acceptance.fuzz.besieged import Besieged

Shape = Callable[[Besieged, float], Awaitable[None]]
"""Plays it in a size: 1 is the one that is told, and a long run draws smaller ones too."""

SHAPES: dict[str, Shape] = {}
"""All shapes by their names, which begin with the reader that they are for."""

MB = 1_000_000
GZIP = {"Content-Encoding": "gzip"}


def shape(name: str) -> Callable[[Shape], Shape]:
    """Return a decorator that adds a shape."""

    def add(play: Shape) -> Shape:
        assert name not in SHAPES
        SHAPES[name] = play
        return play

    return add


def many(size: float, number: int) -> int:
    """Return `number` in a size."""
    return max(1, round(number * size))
