"""Costs of the functions of expressions whose steps depend on more than the lengths of their arguments.

A cost spends the steps before the function is called, and takes arguments of
any type: whether they fit, the function says afterwards.
"""

from collections.abc import Callable, Mapping
from typing import Any

from streamer.expressions.functions.budget import (
    CHARACTERS_A_STEP,
    ITEMS_A_STEP,
    SHORT,
    SIZED,
    Budget,
    check_length,
)

Cost = Callable[[Budget, list[Any]], None]

_NEEDLE = 16
_LONGEST_NEEDLE = 100


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
