"""Routes of subscribers, with every mistake of their expressions and templates."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jinja2
import jinja2.meta
import jinja2.nodes
from jmespath.exceptions import IncompleteExpressionError, LexerError, ParseError

from streamer.app.chains.receipt_names import RECEIPTS, receipts_in_expression, receipts_in_template
from streamer.configuration import Document, Draft, Keys
from streamer.dispatch.attempt.route import EVENT_NAMES, Route, RouteSource, compile_route
from streamer.errors import ConfigurationError
from streamer.events import SubscriberName
from streamer.observe.redaction import masked
from streamer.settings import SubscriberSettings

_GLOBALS = frozenset(jinja2.Environment(autoescape=True).globals)
_END = "EOF"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberRoute:
    """Expressions and template of one subscriber, as its sound settings have them."""

    name: SubscriberName
    settings: SubscriberSettings
    draft: Draft
    document: Document
    upstream: frozenset[SubscriberName] = frozenset()

    @property
    def more(self) -> tuple[str, ...]:
        """Names beside those of every event that the subscriber's expressions see."""
        return (RECEIPTS,) if self.upstream else ()

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(sorted({*EVENT_NAMES, *self.more}))

    def compiled(self) -> Route:
        """Return the compiled route. Raises `ConfigurationError` for the first mistake."""
        settings = self.settings
        source = RouteSource(
            when=settings.when,
            body=settings.body,
            text=settings.text,
            keep_null=settings.keep_null,
            strict=settings.strict,
            more=self.more,
        )
        return compile_route(self.name, source, mistake=partial(mistake_of, self.document, self.name))

    def mistakes(self) -> Iterator[str]:
        """Yield a message for each mistake; below one in an expression, a caret points at its column."""
        for keys, part in [(("when",), self.settings.when), *_leaves(("body",), self.settings.body)]:
            if isinstance(part, str) and self._is_sound(keys):
                yield from self._refused(keys, RouteSource(when=part)) or self._unknown_receipts(
                    keys, receipts_in_expression(part)
                )
        text = self.settings.text
        if text is not None and self._is_sound(("text",)):
            yield from self._refused(("text",), RouteSource(text=text)) or self._unknown_names(text)
            if self.upstream:
                yield from self._unknown_receipts(("text",), receipts_in_template(text))

    def _is_sound(self, keys: Keys) -> bool:
        return self.draft.is_sound("subscribers", self.name, *keys)

    def _refused(self, keys: Keys, part: RouteSource) -> list[str]:
        """Return the message about the part at `keys`, if it is mistaken."""

        def mistake(_keys: Keys, sentence: str, detail: str) -> ConfigurationError:
            return mistake_of(self.document, self.name, keys, sentence, detail)

        try:
            compile_route(self.name, part, mistake=mistake)
        except ConfigurationError as error:
            cause = error.__cause__
            if not isinstance(cause, ParseError):
                return [str(error)]
            return [str(mistake(keys, "is not a JMESPath expression", pointed(cause)))]
        return []

    def _unknown_names(self, text: str) -> Iterator[str]:
        """Yield a message for each name in the template that no event has."""
        environment = jinja2.Environment(autoescape=True)
        parsed = environment.parse(text)
        # Only names of events are looked for; the template was compiled with its filters before.
        environment.filters |= dict.fromkeys(
            (each.name for each in parsed.find_all(jinja2.nodes.Filter)), str
        )
        for name in sorted(jinja2.meta.find_undeclared_variables(parsed) - {*self._names, *_GLOBALS}):
            close = difflib.get_close_matches(name, self._names, n=1)
            hint = f"did you mean {close[0]}? " if close else "fields of the record are in data.fields; "
            detail = f"{name}; {hint}known: {', '.join(self._names)}"
            yield str(mistake_of(self.document, self.name, ("text",), "an event has no such name", detail))

    def _unknown_receipts(self, keys: Keys, used: Iterator[str]) -> Iterator[str]:
        """Yield a message for each receipt of a subscriber that is not upstream of this one."""
        for name in sorted(set(used) - self.upstream):
            close = difflib.get_close_matches(name, self.upstream, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            known = (
                f"upstream: {', '.join(sorted(self.upstream))}" if self.upstream else "it comes after none"
            )
            yield str(
                mistake_of(
                    self.document, self.name, keys, "no such subscriber is upstream", f"{name}; {hint}{known}"
                )
            )


def mistake_of(
    document: Document, name: SubscriberName, keys: Keys, sentence: str, detail: str
) -> ConfigurationError:
    """Return an error that names the file, the line and the key of a subscriber; a secret is not shown."""
    place = ("subscribers", name, *keys)
    whole = sentence if document.is_secret(place) else f"{sentence}: {detail}"
    return ConfigurationError(document.mistake(place, whole))


def pointed(error: ParseError) -> str:
    """Return the reason for `error`, and below it the line of the expression with a caret.

    Of an expression that looks like a secret, only the column is told.
    """
    if isinstance(error, LexerError):
        reason = error.message[:1].lower() + error.message[1:]
    elif isinstance(error, IncompleteExpressionError) or error.token_type == _END:
        reason = "it ends too soon"
    else:
        reason = f"{error.token_value} is not expected here"
    expression = error.expression or ""
    before, after = expression[: error.lex_position], expression[error.lex_position :]
    line_begin = before.rpartition("\n")[2]
    line = line_begin + after.partition("\n")[0]
    if masked(expression) != expression:
        return f"there is a mistake at its column {len(line_begin) + 1}"
    return f"{reason} (column {len(line_begin) + 1})\n    {line}\n    {' ' * len(line_begin)}^"


def _leaves(keys: Keys, shape: Any) -> Iterator[tuple[Keys, Any]]:
    """Yield the expressions of a projection, with their keys."""
    if isinstance(shape, dict | list):
        for key, part in shape.items() if isinstance(shape, dict) else enumerate(shape):
            yield from _leaves((*keys, key), part)
    else:
        yield keys, shape
