"""Work of one rendering: the steps that it takes and the characters that it makes, both bounded."""

from decimal import Decimal
from typing import Any

from streamer.dispatch.attempt.functions.extents import LimitExceeded

LONGEST_LIST = 100_000
"""Most items of one list that a template makes; as many as Jinja2's sandbox gives to `range`."""

LONGEST_NUMBER = 10_000
"""Most bits of a whole number that a template computes."""

WIDEST = 10_000
"""Greatest width to which a template fills a text."""

_STEPS = 50_000
_MADE = 10_000_000
_OF_AN_ITEM = 16


class Work:
    """Budget of the rendering under way. A rendering is synchronous, so that a template has one at a time."""

    __slots__ = ("_made", "_steps")

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Give a new rendering the whole budget."""
        self._steps = _STEPS
        self._made = _MADE

    def step(self, count: int = 1) -> None:
        """Take `count` steps. Raises `LimitExceeded`."""
        self._steps -= count
        if self._steps < 0:
            raise LimitExceeded(f"it takes more than {_STEPS:,} steps: loop over less, or call less in loops")

    def write(self, characters: int) -> None:
        """Make a text of so many characters. Raises `LimitExceeded`."""
        self._made -= characters
        if self._made < 0:
            raise LimitExceeded(f"the texts and lists that it makes have more than {_MADE:,} characters")

    def keep(self, value: Any) -> None:
        """Make `value`, a text, a collection or anything else. Raises `LimitExceeded`."""
        if isinstance(value, str):
            self.write(len(value))
        elif isinstance(value, list | tuple | dict | set):
            self.write(len(value) * _OF_AN_ITEM)


def fitting_list(items: int) -> None:
    """Raise `LimitExceeded` if a list of so many items is too long."""
    if items > LONGEST_LIST:
        raise LimitExceeded(f"a list would have more than {LONGEST_LIST:,} items")


def fitting_number(bits: int) -> None:
    """Raise `LimitExceeded` if a whole number of so many bits is too large."""
    if bits > LONGEST_NUMBER:
        raise LimitExceeded(f"a number would have more than {LONGEST_NUMBER:,} bits")


def fitting_width(width: Any) -> None:
    """Raise `LimitExceeded` if `width` is a number that is too large for one."""
    if isinstance(width, int | float | Decimal) and not -WIDEST <= width <= WIDEST:
        raise LimitExceeded(f"a width is at most {WIDEST:,}")
