"""Sandbox of templates: what an event does not carry is empty, and what grows is bounded."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import jinja2
import jinja2.sandbox
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS, make_attrgetter
from jinja2.nodes import EvalContext
from jinja2.runtime import Context, markup_join, str_join
from jinja2.tests import TESTS
from markupsafe import Markup

from streamer.dispatch.attempt.functions.extents import check_length, extent
from streamer.dispatch.attempt.template.growth import (
    BOUNDS_OF_FILTERS,
    BOUNDS_OF_METHODS,
    FORBIDDEN_METHODS,
    check_addition,
    check_formatting,
    check_multiplication,
    check_power,
    check_width_of_format,
    joinable,
)
from streamer.dispatch.attempt.template.work import Work, fitting_number

Filter = Callable[..., Any]

COMPARED = "(compared)"
CONCATENATED = "(concatenated)"
KEPT = "(kept)"
STEP = "(step)"
OF_NODES = frozenset({COMPARED, CONCATENATED, KEPT, STEP})
"""Filters that the nodes of a template call; no source can name them."""

RANDOM = ("lipsum", "random")
"""Names of Jinja2 that templates lack, because their values would differ from attempt to attempt."""

_OF_ONE_ITEM = frozenset({"count", "d", "default", "first", "last", "length"})
_OF_ITEMS = frozenset({"batch", "round", "slice", "sum"})
_SLOW = frozenset({"pprint", "striptags", "title", "tojson", "urlencode", "urlize", "wordcount", "wordwrap"})
_SCALARS = (str, int, float, type(None))
_TEXTS_A_STEP = 100
_SLOW_TEXTS_A_STEP = 4
_ITEMS_A_STEP = 4
_OF_DICTIONARIES = frozenset(dir(dict))

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


class Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Jinja2's sandbox, in which a rendering spends a budget of `work`; one for each template.

    What exceeds a bound raises `LimitExceeded`.
    """

    intercepted_binops = frozenset({"%", "*", "**", "+"})

    def __init__(self, *, finalize: Callable[[Any], Any], **options: Any) -> None:
        self.work = Work()
        super().__init__(finalize=self._printed(finalize), **options)
        for name in RANDOM:
            self.globals.pop(name, None)
            self.filters.pop(name, None)
        self.filters["join"] = _joined
        self.filters = {name: self.bounded(name, each) for name, each in self.filters.items()}
        tests: Mapping[str, Any] = TESTS
        self.tests = {name: self._counted(test) for name, test in tests.items()}
        self.filters |= self._filters_of_nodes()

    def bounded(self, name: str, filter_: Filter) -> Filter:
        """Return the filter `name`, which takes steps and checks its bound."""
        bound, work = BOUNDS_OF_FILTERS.get(name), self.work
        first = 1 if hasattr(filter_, "jinja_pass_arg") else 0
        is_slow, reads_one, is_written = name in _SLOW, name in _OF_ONE_ITEM, name not in _OF_ITEMS

        @wraps(filter_)
        def call(*arguments: Any, **options: Any) -> Any:
            given = arguments[first:] if first else arguments
            work.step(1 if reads_one else 1 + sum([_steps(each) for each in given]))
            if bound is not None:
                bound(*given, **options)
                if is_written and not isinstance(given[0], _SCALARS):
                    work.write(extent(given[0]))
            if is_slow and isinstance(given[0], str):
                work.step(len(given[0]) // _SLOW_TEXTS_A_STEP)
            made = filter_(*arguments, **options)
            if isinstance(made, int):
                fitting_number(made.bit_length())
            work.keep(made)
            return made

        return call

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return the attribute of `obj`, or its item."""
        # Most names are keys of an event's objects. Jinja2 finds that out by an error, which costs more than
        # the rest.
        if type(obj) is dict and attribute not in _OF_DICTIONARIES:
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Return true for an attribute that a template can read."""
        if attr in FORBIDDEN_METHODS and isinstance(obj, str | int | type):
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Return what `obj` returns."""
        self.work.step()
        owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        if isinstance(owner, str):
            self.work.step(len(owner) // _TEXTS_A_STEP)
            if name == "join" and args:
                args = (joinable(list(args[0]), owner), *args[1:])
            elif name in BOUNDS_OF_METHODS:
                BOUNDS_OF_METHODS[name](owner, *args, **kwargs)
        elif isinstance(owner, list | dict):
            self.work.step(_steps(owner))
        made = super().call(context, obj, *args, **kwargs)
        self.work.keep(made)
        return made

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Return the value of an operator."""
        # A text's own % asks its argument for a number.
        if isinstance(right, AbsentField):
            return right
        _CHECKS[operator](left, right)
        made = super().call_binop(context, operator, left, right)
        self.work.keep(made)
        return made

    def unsafe_undefined(self, obj: Any, attribute: str) -> jinja2.Undefined:
        """Return an error for what the sandbox forbids: it must not be empty."""
        forbidden = f"access to attribute {attribute!r} of {type(obj).__name__!r} object is unsafe."
        return jinja2.StrictUndefined(forbidden, exc=SecurityError)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Return a bounded `format` or `format_map` of a text, `None` for any other value."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        text: str = value.__self__
        is_map = value.__name__ == "format_map"

        @wraps(wrapped)
        def formatted(*arguments: Any, **named: Any) -> str:
            values: Any = arguments[0] if is_map and arguments else named
            made = _BoundedFormatter(self).vformat(text, () if is_map else arguments, values)
            # Escaping makes it longer by a few times at most.
            return wrapped(*arguments, **named) if isinstance(text, Markup) else made

        return formatted

    def _counted(self, test: Callable[..., Any]) -> Filter:
        work = self.work

        @wraps(test)
        def call(*arguments: Any, **options: Any) -> Any:
            work.step(sum(map(_steps, arguments), 1))
            return test(*arguments, **options)

        return call

    def _printed(self, finalize: Callable[[Any], Any]) -> Callable[[Any], Any]:
        work = self.work

        def printed(value: Any) -> Any:
            if not isinstance(value, float | bool | None):
                work.write(len(value) if isinstance(value, str) else extent(value))
            return finalize(value)

        return printed

    def _filters_of_nodes(self) -> Mapping[str, Filter]:
        work = self.work

        def compared(value: Any) -> Any:
            work.step(_steps(value))
            return value

        @jinja2.pass_eval_context
        def concatenated(context: EvalContext, values: list[Any]) -> Any:
            joinable(values, "")
            return kept(markup_join(values) if context.autoescape else str_join(values))

        def kept(value: Any) -> Any:
            work.keep(value)
            return value

        # A constant would be computed once, when the template is compiled.
        @jinja2.pass_context
        def step(_context: Context, characters: int) -> None:
            work.step()
            work.write(characters)

        return {COMPARED: compared, CONCATENATED: concatenated, KEPT: kept, STEP: step}


class _BoundedFormatter(jinja2.sandbox.SandboxedFormatter):
    """Formatter that takes memory for no more than the longest text."""

    def __init__(self, environment: Sandbox) -> None:
        super().__init__(environment)
        self._length = 0

    def convert_field(self, value: Any, conversion: Any) -> Any:
        if conversion:
            extent(value)
        return super().convert_field(value, conversion)

    def format_field(self, value: Any, format_spec: str) -> Any:
        check_width_of_format(format_spec)
        extent(value)
        made = super().format_field(value, format_spec)
        self._length += len(made)
        check_length(self._length)
        return made


@jinja2.pass_eval_context
def _joined(context: EvalContext, value: Any, d: Any = "", attribute: Any = None) -> Any:
    """Return what the filter `join` returns, within bounds."""
    if attribute is not None:
        value = map(make_attrgetter(context.environment, attribute), value)
    return FILTERS["join"](context, joinable(list(value), d), d)


def _steps(value: Any) -> int:
    """Return the steps of reading `value`, beside the first."""
    if isinstance(value, str):
        return len(value) // _TEXTS_A_STEP
    return len(value) // _ITEMS_A_STEP if hasattr(type(value), "__len__") else 0


_CHECKS: Mapping[str, Callable[[Any, Any], None]] = {
    "%": check_formatting,
    "*": check_multiplication,
    "**": check_power,
    "+": check_addition,
}
