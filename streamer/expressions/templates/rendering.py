"""Rendering of texts and request contents by templates, in which an absent field is empty."""

import re
import traceback
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal, DecimalException
from functools import wraps
from types import MappingProxyType
from typing import Any

import jinja2

from streamer.events import JsonObject
from streamer.expressions.functions import Functions, LimitExceeded
from streamer.expressions.functions.function import kind_of
from streamer.expressions.templates.environment import (
    OF_NODES,
    AbsentField,
    Filter,
    MissingField,
    TemplateSandbox,
    plain,
)
from streamer.expressions.templates.mistakes import check_constants
from streamer.expressions.templates.nodes import counted
from streamer.xml import NOT_IN_XML

# These filters handle missing values themselves.
_OF_MISSING = frozenset({"d", "default"})

_CENT = Decimal("0.01")
_MOST_MONEY = 50
_MONEY = Context(prec=2 * _MOST_MONEY)

_TEXT_LIMIT = 100_000
_CONTENT_LIMIT = 1_000_000
_MARKUP = re.compile(r"[/+](xml|html)\b", re.IGNORECASE)


def compile_template(
    source: str, *, strict: bool, functions: Functions | None = None
) -> Callable[[JsonObject], str]:
    """Return a function that renders `source`, a text for people; raises `jinja2.TemplateSyntaxError`.

    A field that the event does not have renders as empty, even after filters and
    operators. A cleared field also renders as empty, even after filters. With `strict`,
    an absent field is an error, and a filter of a cleared field gets null. A text is
    cut at 100,000 characters.
    """
    environment = _environment(functions, strict=strict, autoescape=False, finalize=_shown)
    rendered = _compiled(environment, source, _TEXT_LIMIT)
    return lambda document: rendered(document)[:_TEXT_LIMIT]


def compile_content(
    source: str,
    media_type: str,
    *,
    strict: bool,
    functions: Functions | None = None,
    filters: Mapping[str, Filter] = MappingProxyType({}),
) -> Callable[[JsonObject], str]:
    """Return a function that renders `source`, the content of a request; values in XML and HTML are escaped.

    `filters` are added to the usual filters. The returned function raises `ValueError`
    for a content of more than a million characters. In all other respects, it behaves
    like a function that `compile_template` returns. Raises
    `jinja2.TemplateSyntaxError`.
    """
    is_markup = _MARKUP.search(media_type) is not None
    finalize = _in_markup if is_markup else _single
    environment = _environment(functions, strict=strict, autoescape=is_markup, finalize=finalize)
    for name, filter_ in filters.items():
        bounded = environment.bounded(name, filter_)
        environment.filters[name] = bounded if strict else _lenient(bounded)
    rendered = _compiled(environment, source, _CONTENT_LIMIT)

    def render(document: JsonObject) -> str:
        content = rendered(document)
        if len(content) > _CONTENT_LIMIT:
            raise ValueError(f"the content has more than {_CONTENT_LIMIT:,} characters")
        return content

    return render


def _compiled(environment: TemplateSandbox, source: str, most: int) -> Callable[[JsonObject], str]:
    """Return a function that renders `source`, and that stops soon after `most` characters."""
    # `from_string` is not used, because it would make the globals a chain of dictionaries, which
    # each rendering copies.
    code = environment.compile(counted(environment.parse(source)))
    template = environment.template_class.from_code(environment, code, dict(environment.globals))
    # Check the constants only after the compilation, because the compilation refuses an invalid
    # template.
    check_constants(environment, environment.parse(source))

    def render(document: JsonObject) -> str:
        environment.budget.begin()
        pieces, length = [], 0
        try:
            for piece in template.generate(document):
                pieces.append(piece)
                length += len(piece)
                if length > most:
                    break
        except LimitExceeded as error:
            raise LimitExceeded(f"line {_line(error, template)} of its template: {error}") from error
        except jinja2.UndefinedError as error:
            raise jinja2.UndefinedError(f"line {_line(error, template)} of its template: {error}") from error
        return "".join(pieces)

    return render


def _line(error: Exception, template: jinja2.Template) -> int:
    """Return the line of `template` in which `error` was raised."""
    frames = traceback.walk_tb(error.__traceback__)
    return [1, *(line for frame, line in frames if frame.f_code.co_filename == template.filename)][-1]


def _environment(
    functions: Functions | None, *, strict: bool, autoescape: bool, finalize: Callable[[Any], Any]
) -> TemplateSandbox:
    undefined = MissingField if strict else AbsentField
    functions = functions or Functions()
    environment = TemplateSandbox(
        budget=functions.budget, undefined=undefined, autoescape=autoescape, finalize=finalize
    )
    environment.filters["money"] = environment.bounded("money", _money)
    for name in functions.own:
        environment.globals[name] = _global(name, functions)
    if not strict:
        environment.filters.update(
            (name, _lenient(filter_))
            for name, filter_ in environment.filters.items()
            if name not in _OF_MISSING and name not in OF_NODES
        )
    return environment


def _global(name: str, functions: Functions) -> Callable[..., Any]:
    """Return the function `name` for templates; its value is absent if an argument is absent."""
    steps = functions.steps(name)

    def call(*arguments: Any) -> Any:
        for argument in arguments:
            if isinstance(argument, AbsentField):
                return argument
            if isinstance(argument, jinja2.Undefined):
                # Converting the missing field to text raises an error that names this field.
                str(argument)
        functions.budget.spend(steps)
        return functions.call_function(name, [_plain(each) for each in arguments])

    return call


def _plain(value: Any) -> Any:
    # The output of a macro is a text type that must not be escaped again; convert it to plain text.
    return str.__str__(value) if isinstance(value, str) else value


def _lenient(filter_: Filter) -> Filter:
    """Return `filter_` so that it returns an absent or cleared value unchanged."""
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
    return "" if value is None else plain(value)


def _single(value: Any) -> Any:
    """Return `value` in a form for programs: booleans in lower case, numbers with all digits."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | Decimal):
        return f"{Decimal(str(value)):f}"
    if isinstance(value, dict | list):
        raise TypeError(
            "the value is an object or a list, not a text: name a member, use a loop, or use tojson"
        )
    return value


def _in_markup(value: Any) -> Any:
    """Return the result of `_single`, with characters that XML does not allow replaced."""
    single = _single(value)
    if isinstance(single, str) and NOT_IN_XML.search(single):
        return type(single)(NOT_IN_XML.sub("\ufffd", single))
    return single


def _money(amount: Any) -> str:
    if not isinstance(amount, str | int | float | Decimal) or isinstance(amount, bool):
        raise TypeError(f"money takes a number, or a text with a number, not {kind_of(amount)}")
    try:
        exact = amount if isinstance(amount, Decimal) else Decimal(str(amount))
    except DecimalException:
        raise ValueError("money takes a number, or a text with a number") from None
    if not exact.is_finite() or abs(exact.adjusted()) > _MOST_MONEY:
        raise ValueError(f"money takes a number of at most {_MOST_MONEY} digits")
    # Half a cent is rounded up, as people expect. A conversion to float would lose digits.
    return f"{exact.quantize(_CENT, ROUND_HALF_UP, _MONEY):,f}"
