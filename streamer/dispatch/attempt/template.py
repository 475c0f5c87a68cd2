"""Sandboxed Jinja2 templates of texts and contents, in which an absent field is empty."""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import wraps
from types import MappingProxyType
from typing import Any

import jinja2
import jinja2.meta
import jinja2.nodes
import jinja2.sandbox
from jinja2.exceptions import SecurityError

from streamer.dispatch.attempt.functions import Function, FunctionFailed, Functions
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
_OF_DICTIONARIES = frozenset(dir(dict))
_LARGEST_EXPONENT = 1_000
_LONGEST_SEQUENCE = 1_000_000
_TEXT_LIMIT = 100_000
_CONTENT_LIMIT = 1_000_000
_MARKUP = re.compile(r"[/+](xml|html)\b", re.IGNORECASE)
# XML 1.0, section 2.2.
_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


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
    intercepted_binops = frozenset({"%", "*", "**"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        # Most names are keys of an event's objects. Jinja2 finds that out by an error, which costs more than
        # the rest.
        if type(obj) is dict and attribute not in _OF_DICTIONARIES:
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        # A text's own % asks its argument for a number.
        if isinstance(right, AbsentField):
            return right
        if operator == "*":
            _check_repetition(left, right)
        if operator == "**" and isinstance(right, int | float) and abs(right) > _LARGEST_EXPONENT:
            raise SecurityError(f"an exponent is at most {_LARGEST_EXPONENT:,}.")
        return super().call_binop(context, operator, left, right)

    def unsafe_undefined(self, obj: Any, attribute: str) -> jinja2.Undefined:
        # What the sandbox forbids is an error, and not empty.
        forbidden = f"access to attribute {attribute!r} of {type(obj).__name__!r} object is unsafe."
        return jinja2.StrictUndefined(forbidden, exc=SecurityError)


def compile_template(
    source: str, *, strict: bool, functions: Functions | None = None
) -> Callable[[JsonObject], str]:
    """Return a function that renders `source`, a text for people. Raises `jinja2.TemplateSyntaxError`.

    A field that the event does not carry renders as empty, through filters and
    operators too, and a cleared field does so through filters. With `strict`,
    an absent field is an error, and a filter gets the null of a cleared one. A
    text is cut at 100,000 characters.
    """
    environment = _environment(functions, strict=strict, autoescape=False, finalize=_shown)
    template = _compiled(environment, source)
    return lambda document: _rendered(template, document, _TEXT_LIMIT)[:_TEXT_LIMIT]


def compile_content(
    source: str,
    media_type: str,
    *,
    strict: bool,
    functions: Functions | None = None,
    filters: Mapping[str, Filter] = MappingProxyType({}),
) -> Callable[[JsonObject], str]:
    """Return a function that renders `source`, the content of a request; in XML and HTML, values are escaped.

    `filters` stand beside the usual ones.
    The function raises `ValueError` for more than a million characters.
    Otherwise it does what that of `compile_template` does, and this raises what
    that raises.
    """
    is_markup = _MARKUP.search(media_type) is not None
    finalize = _in_markup if is_markup else _single
    environment = _environment(functions, strict=strict, autoescape=is_markup, finalize=finalize)
    environment.filters |= {
        name: filter_ if strict else _lenient(filter_) for name, filter_ in filters.items()
    }
    template = _compiled(environment, source)

    def render(document: JsonObject) -> str:
        rendered = _rendered(template, document, _CONTENT_LIMIT)
        if len(rendered) > _CONTENT_LIMIT:
            raise ValueError(f"it has more than {_CONTENT_LIMIT:,} characters")
        return rendered

    return render


def _compiled(environment: jinja2.Environment, source: str) -> jinja2.Template:
    # The globals that `from_string` makes are a chain of dictionaries, and each rendering copies them.
    code = environment.compile(source)
    return environment.template_class.from_code(environment, code, dict(environment.globals))


def _rendered(template: jinja2.Template, document: JsonObject, most: int) -> str:
    """Return what `template` makes of `document`, to somewhat more than `most` characters at most."""
    pieces, length = [], 0
    for piece in template.generate(document):
        pieces.append(piece)
        length += len(piece)
        if length > most:
            break
    return "".join(pieces)


def unknown_names(source: str, known: frozenset[str], functions: Functions) -> Iterator[tuple[str, int]]:
    """Yield each name in `source` that is neither `known` nor of Jinja2 or a function, with its line."""
    parsed = _parsed(source)
    undeclared = jinja2.meta.find_undeclared_variables(parsed) - _GLOBALS - known - functions.own.keys()
    for name in sorted(undeclared):
        lines = [each.lineno for each in parsed.find_all(jinja2.nodes.Name) if each.name == name]
        yield name, min(lines, default=1)


def mistaken_calls(source: str, functions: Functions) -> Iterator[tuple[str, int]]:
    """Yield a sentence for each wrong call of a function in `source`, with its line."""
    for call in _parsed(source).find_all(jinja2.nodes.Call):
        function = functions.own.get(call.node.name) if isinstance(call.node, jinja2.nodes.Name) else None
        if function is None or call.dyn_args or call.dyn_kwargs or call.kwargs:
            continue
        try:
            function.check_count(len(call.args))
            for position, (parameter, node) in enumerate(function.paired(call.args), start=1):
                if isinstance(node, jinja2.nodes.Const) and node.value is not None:
                    function.read(position, parameter, node.value)
        except FunctionFailed as error:
            yield str(error), call.lineno


def _parsed(source: str) -> jinja2.nodes.Template:
    environment = jinja2.Environment(autoescape=True)
    parsed = environment.parse(source)
    # Only names are looked for; the template was compiled with its filters before.
    environment.filters |= dict.fromkeys((each.name for each in parsed.find_all(jinja2.nodes.Filter)), str)
    return parsed


_GLOBALS = frozenset(jinja2.Environment(autoescape=True).globals)


def _environment(
    functions: Functions | None, *, strict: bool, autoescape: bool, finalize: Callable[[Any], Any]
) -> jinja2.Environment:
    undefined = jinja2.StrictUndefined if strict else AbsentField
    environment = _Environment(undefined=undefined, autoescape=autoescape, finalize=finalize)
    environment.filters["money"] = _money
    for name, function in (functions or Functions()).own.items():
        environment.globals[name] = _global(function)
    if not strict:
        environment.filters.update(
            (name, _lenient(filter_))
            for name, filter_ in environment.filters.items()
            if name not in _OF_MISSING
        )
    return environment


def _global(function: Function) -> Callable[..., Any]:
    """Return `function` for templates: of an absent field it makes nothing, as in `body`."""

    def call(*arguments: Any) -> Any:
        for argument in arguments:
            if isinstance(argument, AbsentField):
                return argument
            if isinstance(argument, jinja2.Undefined):
                # It says which field is missing.
                str(argument)
        return function([_plain(each) for each in arguments])

    return call


def _plain(value: Any) -> Any:
    # The text of a macro is one that can't be escaped again.
    return str.__str__(value) if isinstance(value, str) else value


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


def _check_repetition(left: Any, right: Any) -> None:
    for sequence, times in ((left, right), (right, left)):
        is_repeated = isinstance(sequence, str | list | tuple) and isinstance(times, int)
        if is_repeated and len(sequence) * times > _LONGEST_SEQUENCE:
            raise SecurityError(f"a repetition has at most {_LONGEST_SEQUENCE:,} items.")


def _shown(value: Any) -> Any:
    return "" if value is None else value


def _single(value: Any) -> Any:
    """Return `value` as a program reads it: booleans in lower case, numbers with all digits."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | Decimal):
        return f"{Decimal(str(value)):f}"
    if isinstance(value, dict | list):
        raise TypeError("an object or a list is no text: name a part of it, loop over it, or use tojson")
    return value


def _in_markup(value: Any) -> Any:
    """Return `value` as `_single` does, without the characters that no XML document can hold."""
    single = _single(value)
    if isinstance(single, str) and _NOT_IN_XML.search(single):
        return type(single)(_NOT_IN_XML.sub("\ufffd", single))
    return single


def _money(amount: Any) -> str:
    return f"{float(amount):,.2f}"
