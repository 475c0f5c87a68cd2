"""Functions of numbers, which keep decimals exact."""

from collections.abc import Callable, Sequence
from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    ROUND_UP,
    Context,
    Decimal,
    DecimalException,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    Underflow,
)
from functools import partial, reduce
from typing import Any

from streamer.expressions.functions.function import (
    Function,
    Parameter,
    UnfitArgument,
    a_text,
    kind_of,
    one_of,
    shown,
    whole,
)

_DIGITS = 50
_PLACES = 20
_LARGEST_EXPONENT = 99
_LONGEST = 200
_FITS_JSON = 2**63

_TRAPS = [InvalidOperation, DivisionByZero, Overflow, Underflow]
_LIMITS: dict[str, Any] = {"prec": _DIGITS, "Emin": -_LARGEST_EXPONENT, "Emax": _LARGEST_EXPONENT}
_EXACT = Context(**_LIMITS, traps=[*_TRAPS, Inexact])
_ROUNDED = Context(**_LIMITS, traps=_TRAPS, rounding=ROUND_HALF_EVEN)
_MODES = {
    "half_up": ROUND_HALF_UP,
    "half_even": ROUND_HALF_EVEN,
    "up": ROUND_UP,
    "down": ROUND_DOWN,
    "ceiling": ROUND_CEILING,
    "floor": ROUND_FLOOR,
}


def a_decimal(value: Any) -> Decimal:
    """Read a number, or a text that contains a number, with all of its digits."""
    try:
        made = None
        if isinstance(value, int | float) and not isinstance(value, bool):
            made = _EXACT.create_decimal(repr(value))
        elif isinstance(value, str | Decimal) and len(str(value)) <= _LONGEST:
            made = _EXACT.create_decimal(value.strip() if isinstance(value, str) else value)
        # The texts Infinity and NaN are refused: Decimal accepts both, and a division by
        # Infinity would return 0.
        if made is not None and made.is_finite():
            return made
    except (DecimalException, ValueError):
        # Python also raises ValueError when a very large int must be converted to text.
        pass
    found = shown(value) if isinstance(value, str) else kind_of(value)
    raise UnfitArgument(
        f"must be a number of at most {_DIGITS} digits, or a text with such a number, found {found}"
    )


def number(value: Decimal) -> int | float | Decimal:
    """Return `value` as an int or a float, or unchanged if the conversion would lose a digit."""
    if not value.is_finite():
        raise UnfitArgument("the result is not a number")
    if value == value.to_integral_value():
        return int(value) if abs(value) < _FITS_JSON else value
    approximate = float(value)
    return approximate if Decimal(repr(approximate)) == value else value


def _computed(compute: Callable[[], Decimal]) -> int | float | Decimal:
    try:
        return number(compute())
    except DivisionByZero:
        raise UnfitArgument("the divisor is 0") from None
    except Inexact:
        raise UnfitArgument(f"the exact result has more than {_DIGITS} digits: use round() first") from None
    except DecimalException:
        raise UnfitArgument(f"the result has more than {_DIGITS} digits") from None


def _add(*values: Decimal) -> Any:
    return _computed(lambda: reduce(_EXACT.add, values))


def _subtract(value: Decimal, other: Decimal) -> Any:
    return _computed(lambda: _EXACT.subtract(value, other))


def _multiply(*values: Decimal) -> Any:
    return _computed(lambda: reduce(_EXACT.multiply, values))


def _divide(value: Decimal, divisor: Decimal, places: int | None = None) -> Any:
    if not divisor:
        raise UnfitArgument("the divisor is 0")
    try:
        if places is None:
            return number(_EXACT.divide(value, divisor))
    except DecimalException:
        # The quotient, such as a third, has no finite number of digits.
        places = _PLACES
    digits = places or 0
    return _computed(lambda: _rounded(_ROUNDED.divide(value, divisor), digits, ROUND_HALF_UP))


def _rounded(value: Decimal, places: int, mode: str) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-places), rounding=mode, context=_ROUNDED)


def _round(value: Decimal, places: int = 0, mode: str = "half_up") -> Any:
    return _computed(lambda: _rounded(value, places, _MODES[mode]))


def _sum(values: Sequence[Decimal]) -> Any:
    return _add(Decimal(0), *values)


def _average(values: Sequence[Decimal]) -> Any:
    if not values:
        return None
    total = _computed(lambda: reduce(_EXACT.add, values))
    return _divide(a_decimal(total), Decimal(len(values)))


def _decimals(value: Any) -> list[Decimal]:
    if not isinstance(value, list):
        raise UnfitArgument(f"must be an array of numbers, found {kind_of(value)}")
    return [_plain_number(each) for each in value]


def _plain_number(value: Any) -> Decimal:
    if isinstance(value, str):
        raise UnfitArgument("must be an array of numbers, found an array that contains a text")
    return a_decimal(value)


def _format_number(value: Decimal, places: int = 2, group: str = "", point: str = ".") -> str:
    try:
        rounded = _rounded(value, places, ROUND_HALF_UP)
    except DecimalException:
        raise UnfitArgument(f"the result has more than {_DIGITS} digits") from None
    whole_part, _, fraction = f"{rounded:,f}".partition(".")
    return whole_part.replace(",", group) + (point + fraction if fraction else "")


def _separator(value: Any) -> str:
    if len(text := a_text(value)) <= 1:
        return text
    raise UnfitArgument(f"must be one character, or an empty text, found {shown(text)}")


_NUMERIC = ("number", "string")
_VALUE = Parameter(name="value", read=a_decimal, kinds=_NUMERIC)
_OTHER = Parameter(name="other", read=a_decimal, kinds=_NUMERIC)
_NUMBERS = Parameter(name="values", read=_decimals, kinds=("array",))
_number_function = partial(Function, returns="number")
_option = partial(Parameter, is_optional=True)
_PLACES_OF = _option(name="places", read=whole(-_PLACES, _PLACES), kinds=("number",))

FUNCTIONS = (
    _number_function(name="decimal", parameters=(_VALUE,), call=number),
    _number_function(name="add", parameters=(_VALUE, _OTHER), call=_add, is_variadic=True),
    _number_function(name="subtract", parameters=(_VALUE, _OTHER), call=_subtract),
    _number_function(name="multiply", parameters=(_VALUE, _OTHER), call=_multiply, is_variadic=True),
    _number_function(
        name="divide",
        parameters=(
            _VALUE,
            Parameter(name="divisor", read=a_decimal, kinds=_NUMERIC),
            _option(name="places", read=whole(0, _PLACES), kinds=("number",)),
        ),
        call=_divide,
    ),
    _number_function(
        name="round",
        parameters=(_VALUE, _PLACES_OF, _option(name="mode", read=one_of(*_MODES), kinds=("string",))),
        call=_round,
    ),
    Function(
        name="format_number",
        parameters=(
            _VALUE,
            _option(name="places", read=whole(0, _PLACES), kinds=("number",)),
            _option(name="group", read=_separator, kinds=("string",)),
            _option(name="point", read=_separator, kinds=("string",)),
        ),
        call=_format_number,
        returns="string",
    ),
    # These functions replace JMESPath's own functions, which compute in binary, where 0.1 + 0.2
    # is not 0.3.
    _number_function(name="sum", parameters=(_NUMBERS,), call=_sum),
    _number_function(name="avg", parameters=(_NUMBERS,), call=_average),
)
"""Functions of numbers; they replace JMESPath's `sum` and `avg`, which are not exact."""
