"""Route of a subscriber, which selects events and gives them the form that the target expects."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jinja2
import jmespath
import jmespath.exceptions
from jmespath.parser import ParsedResult

from streamer.dispatch.forwarding import Upstream, receipts_of
from streamer.errors import BrokenRoute, ConfigurationError
from streamer.events import Content, Delivery, Event, JsonObject, SubscriberName, WrittenText
from streamer.expressions.bounds import begun
from streamer.expressions.checks import ExpressionMistake, check_expression, reads_any
from streamer.expressions.evaluation import evaluating, evaluation
from streamer.expressions.functions import FunctionFailed, Functions, LimitExceeded
from streamer.expressions.projection import ABSENT, Project, list_of, object_of, projecting
from streamer.expressions.templates import compile_content, compile_template, sentence_of

EVENT_NAMES = ("data", "id", "source", "subject", "time", "type")
"""Names at the top level of every event's document."""

EXCLUDED = "the condition `when` is not true for this event"
"""Reason for skipping an event that a subscriber's `when` does not select."""

_NOTHING: JsonObject = {}

Keys = tuple[int | str, ...]

Mistake = Callable[[Keys, str, str], ConfigurationError]
"""Function that creates an error from: keys below a subscriber; a sentence; a detail with the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Compiled expressions and templates of one subscriber.

    Expressions see the event as a document with the names `EVENT_NAMES` and the
    members of `more`, whose names are in `RouteSource.more`. With
    `when_needs_lookups`, `when` reads results of look-ups.
    """

    name: SubscriberName
    when: Project | None = None
    body: Project | None = None
    text: Callable[[JsonObject], str] | None = None
    content: Callable[[JsonObject], Content] | None = None
    more: tuple[str, ...] = ()
    when_needs_lookups: bool = False

    def admits(self, event: Event, more: JsonObject = _NOTHING) -> bool:
        """Return whether `when` selects `event`; raises `BrokenRoute`."""
        if self.when is None:
            return True
        return bool(evaluated("when", self.when, event_document(event, more)))

    def delivery(self, event: Event, *, attempt: int, more: JsonObject = _NOTHING) -> Delivery:
        """Return `event` as a delivery in the target's shape; raises `BrokenRoute`."""
        is_shaped = self.body or self.text or self.content
        shaped = event_document(event, more) if is_shaped else {}
        body = evaluated("body", self.body, shaped) if self.body else None
        return Delivery(
            event=event,
            key=f"{event.id}:{self.name}",
            attempt=attempt,
            # With `None` as the body, a plugin would send the whole event.
            body={} if body is ABSENT else body,
            text=evaluated("text", self.text, shaped) if self.text else None,
            content=evaluated("content", self.content, shaped) if self.content else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSource:
    """Route in the form of the configuration."""

    when: str | None = None
    body: Any = None
    text: str | None = None
    content: str | None = None
    """Template of text or XML with the media type `content_type`."""
    content_type: str = "text/plain"
    keep_null: bool = False
    """`body` sends null for a field that the event does not have."""
    strict: bool = False
    """`text` and `content` fail on a field that the event does not have."""
    more: tuple[str, ...] = ()
    """Further names of the document, such as `receipts`."""
    lookups: tuple[str, ...] = ()
    """Names in `more` that are look-ups."""
    data_names: frozenset[str] = frozenset()
    """Names that `data` can have in the events of the route; empty if any name is possible."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names at the top level of the document that the expressions see."""
        return tuple(sorted({*EVENT_NAMES, *self.more}))


def compile_route(
    name: SubscriberName, source: RouteSource, *, mistake: Mistake, functions: Functions | None = None
) -> Route:
    """Compile the expressions of the subscriber `name`; the expressions can call `functions`.

    Raises the error that `mistake` creates for the first wrong expression.
    """
    compiling = _Compiling(source, mistake, functions or Functions())
    return Route(
        name=name,
        when=compiling.predicate("when") if source.when is not None else None,
        body=compiling.projection(source.body, "body") if source.body is not None else None,
        text=compiling.text("text") if source.text is not None else None,
        content=compiling.content("content") if source.content is not None else None,
        more=source.more,
        when_needs_lookups=reads_any(source.when, source.lookups),
    )


def compile_projection(
    expression: str, keys: Keys, *, mistake: Mistake, more: tuple[str, ...], functions: Functions
) -> Project:
    """Compile one expression at `keys` below a subscriber, in the same way as an expression of a body.

    The expression sees the names in `more` in addition to the names of every event, and
    can call `functions`. Raises the error that `mistake` creates for a wrong
    expression.
    """
    return _Compiling(RouteSource(more=more), mistake, functions, keys[:-1]).projection(expression, keys[-1])


def event_document(event: Event, more: JsonObject = _NOTHING) -> JsonObject:
    """Return the document of `event` that expressions and templates see, with the members of `more`."""
    return {
        **more,
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": event.time,
        "data": event.data,
    }


def evaluated(key: str, function: Callable[[JsonObject], Any], shaped: JsonObject) -> Any:
    """Return the value of a compiled expression or template of the setting `key`.

    Raises `BrokenRoute`.
    """
    try:
        return function(shaped)
    except (FunctionFailed, LimitExceeded, jinja2.UndefinedError) as error:
        raise BrokenRoute(f"{key} fails on this event: {error}") from error
    except Exception as error:
        # Expressions and templates are an operator's code and can raise any error.
        raise BrokenRoute(f"{key} fails on this event: {type(error).__name__}: {error}") from error


def exclusion(event: Event, route: Route, upstream: Upstream) -> str:
    """Return why `event` is not for the subscriber of `route`; empty if it is, or can be, for the subscriber.

    The event can be for the subscriber while halves are missing, or if `when` reads a
    look-up. Raises `BrokenRoute`.
    """
    if upstream.names and (reason := upstream.exclusion(event)):
        return reason
    if route.when is None:
        return ""
    if route.when_needs_lookups or (upstream.joins and upstream.missing(event)):
        # The halves or look-ups that `when` reads are not known yet.
        return ""
    return "" if route.admits(event, receipts_of(event)) else EXCLUDED


class _Compiling:
    """Compiles the expressions below `keys`."""

    def __init__(self, source: RouteSource, mistake: Mistake, functions: Functions, keys: Keys = ()) -> None:
        self._source = source
        self._make_mistake = mistake
        self._functions = functions
        self._keys = keys

    def predicate(self, key: str) -> Project:
        return evaluation(self._parsed(self._source.when or "", key), self._functions)

    def projection(self, shape: Any, key: int | str) -> Project:
        parts: list[ParsedResult] = []
        return begun(self.part(shape, key, parts), self._functions.budget, *parts)

    def part(self, shape: Any, key: int | str, parts: list[ParsedResult]) -> Project:
        """Return the function of a part of a projection, and add the part's expressions to `parts`."""
        if isinstance(shape, str):
            expression = self._parsed(shape, key)
            if (written := _written(expression)) is not None:
                return lambda _: written
            parts.append(expression)
            evaluate = evaluating if self._source.keep_null else projecting
            return evaluate(expression, self._functions)
        inner = _Compiling(self._source, self._make_mistake, self._functions, (*self._keys, key))
        # An empty object or list is a literal value.
        if isinstance(shape, dict) and shape:
            return object_of({name: inner.part(part, name, parts) for name, part in shape.items()})
        if isinstance(shape, list) and shape:
            return list_of([inner.part(item, index, parts) for index, item in enumerate(shape)])
        return lambda _: shape

    def text(self, key: str) -> Callable[[JsonObject], str]:
        with self._template_mistakes(key):
            return compile_template(
                self._source.text or "", strict=self._source.strict, functions=self._functions
            )

    def content(self, key: str) -> Callable[[JsonObject], Content]:
        media_type = self._source.content_type
        with self._template_mistakes(key, "template"):
            render = compile_content(
                self._source.content or "",
                media_type,
                strict=self._source.strict,
                functions=self._functions,
            )
        return lambda document: Content(data=render(document).encode(), type=media_type)

    @contextmanager
    def _template_mistakes(self, *keys: str) -> Iterator[None]:
        try:
            yield
        except jinja2.TemplateSyntaxError as error:
            detail = f"line {error.lineno}: {error.message}"
            raise self._make_mistake(keys, sentence_of(error), detail) from error

    def _parsed(self, expression: str, key: int | str) -> ParsedResult:
        try:
            compiled = jmespath.compile(expression)
        except jmespath.exceptions.JMESPathError as error:
            # Only the first line is used: further lines mark the position by spaces, which a
            # log does not keep.
            raise self._mistake(key, "is not a JMESPath expression", str(error).splitlines()[0]) from error
        try:
            check_expression(compiled, self._functions, self._source.names, self._source.data_names)
        except ExpressionMistake as error:
            raise self._mistake(key, error.sentence, error.detail) from error
        return compiled

    def _mistake(self, key: int | str, sentence: str, detail: str) -> ConfigurationError:
        return self._make_mistake((*self._keys, key), sentence, detail)


def _written(expression: ParsedResult) -> WrittenText | None:
    """Return the text if `expression` is a literal text such as `'Won'`; otherwise `None`."""
    node = expression.parsed
    is_text = node["type"] == "literal" and isinstance(node["value"], str)
    return WrittenText(node["value"]) if is_text else None
