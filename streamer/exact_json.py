"""JSON bytes in which decimal numbers keep all of their digits."""

from decimal import Decimal
from typing import Any

import orjson


def exact_json(value: Any, *, indented: bool = False) -> bytes:
    """Return `value` as JSON, in which a `Decimal` is a number with all of its digits.

    Raises `TypeError` for what JSON can't hold.
    """
    return orjson.dumps(value, default=_exact, option=orjson.OPT_INDENT_2 if indented else None)


def _exact(value: Any) -> Any:
    # orjson knows no decimals.
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value))
    raise TypeError(f"a {type(value).__name__} is no JSON")
