"""Library of the functions that an expression can call, with its lookup tables and hash keys."""

import difflib
import hmac
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import jmespath.functions
from jmespath.exceptions import JMESPathTypeError

from streamer.exact_json import exact_json, plain_number
from streamer.expressions.functions import numbers, texts, times
from streamer.expressions.functions.budget import COSTS, SHORT, SIZED, Budget, take_all
from streamer.expressions.functions.function import (
    Function,
    FunctionFailed,
    Parameter,
    UnfitArgument,
    a_text,
    anything,
    kind_of,
    shown,
)
from streamer.expressions.functions.texts import a_single_value

Tables = Mapping[str, Mapping[str, Any]]
"""Lookup tables by name, each with its values by key."""

_MISSING = object()


def keyed_functions(tables: Tables, hash_keys: Mapping[str, bytes]) -> tuple[Function, ...]:
    """Return the functions that use `tables` and `hash_keys`."""
    table = _Named(tables, "table", "tables")
    key = _Named(hash_keys, "key", "hash_keys")
    return (
        Function(
            name="lookup",
            parameters=(
                Parameter(name="table", read=table.read, kinds=("string",), is_named=True),
                Parameter(name="key", read=_a_key, kinds=("string", "number")),
                Parameter(name="default", read=anything, is_optional=True, takes_null=True),
            ),
            call=table.looked_up,
        ),
        Function(
            name="hmac_sha256",
            parameters=(
                Parameter(name="text", read=a_single_value, kinds=("string", "number", "boolean")),
                Parameter(name="key", read=key.read, kinds=("string",), is_named=True),
            ),
            call=key.hashed,
            returns="string",
        ),
    )


class _Named:
    """Named values of the setting `setting`, such as tables."""

    def __init__(self, values: Mapping[str, Any], what: str, setting: str) -> None:
        self._values = values
        self._what = what
        self._setting = setting

    def read(self, value: Any) -> str:
        """Read the name of a configured value."""
        name = a_text(value)
        if name in self._values:
            return name
        close = difflib.get_close_matches(name, self._values, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        known = ", ".join(sorted(self._values)) or "none"
        raise UnfitArgument(
            f"must name a {self._what} from {self._setting}, found {shown(name)}; {hint}known names: {known}"
        )

    def looked_up(self, name: str, key: str, default: Any = _MISSING) -> Any:
        """Return the value of `key` in the table `name`, or `default`."""
        found = self._values[name].get(key, default)
        if found is _MISSING:
            raise UnfitArgument(
                f"the table {name} has no key {shown(key)}: add the key, or pass a default as the "
                "third argument"
            )
        return found

    def hashed(self, text: str, name: str) -> str:
        """Return the HMAC of `text` with the key `name`, in hexadecimal."""
        return hmac.digest(self._values[name], text.encode("utf-8", "surrogatepass"), "sha256").hex()


def _a_key(value: Any) -> str:
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if is_number and math.isfinite(value) and value == int(value):
        return str(int(value))
    if isinstance(value, str):
        return value
    raise UnfitArgument(f"must be a text or a whole number, found {kind_of(value)}")


_NUMBER = "number"
_ASKED_OFTEN: Mapping[str, Callable[[str, str], bool]] = {
    "contains": str.__contains__,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
}
_STEPS = 4
_BOTH = (None, None)
_EXPONENT = re.compile(r"\de[-+]\d")
# JSON escapes this character, so no text of an event contains the mark.
_UNWRITTEN = "\x00decimal"
_MARK = json.dumps(_UNWRITTEN)
Call = Callable[[list[Any]], Any]
KINDS = {
    "string": "a text",
    "number": "a number",
    "boolean": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
    "expref": "an expression (&…)",
    "array-number": "an array of numbers",
    "array-string": "an array of texts",
}


class Functions(jmespath.functions.Functions):
    """Functions of JMESPath and of Streamer, with the tables and hash keys of a configuration.

    All functions accept a `Decimal` as a number. They spend the `budget` of the
    running evaluation.
    """

    def __init__(self, tables: Tables | None = None, hash_keys: Mapping[str, bytes] | None = None) -> None:
        own = (*numbers.FUNCTIONS, *times.FUNCTIONS, *texts.FUNCTIONS)
        self.own: Mapping[str, Function] = {
            each.name: each for each in (*own, *keyed_functions(tables or {}, hash_keys or {}))
        }
        self.budget = Budget()

    @property
    def names(self) -> frozenset[str]:
        """Names of all functions."""
        return frozenset(self.FUNCTION_TABLE).union(self.own)

    def steps(self, function_name: str) -> int:
        """Return the steps of a call, without steps for the size of its arguments and its value."""
        own = self.own.get(function_name)
        return _STEPS if own is None else own.steps

    def call_function(self, function_name: str, resolved_args: Iterable[Any]) -> Any:
        """Return the value of a function, and spend the steps for its arguments and its value.

        Raises `JMESPathError` and `LimitExceeded`.
        """
        return self.caller(function_name)(list(resolved_args))

    def caller(self, function_name: str) -> Call:
        """Return `call_function` for one function, as a function of the list of arguments."""
        budget, make = self.budget, self._maker(function_name)
        cost = COSTS.get(function_name, take_all)

        def call(arguments: list[Any]) -> Any:
            cost(budget, arguments)
            made = make(arguments)
            if type(made) in SIZED and len(made) > SHORT:
                budget.take(made)
            return made

        return _asking(function_name, call) if function_name in _ASKED_OFTEN else call

    def _maker(self, function_name: str) -> Call:
        return self.own.get(function_name) or (lambda arguments: self._made(function_name, arguments))

    def _made(self, function_name: str, arguments: list[Any]) -> Any:
        """Return the value of a function of JMESPath."""
        if len(arguments) == 1:
            if function_name == "type" and isinstance(arguments[0], Decimal):
                return _NUMBER
            if function_name == "to_string" and not isinstance(arguments[0], str):
                return _written(arguments[0])
        try:
            return super().call_function(function_name, arguments)
        except JMESPathTypeError as error:
            # The message of jmespath is not used, because it repeats the whole value, which can
            # be large.
            takes = " or ".join(KINDS.get(each, each) for each in error.expected_types)
            found = kind_of(error.current_value)
            raise FunctionFailed(f"{function_name}() takes {takes}, found {found}") from None

    def _get_allowed_pytypes(self, types: Sequence[str]) -> tuple[list[str], list[Any]]:
        # jmespath identifies a type by the name of the Python type.
        allowed, of_items = super()._get_allowed_pytypes(types)  # type: ignore[misc] # the stubs lack it
        if _NUMBER in types:
            allowed.append(Decimal.__name__)
        return allowed, [(*each, Decimal.__name__) if "float" in each else each for each in of_items]

    def _convert_to_jmespath_type(self, pyobject: str) -> str:
        found: str = super()._convert_to_jmespath_type(pyobject)  # type: ignore[misc] # the stubs lack it
        return _NUMBER if pyobject == Decimal.__name__ else found


def _written(value: Any) -> str:
    """Return `value` as JSON without exponents, with all digits of a `Decimal`."""
    if isinstance(value, float | Decimal) and math.isfinite(value):
        return plain_number(value)
    text = json.dumps(value, separators=(",", ":"), default=_unwritten)
    return exact_json(value).decode() if _EXPONENT.search(text) or _MARK in text else text


def _unwritten(_value: Any) -> str:
    return _UNWRITTEN


def _asking(function_name: str, call: Call) -> Call:
    """Return `call`, which calls one of `_ASKED_OFTEN`, with a fast path for short arguments.

    Most predicates call one of these functions, and jmespath's checks of the arguments
    take ten times as long as the fast path.
    """
    ask = _ASKED_OFTEN[function_name]
    searches_lists = function_name == "contains"

    def asked(arguments: list[Any]) -> Any:
        of, sought = arguments if len(arguments) == len(_BOTH) else _BOTH
        if type(sought) is str and len(sought) <= SHORT:
            if type(of) is str and len(of) <= SHORT:
                return ask(of, sought)
            if searches_lists and type(of) is list and len(of) <= SHORT:
                return sought in of
        return call(arguments)

    return asked
