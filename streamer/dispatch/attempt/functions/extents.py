"""Extents of values: about how many characters they have as text, whatever they hold several times."""

from collections.abc import Iterable, Mapping, MappingView
from decimal import Decimal
from typing import Any

from jinja2.utils import Namespace

LONGEST_TEXT = 1_000_000
"""Most characters of a text that a function or a template makes."""

_OF_A_NUMBER = 24
_SHORT_NUMBER = 64


class LimitExceeded(ValueError):
    """An expression or a template exceeds a bound: the sentence names the bound."""


def extent(value: Any, most: int = LONGEST_TEXT) -> int:
    """Return about how many characters `value` has as text. Raises `LimitExceeded` for more than `most`.

    The same object counts as often as it would be written.
    """
    found, waiting = 0, [value]
    while waiting:
        each = waiting.pop()
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
    return found


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
