"""Sandboxed Jinja2 templates of texts for people and of XML, in which an absent field is empty."""

from collections.abc import Callable, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any

import jinja2
import jinja2.sandbox
from jinja2.exceptions import SecurityError

from streamer.events import JsonObject

Filter = Callable[..., Any]

# They are there for values that are missing.
_OF_MISSING = frozenset({"d", "default"})

_OPERATORS = (
    *("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__"),
    *("__floordiv__", "__rfloordiv__", "__mod__", "__rmod__", "__pow__", "__rpow__", "__neg__", "__pos__"),
    "__call__",
)
_COMPARISONS = ("__lt__", "__le__", "__gt__", "__ge__")


class AbsentField(jinja2.ChainableUndefined):
    """Field that the event does not carry: empty, as is whatever a template makes of it."""

    __slots__ = ()

    def __format__(self, _specification: str) -> str:
        """Return nothing, whatever the format."""
        return ""


def _itself(value: AbsentField, *_arguments: Any, **_options: Any) -> AbsentField:
    return value


def _holds_never(_value: AbsentField, _other: object) -> bool:
    return False


for _name in _OPERATORS:
    setattr(AbsentField, _name, _itself)
for _name in _COMPARISONS:
    setattr(AbsentField, _name, _holds_never)


class _Environment(jinja2.sandbox.ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"%"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        # A text's own % asks its argument for a number.
        return right if isinstance(right, AbsentField) else super().call_binop(context, operator, left, right)

    def unsafe_undefined(self, obj: Any, attribute: str) -> jinja2.Undefined:
        # What the sandbox forbids is an error, and not empty.
        forbidden = f"access to attribute {attribute!r} of {type(obj).__name__!r} object is unsafe."
        return jinja2.StrictUndefined(forbidden, exc=SecurityError)


def compile_template(
    source: str, *, strict: bool, xml: bool = False, filters: Mapping[str, Filter] = MappingProxyType({})
) -> Callable[[JsonObject], str]:
    """Return a function that renders `source`. Raises `jinja2.TemplateSyntaxError`.

    A field that the event does not carry renders as empty, through filters and
    operators too, and a cleared field does so through filters. With `strict`,
    an absent field is an error, and a filter gets the null of a cleared one.
    With `xml`, values are escaped. `filters` stand beside the usual ones.
    """
    undefined = jinja2.StrictUndefined if strict else AbsentField
    environment = _Environment(undefined=undefined, autoescape=xml, finalize=_shown)
    environment.filters |= {"money": _money, **filters}
    if not strict:
        environment.filters.update(
            (name, _lenient(filter_))
            for name, filter_ in environment.filters.items()
            if name not in _OF_MISSING
        )
    return environment.from_string(source).render


def _lenient(filter_: Filter) -> Filter:
    """Return a filter that returns an absent or cleared value as it is."""
    first = 1 if hasattr(filter_, "jinja_pass_arg") else 0

    @wraps(filter_)
    def lenient(*arguments: Any, **options: Any) -> Any:
        if arguments[first] is None:
            return None
        for argument in arguments[first:]:
            if isinstance(argument, AbsentField):
                return argument
        return filter_(*arguments, **options)

    return lenient


def _shown(value: Any) -> Any:
    return "" if value is None else value


def _money(amount: Any) -> str:
    return f"{float(amount):,.2f}"
