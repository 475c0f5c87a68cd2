"""Budget of one evaluation: the steps that an expression or a template can take, and the sizes of values.

JMESPath and Jinja2 have one model. A step takes about a microsecond, so that
whatever an expression does, and however large the event is, it ends within
some tenths of a second.
"""

import threading
from collections.abc import Iterable, Mapping, MappingView
from decimal import Decimal
from typing import Any

from jinja2.utils import Namespace

STEPS = 200_000
"""Most steps of one evaluation."""

LONGEST_TEXT = 1_000_000
"""Most characters of a text that a function or a template makes."""

LONGEST_LIST = 100_000
"""Most items of one list that a template makes; as many as Jinja2's sandbox gives to `range`."""

CHARACTERS_A_STEP = 50
ITEMS_A_STEP = 4

SIZED = frozenset({str, list, dict})
SHORT = 50
"""Greatest length that costs nothing beside the step of the call."""

LONG_TEXT = 4_096
"""Characters of a text that are compared in one step."""

_OF_A_NUMBER = 24
_OF_A_COLLECTION = 3
_SHORT_NUMBER = 64
_SPENT = (
    f"it takes more than {STEPS:,} steps, which is the budget of one evaluation: take fewer items, "
    "by a filter, a slice or a shorter loop, and call less on each of them"
)


class LimitExceeded(ValueError):
    """An expression or a template exceeds a bound: the sentence names the bound."""


class Budget(threading.local):
    """Steps that the evaluation under way has left.

    An evaluation is synchronous, so each thread has one at a time. All methods
    raise `LimitExceeded`.
    """

    left = STEPS

    def begin(self) -> None:
        """Give a new evaluation the whole budget."""
        self.left = STEPS

    def spend(self, steps: int) -> None:
        """Take so many steps."""
        self.left = left = self.left - steps
        if left < 0:
            raise LimitExceeded(_SPENT)

    def take(self, value: Any) -> None:
        """Spend the steps in which a text or a collection is read or made, without what is in its parts."""
        if isinstance(value, str):
            if len(value) >= CHARACTERS_A_STEP:
                self.spend(len(value) // CHARACTERS_A_STEP)
        elif isinstance(value, int):
            self.spend(max(0, value.bit_length() - _SHORT_NUMBER) // CHARACTERS_A_STEP)
        elif hasattr(type(value), "__len__"):
            self.spend(len(value) // ITEMS_A_STEP)

    def extent(self, value: Any, most: int = LONGEST_TEXT) -> int:
        """Return about how many characters `value` has as text, and spend the steps of writing it.

        The same object counts as often as it would be written. More than `most`
        characters are refused.
        """
        if isinstance(value, str):
            check_length(len(value), most)
            self.spend(len(value) // CHARACTERS_A_STEP)
            return len(value)
        found, nodes, waiting = 0, 0, [value]
        while waiting:
            each = waiting.pop()
            nodes += 1
            if isinstance(each, str):
                found += len(each)
            elif isinstance(each, int):
                found += max(_OF_A_NUMBER, each.bit_length() - _SHORT_NUMBER)
            elif (parts := _parts(each)) is not None:
                found += len(parts)
                # Before the parts take the memory that the check is to save.
                check_length(found + len(waiting), most)
                waiting.extend(parts)
            else:
                found += len(str(each)) if isinstance(each, Decimal) else _OF_A_NUMBER
            check_length(found, most)
        self.spend(nodes + found // CHARACTERS_A_STEP)
        return found

    def compare(self, value: Any) -> None:
        """Spend the steps in which `value` is compared with one that is equal up to its end, or is hashed."""
        if isinstance(value, str):
            self.spend(len(value) // LONG_TEXT)
        elif (parts := _parts(value)) is not None:
            waiting = [parts]
            while waiting:
                some = waiting.pop()
                self.spend(_OF_A_COLLECTION + len(some) // ITEMS_A_STEP)
                for each in some:
                    if isinstance(each, str):
                        if len(each) > LONG_TEXT:
                            self.spend(len(each) // LONG_TEXT)
                    elif (parts := _parts(each)) is not None:
                        waiting.append(parts)


def check_length(characters: int, most: int = LONGEST_TEXT) -> None:
    """Raise `LimitExceeded` if a text of so many characters is too long."""
    if characters > most:
        raise LimitExceeded(f"the text would have more than {most:,} characters")


def _parts(value: Any) -> list[Any] | None:
    """Return what stands in `value` when it is written; `None` if it has no parts."""
    if isinstance(value, Namespace):
        value = value._Namespace__attrs  # noqa: SLF001 - nothing else tells them
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset | MappingView) and isinstance(value, Iterable):
        return list(value)
    return None
