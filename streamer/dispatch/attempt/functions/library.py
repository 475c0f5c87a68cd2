"""Library of the functions that an expression can call: JMESPath's own and Streamer's."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import jmespath.functions

from streamer.dispatch.attempt.functions import numbers, texts, times
from streamer.dispatch.attempt.functions.extents import check_length, extent
from streamer.dispatch.attempt.functions.function import Function
from streamer.dispatch.attempt.functions.keyed import Tables, keyed_functions

_NUMBER = "number"
_ASKED_OFTEN: Mapping[str, Callable[[str, str], bool]] = {
    "contains": str.__contains__,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
}

GROWING = frozenset({"format", "join", "pad_left", "pad_right", "replace", "to_string"})
"""Functions whose texts can be longer than what they are made of, or of many parts."""

MOST_MADE = 4_000_000
"""Most characters that one evaluation of an expression makes."""


class _Made(threading.local):
    """Number of the characters that the current evaluation of a thread has made."""

    characters = 0


class Functions(jmespath.functions.Functions):
    """Functions of JMESPath and of Streamer, over the tables and the keys of a configuration.

    A `Decimal` is a number in all of them.
    """

    def __init__(self, tables: Tables | None = None, hash_keys: Mapping[str, bytes] | None = None) -> None:
        own = (*numbers.FUNCTIONS, *times.FUNCTIONS, *texts.FUNCTIONS)
        self.own: Mapping[str, Function] = {
            each.name: each for each in (*own, *keyed_functions(tables or {}, hash_keys or {}))
        }
        self._made = _Made()

    def begin(self) -> None:
        """Begin the evaluation of an expression, which is synchronous; each thread has one of its own."""
        self._made.characters = 0

    @property
    def names(self) -> frozenset[str]:
        """Names of all functions."""
        return frozenset(self.FUNCTION_TABLE).union(self.own)

    def call_function(self, function_name: str, resolved_args: Iterable[Any]) -> Any:
        """Return the value of a function. Raises `JMESPathError`, and `LimitExceeded` for too long a text."""
        own, arguments = self.own.get(function_name), list(resolved_args)
        if function_name in GROWING:
            return self._grown(function_name, own, arguments)
        if own is not None:
            return own(arguments)
        if len(arguments) == 2 and function_name in _ASKED_OFTEN:  # noqa: PLR2004 - both of their arguments
            # Most predicates ask them, and jmespath's checks of the arguments take ten times as long.
            of, asked = arguments
            if type(of) is list and function_name == "contains":
                return asked in of
            if type(of) is str and type(asked) is str:
                return _ASKED_OFTEN[function_name](of, asked)
        if function_name == "type" and len(arguments) == 1 and isinstance(arguments[0], Decimal):
            return _NUMBER
        return super().call_function(function_name, arguments)

    def _grown(self, function_name: str, own: Function | None, arguments: list[Any]) -> Any:
        """Return the value of a function of `GROWING`. Raises what `call_function` raises."""
        if own is not None:
            made = own(arguments)
        elif function_name == "to_string" and len(arguments) == 1 and isinstance(arguments[0], Decimal):
            # JMESPath's own would quote it.
            made = f"{arguments[0]:f}"
        else:
            extent(arguments)
            if function_name == "join" and len(arguments) == 2:  # noqa: PLR2004 - both of its arguments
                separator, items = arguments
                if isinstance(separator, str) and isinstance(items, list):
                    check_length(extent(items) + len(separator) * len(items))
            made = super().call_function(function_name, arguments)
        if isinstance(made, str):
            self._made.characters += len(made)
            check_length(self._made.characters, MOST_MADE)
        return made

    def _get_allowed_pytypes(self, types: Sequence[str]) -> tuple[list[str], list[Any]]:
        # JMESPath knows a type by the name of Python's.
        allowed, of_items = super()._get_allowed_pytypes(types)  # type: ignore[misc] # the stubs lack it
        if _NUMBER in types:
            allowed.append(Decimal.__name__)
        return allowed, [(*each, Decimal.__name__) if "float" in each else each for each in of_items]

    def _convert_to_jmespath_type(self, pyobject: str) -> str:
        found: str = super()._convert_to_jmespath_type(pyobject)  # type: ignore[misc] # the stubs lack it
        return _NUMBER if pyobject == Decimal.__name__ else found
