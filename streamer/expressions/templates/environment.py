"""Sandbox of templates, in which absent fields are empty, and the size of values is limited."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import wraps
from math import isfinite
from types import FunctionType, GeneratorType
from typing import Any

import jinja2
import jinja2.sandbox
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS, make_attrgetter
from jinja2.nodes import EvalContext
from jinja2.runtime import Context, Macro, markup_join, str_join
from jinja2.tests import TESTS
from markupsafe import Markup, soft_str

from streamer.exact_json import plain_number
from streamer.expressions.functions.budget import SHORT, Budget, check_length, search
from streamer.expressions.templates.growth import (
    BOUNDS_OF_FILTERS,
    BOUNDS_OF_METHODS,
    CHECKS_OF_OPERATORS,
    FORBIDDEN_METHODS,
    check_width_of_format,
    fitting_number,
    joinable,
)

Filter = Callable[..., Any]

COMPARED = "(compared)"
CONCATENATED = "(concatenated)"
KEPT = "(kept)"
STEP = "(step)"
OF_NODES = frozenset({COMPARED, CONCATENATED, KEPT, STEP})
"""Filters that the nodes of a compiled template call; the text of a template can't name these filters."""

RANDOM = ("lipsum", "random")
"""Names of Jinja2 that are removed, because their values differ from one attempt to the next."""

_OF_ONE_ITEM = frozenset({"count", "d", "default", "first", "last", "length"})
_OF_ITEMS = frozenset({"batch", "round", "slice", "sum"})
_COMPARING = frozenset({"dictsort", "groupby", "max", "min", "sort", "unique"})
_ADDING = frozenset({"join", "sum"})
_SLOW = frozenset({"pprint", "striptags", "title", "tojson", "urlencode", "urlize", "wordcount", "wordwrap"})
_SEARCHING = frozenset(
    {"count", "find", "index", "partition", "replace", "rfind", "rindex", "rsplit", "split"}
)
_SCALARS = (str, int, float, type(None))
_SLOW_TEXTS_A_STEP = 4
_SORTING = 8
_SMALL = 2**64
_LONGEST_NAME = 100
_STEPS_OF_A_CALL = 3
_OF_DICTIONARIES = frozenset(dir(dict))

_OPERATORS = (
    *("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__"),
    *("__floordiv__", "__rfloordiv__", "__mod__", "__rmod__", "__pow__", "__rpow__", "__neg__", "__pos__"),
    "__call__",
)
_COMPARISONS = ("__lt__", "__le__", "__gt__", "__ge__")


class AbsentField(jinja2.ChainableUndefined):
    """Field that the event does not have: the field is empty, and any value computed from it is empty."""

    __slots__ = ()

    def __format__(self, _specification: str) -> str:
        """Return an empty text, whatever the format."""
        return ""


class MissingField(jinja2.StrictUndefined):
    """Field that the event does not have, in a strict template: reading it raises an error."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        name = self._undefined_name
        shown = name if isinstance(name, str) else repr(name)[:_LONGEST_NAME]
        return (
            f"the event does not have {shown}, and strict is true: put {{% if … is defined %}} around "
            "the expression, add | default('…') to the expression, or set strict: false"
        )


def _itself(value: AbsentField, *_arguments: Any, **_options: Any) -> AbsentField:
    return value


def _holds_never(_value: AbsentField, _other: object) -> bool:
    return False


for _name in _OPERATORS:
    setattr(AbsentField, _name, _itself)
for _name in _COMPARISONS:
    setattr(AbsentField, _name, _holds_never)


class TemplateSandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Jinja2's sandbox, in which a rendering spends steps of `budget`.

    A template that exceeds a limit raises `LimitExceeded`.
    """

    intercepted_binops = frozenset({"%", "*", "**", "+", "//"})

    def __init__(self, *, budget: Budget, finalize: Callable[[Any], Any], **options: Any) -> None:
        self.budget = budget
        super().__init__(finalize=self._printed(finalize), **options)
        for name in RANDOM:
            self.globals.pop(name, None)
            self.filters.pop(name, None)
        self.filters["join"] = self._joined()
        self.filters["string"] = lambda value: soft_str(plain(value))
        self.filters = {name: self.bounded(name, each) for name, each in self.filters.items()}
        tests: Mapping[str, Any] = TESTS
        self.tests = {name: self._counted(test) for name, test in tests.items()}
        self.filters |= self._filters_of_nodes()

    def bounded(self, name: str, filter_: Filter) -> Filter:
        """Return the filter `name` in a form that spends steps and checks limits."""
        first = 1 if hasattr(filter_, "jinja_pass_arg") else 0
        spend_on = self._spender(name)

        @wraps(filter_)
        def call(*arguments: Any, **options: Any) -> Any:
            if name in _COMPARING and isinstance(arguments[first], Iterator):
                # These filters read the whole iterator before they compare its items.
                arguments = (*arguments[:first], list(arguments[first]), *arguments[first + 1 :])
            spend_on(*arguments[first:], **options)
            return self._kept(filter_(*arguments, **options))

        return call

    def _spender(self, name: str) -> Callable[..., None]:
        """Return a function that spends the steps of the filter `name` for its arguments."""
        budget, bound = self.budget, BOUNDS_OF_FILTERS.get(name)
        is_slow, is_comparing, reads_one = name in _SLOW, name in _COMPARING, name in _OF_ONE_ITEM
        reads_attributes = name in _COMPARING or name in _ADDING
        is_written = bound is not None and name not in _OF_ITEMS

        def spend_on(value: Any, *more: Any, **options: Any) -> None:
            budget.spend(_STEPS_OF_A_CALL)
            if not reads_one:
                budget.take(value)
            for each in (*more, *options.values()):
                if not isinstance(each, _SCALARS):
                    budget.compare(each)
            if reads_attributes and hasattr(type(value), "__len__"):
                budget.spend(2 * len(value))
            if is_comparing:
                self._compare_all(value)
            if bound is not None:
                bound(budget, value, *more, **options)
            if is_written and not isinstance(value, _SCALARS):
                budget.extent(value)
            if is_slow and isinstance(value, str):
                budget.spend(len(value) // _SLOW_TEXTS_A_STEP)

        return spend_on

    def _compare_all(self, value: Any) -> None:
        """Spend the steps of comparing the items of `value` with each other."""
        self.budget.compare(value)
        if hasattr(type(value), "__len__"):
            self.budget.spend(len(value) * (_SORTING + len(value).bit_length()) // _SORTING)

    def _kept(self, made: Any) -> Any:
        """Spend the steps of `made`, the result of a filter or a call, and return it.

        A generator spends steps for each of its items.
        """
        if isinstance(made, GeneratorType):
            return self._generated(made)
        if isinstance(made, int):
            fitting_number(made.bit_length())
        self.budget.take(made)
        return made

    def _generated(self, items: Iterator[Any]) -> Iterator[Any]:
        spend = self.budget.spend
        for each in items:
            spend(_STEPS_OF_A_CALL)
            yield each

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return the attribute of `obj` with this name, or otherwise the item with this key."""
        # Most names are keys of an event's objects. Jinja2 would look for an attribute first,
        # and an error would then cost more time than everything else.
        if type(obj) is dict and attribute not in _OF_DICTIONARIES:
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Return whether a template can read this attribute."""
        if attr in FORBIDDEN_METHODS and isinstance(obj, str | int | type):
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call `obj` and return its result, with limits."""
        self.budget.spend(_STEPS_OF_A_CALL)
        if isinstance(obj, Macro | FunctionType):
            # No further steps are spent here: a macro only receives its arguments, and a
            # function of Streamer spends its own steps.
            return super().call(context, obj, *args, **kwargs)
        owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        for each in (owner, *args, *kwargs.values()):
            if not isinstance(each, _SCALARS):
                self.budget.compare(each)
        if isinstance(owner, str):
            self.budget.take(owner)
            if name == "join" and args:
                args = (joinable(self.budget, list(args[0]), owner), *args[1:])
            elif name in BOUNDS_OF_METHODS:
                BOUNDS_OF_METHODS[name](self.budget, owner, *args, **kwargs)
            if name in _SEARCHING and args and isinstance(args[0], str):
                search(self.budget, owner, args[0])
        return self._kept(super().call(context, obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Return the value of an operator, with limits."""
        # An absent operand is returned at once, because the operator % of a text would try to
        # convert it to a number.
        if isinstance(right, AbsentField):
            return right
        self.budget.spend(2)
        self.budget.take(left)
        self.budget.take(right)
        if (check := CHECKS_OF_OPERATORS.get(operator)) is not None:
            check(self.budget, left, right)
        return self._kept(super().call_binop(context, operator, left, right))

    def unsafe_undefined(self, obj: Any, attribute: str) -> jinja2.Undefined:
        """Return a value that raises `SecurityError`, so that a forbidden attribute is not just empty."""
        forbidden = f"access to attribute {attribute!r} of {type(obj).__name__!r} object is unsafe."
        return jinja2.StrictUndefined(forbidden, exc=SecurityError)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Return a limited version of a text's `format` or `format_map`; `None` for any other value."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        text: str = value.__self__
        is_map = value.__name__ == "format_map"

        @wraps(wrapped)
        def formatted(*arguments: Any, **named: Any) -> str:
            values: Any = arguments[0] if is_map and arguments else named
            made = _BoundedFormatter(self).vformat(text, () if is_map else arguments, values)
            # The limit is checked without escaping, because escaping makes the text at most a
            # few times longer.
            return wrapped(*arguments, **named) if isinstance(text, Markup) else made

        return formatted

    def _counted(self, test: Callable[..., Any]) -> Filter:
        budget = self.budget

        @wraps(test)
        def call(*arguments: Any, **options: Any) -> Any:
            budget.spend(1)
            for each in arguments:
                if not isinstance(each, _SCALARS):
                    budget.take(each)
                    budget.compare(each)
            return test(*arguments, **options)

        return call

    def _printed(self, finalize: Callable[[Any], Any]) -> Callable[[Any], Any]:
        budget = self.budget

        def printed(value: Any) -> Any:
            kind = type(value)
            is_short = (kind is str and len(value) <= SHORT) or (kind is int and -_SMALL < value < _SMALL)
            if not is_short and not isinstance(value, float | bool | None):
                budget.extent(value)
            return finalize(value)

        return printed

    def _joined(self) -> Filter:
        budget, join = self.budget, FILTERS["join"]

        @jinja2.pass_eval_context
        def joined(context: EvalContext, value: Any, d: Any = "", attribute: Any = None) -> Any:
            """Return the result of the filter `join`, within limits."""
            if attribute is not None:
                value = map(make_attrgetter(context.environment, attribute), value)
            items = [plain(each) for each in joinable(budget, list(value), d)]
            return join(context, items, d)

        return joined

    def _filters_of_nodes(self) -> Mapping[str, Filter]:
        budget = self.budget

        def compared(value: Any) -> Any:
            if not isinstance(value, int | float | None):
                budget.take(value)
                budget.compare(value)
            return value

        @jinja2.pass_eval_context
        def concatenated(context: EvalContext, values: list[Any]) -> Any:
            plain_values = [plain(each) for each in joinable(budget, values, "")]
            return kept((markup_join if context.autoescape else str_join)(plain_values))

        def kept(value: Any) -> Any:
            budget.take(value)
            return value

        # Without the context, Jinja2 would compute this filter only once, when it compiles the
        # template.
        @jinja2.pass_context
        def step(_context: Context, steps: int) -> None:
            budget.spend(steps)

        return {COMPARED: compared, CONCATENATED: concatenated, KEPT: kept, STEP: step}


def plain(value: Any) -> Any:
    """Return a number without an exponent as a text of its digits, and any other value unchanged."""
    is_number = isinstance(value, float | Decimal)
    return plain_number(value) if is_number and isfinite(value) and "e" in str(value).lower() else value


class _BoundedFormatter(jinja2.sandbox.SandboxedFormatter):
    """Formatter that never needs memory for more than the longest allowed text."""

    def __init__(self, environment: TemplateSandbox) -> None:
        super().__init__(environment)
        self._budget = environment.budget
        self._length = 0

    def convert_field(self, value: Any, conversion: Any) -> Any:
        if conversion:
            self._budget.extent(value)
        return super().convert_field(value, conversion)

    def format_field(self, value: Any, format_spec: str) -> Any:
        check_width_of_format(format_spec)
        self._budget.extent(value)
        made = super().format_field(value, format_spec)
        self._length += len(made)
        check_length(self._length)
        return made
