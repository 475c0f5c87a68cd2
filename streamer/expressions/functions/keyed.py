"""Functions of what the configuration names: lookup tables, and the keys of hashes."""

import difflib
import hmac
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from streamer.expressions.functions.function import (
    Function,
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
    """Values that the configuration names at `setting`."""

    def __init__(self, values: Mapping[str, Any], what: str, setting: str) -> None:
        self._values = values
        self._what = what
        self._setting = setting

    def read(self, value: Any) -> str:
        """Read a name that is configured."""
        name = a_text(value)
        if name in self._values:
            return name
        close = difflib.get_close_matches(name, self._values, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        known = ", ".join(sorted(self._values)) or "none"
        raise UnfitArgument(
            f"must be a {self._what} that {self._setting} names, found {shown(name)}; {hint}known: {known}"
        )

    def looked_up(self, name: str, key: str, default: Any = _MISSING) -> Any:
        """Return the value of `key` in the table `name`, or `default`."""
        found = self._values[name].get(key, default)
        if found is _MISSING:
            raise UnfitArgument(
                f"the table {name} has no {shown(key)}: add it, or give a default as the third argument"
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
