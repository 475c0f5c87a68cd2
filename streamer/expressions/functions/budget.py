"""Budget of an evaluation: its steps, the sizes of values, and the costs of functions.

JMESPath and Jinja2 use the same budget. A step takes about a microsecond. So every
expression ends within some tenths of a second, even for a large event.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, MappingView
from decimal import Decimal
from typing import Any

from jinja2.utils import Namespace

STEPS = 200_000
"""Largest number of steps of one evaluation."""

LONGEST_TEXT = 1_000_000
"""Largest number of characters of a text that a function or a template creates."""

LONGEST_LIST = 100_000
"""Largest number of items in a template's list; Jinja2's sandbox has the same limit for `range`."""

CHARACTERS_A_STEP = 50
ITEMS_A_STEP = 4


LONG_TEXT = 4_096
"""Number of characters that are compared in one step."""

_OF_A_NUMBER = 24
_OF_A_COLLECTION = 3
_SHORT_NUMBER = 64
_SPENT = (
    f"the evaluation takes more than {STEPS:,} steps, which is the limit: use fewer items (a filter, "
    "a slice or a shorter loop), or call fewer functions for each item"
)


class LimitExceeded(ValueError):
    """An expression or a template exceeds a limit; the message names the limit."""


class Budget(threading.local):
    """Steps that are left for the running evaluation.

    An evaluation is synchronous, so each thread has one budget at a time. All
    methods raise `LimitExceeded`.
    """

    left = STEPS

    def begin(self) -> None:
        """Begin a new evaluation with the whole budget."""
        self.left = STEPS

    def spend(self, steps: int) -> None:
        """Spend this many steps."""
        self.left = left = self.left - steps
        if left < 0:
            raise LimitExceeded(_SPENT)

    def take(self, value: Any) -> None:
        """Take from the budget what reading or creating a text or a collection costs, without its parts."""
        if isinstance(value, str):
            if len(value) >= CHARACTERS_A_STEP:
                self.spend(len(value) // CHARACTERS_A_STEP)
        elif isinstance(value, int):
            self.spend(max(0, value.bit_length() - _SHORT_NUMBER) // CHARACTERS_A_STEP)
        elif hasattr(type(value), "__len__"):
            self.spend(len(value) // ITEMS_A_STEP)

    def extent(self, value: Any, most: int = LONGEST_TEXT) -> int:
        """Return the approximate length of `value` as text, and spend the steps of writing it.

        An object that occurs several times counts each time. Raises `LimitExceeded`
        for more than `most` characters.
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
                # Check the size before creating the list of parts, which takes memory.
                check_length(found + len(waiting), most)
                waiting.extend(parts)
            else:
                found += len(str(each)) if isinstance(each, Decimal) else _OF_A_NUMBER
            check_length(found, most)
        self.spend(nodes + found // CHARACTERS_A_STEP)
        return found

    def compare(self, value: Any) -> None:
        """Spend the steps of hashing `value`, or of comparing it with an equal value."""
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
    """Raise `LimitExceeded` if a text of this length is too long."""
    if characters > most:
        raise LimitExceeded(f"the text would have more than {most:,} characters")


def _parts(value: Any) -> list[Any] | None:
    """Return the parts of `value`; `None` if it is not a collection."""
    if isinstance(value, Namespace):
        value = value._Namespace__attrs  # noqa: SLF001 - there is no other access
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset | MappingView) and isinstance(value, Iterable):
        return list(value)
    return None


Cost = Callable[[Budget, list[Any]], None]

_NEEDLE = 16
_LONGEST_NEEDLE = 100


SIZED = frozenset({str, list, dict})
SHORT = 50
"""Greatest length of an argument for which a call spends no additional steps."""


def search(budget: Budget, text: str, sought: str) -> None:
    """Spend the steps of a search, which can compare all of a short `sought` at each position in `text`."""
    compared = 1 + min(len(sought), _LONGEST_NEEDLE) // _NEEDLE
    budget.spend(len(text) * compared // CHARACTERS_A_STEP)


def take_all(budget: Budget, arguments: list[Any]) -> None:
    """Take from the budget what one reading of each argument costs."""
    for each in arguments:
        if type(each) in SIZED and len(each) > SHORT:
            budget.take(each)


def _nothing(_budget: Budget, _arguments: list[Any]) -> None:
    """Spend nothing more, because the cost of the function does not depend on sizes."""


def _contains(budget: Budget, arguments: list[Any]) -> None:
    match arguments:
        case [str() as text, str() as sought]:
            search(budget, text, sought)
        case [list() as items, sought]:
            before = budget.left
            budget.compare(sought)
            budget.spend(len(items) * (1 + before - budget.left) // ITEMS_A_STEP)


def _searching(budget: Budget, arguments: list[Any]) -> None:
    match arguments:
        case [str() as text, str() as sought, *_]:
            search(budget, text, sought)


def _trim(budget: Budget, arguments: list[Any]) -> None:
    match arguments:
        case [str() as text, *characters]:
            compared = sum(len(each) for each in characters if isinstance(each, str))
            budget.spend(len(text) * (1 + compared // _NEEDLE) // CHARACTERS_A_STEP)


def _written(budget: Budget, arguments: list[Any]) -> None:
    budget.extent(arguments)


def _join(budget: Budget, arguments: list[Any]) -> None:
    extent = budget.extent(arguments)
    match arguments:
        case [str() as separator, list() as items]:
            check_length(extent + len(separator) * len(items))


def _ordered(budget: Budget, arguments: list[Any]) -> None:
    for each in arguments:
        if isinstance(each, list):
            budget.compare(each)
            budget.spend(len(each) * len(each).bit_length() // _NEEDLE)


def _applied(budget: Budget, arguments: list[Any]) -> None:
    """Spend the steps of an expression on each item of a list."""
    _ordered(budget, arguments)
    steps = sum(getattr(each, "steps", 0) for each in arguments)
    budget.spend(sum(len(each) * steps for each in arguments if isinstance(each, list)))


def _parse(budget: Budget, arguments: list[Any]) -> None:
    # A call is costly, because Python compiles each format into a regular expression, and caches
    # only a few formats.
    budget.spend(sum(2 * len(each) for each in arguments[1:2] if isinstance(each, str)))


COSTS: Mapping[str, Cost] = {
    **dict.fromkeys(("length", "not_null", "to_array", "type"), _nothing),
    **dict.fromkeys(("map", "max_by", "min_by", "sort_by"), _applied),
    **dict.fromkeys(("max", "min", "sort"), _ordered),
    **dict.fromkeys(("parse_date", "parse_time"), _parse),
    **dict.fromkeys(("replace", "split"), _searching),
    **dict.fromkeys(("ends_with", "starts_with"), _nothing),
    "contains": _contains,
    "join": _join,
    "to_string": _written,
    "trim": _trim,
}
"""Costs of functions by name; the cost of any other function is the length of its arguments."""
