"""Budget of one evaluation: steps, sizes of values, and the costs of functions.

JMESPath and Jinja2 have one model. A step takes about a microsecond, so that
whatever an expression does, and however large the event is, it ends within
some tenths of a second.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, MappingView
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


Cost = Callable[[Budget, list[Any]], None]

_NEEDLE = 16
_LONGEST_NEEDLE = 100


SIZED = frozenset({str, list, dict})
SHORT = 50
"""Greatest length that costs nothing beside the step of the call."""


def search(budget: Budget, text: str, sought: str) -> None:
    """Spend the steps of a search in `text`, which compares up to all of a short text at each place."""
    compared = 1 + min(len(sought), _LONGEST_NEEDLE) // _NEEDLE
    budget.spend(len(text) * compared // CHARACTERS_A_STEP)


def take_all(budget: Budget, arguments: list[Any]) -> None:
    """Spend the steps in which each of the arguments is read once."""
    for each in arguments:
        if type(each) in SIZED and len(each) > SHORT:
            budget.take(each)


def _nothing(_budget: Budget, _arguments: list[Any]) -> None:
    """Spend nothing more: what the function does is the same for every size."""


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
    # Python makes a regular expression of each format and keeps a few.
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
"""Costs of functions by their names; those of others are the lengths of what they take."""
