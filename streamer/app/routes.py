"""Routes and look-ups of subscribers, with all mistakes in their expressions and templates."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jinja2
import jinja2.nodes
from jmespath.exceptions import IncompleteExpressionError, LexerError, ParseError

from streamer.app.plugins import service_source
from streamer.configuration import Document, Draft, Keys
from streamer.configuration.event_types import Carried, data_names
from streamer.dispatch.delivery.enrichment import LOOKUPS, EnrichmentSource, Lookup
from streamer.dispatch.delivery.route import (
    EVENT_NAMES,
    Mistake,
    Route,
    RouteSource,
    compile_projection,
    compile_route,
)
from streamer.dispatch.lookups.cache import FieldNames
from streamer.errors import ConfigurationError
from streamer.events import SubscriberName
from streamer.expressions.checks import WHOLE, ExpressionMistake, names_read, unknown_member
from streamer.expressions.functions import Functions
from streamer.expressions.receipts import RECEIPTS, receipts_in_expression, receipts_in_template
from streamer.expressions.templates import mistaken_calls, sentence_of, unknown_members, unknown_names
from streamer.ports import ServiceSource
from streamer.settings import LookupSettings, Settings, SubscriberSettings

_END = "EOF"
_CONTENT: Keys = ("content", "template")

OWN_RECORD = "record"
"""Name of the look-up that reads the event's own record by default."""

_TAKEN = frozenset({*EVENT_NAMES, LOOKUPS, "receipts"})
_OF_RECORDS = (Carried(kind="cdc", name=None), Carried(kind="outbound", name=None))


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberRoute:
    """Expressions and templates in the valid settings of one subscriber."""

    name: SubscriberName
    settings: SubscriberSettings
    draft: Draft
    document: Document
    functions: Functions = field(default_factory=Functions)
    upstream: frozenset[SubscriberName] = frozenset()

    @property
    def more(self) -> tuple[str, ...]:
        """Additional names in the subscriber's expressions, besides every event's names."""
        receipts = (RECEIPTS,) if self.upstream else ()
        return (*receipts, *self._lookups)

    @property
    def _lookups(self) -> tuple[str, ...]:
        enrich = self.settings.enrich
        return (*enrich, LOOKUPS) if enrich else ()

    def compiled(self) -> Route:
        """Return the compiled route. Raises `ConfigurationError` for the first mistake."""
        content = self.settings.content
        source = replace(
            self._source,
            when=self.settings.when,
            body=self.settings.body,
            text=self.settings.text,
            content=content.template if content else None,
        )
        return compile_route(self.name, source, mistake=self._mistake, functions=self.functions)

    def enrichment(self) -> EnrichmentSource | None:
        """Return the compiled look-ups, or `None`; raises `ConfigurationError` for the first mistake."""
        if not self.settings.enrich:
            return None
        enrich = self.settings.enrich
        compiled = compiled_lookups(enrich, self._mistake, self.functions, self.more)
        return EnrichmentSource(
            lookups=tuple(
                replace(each, service=self._service(each.name, enrich[each.name])) for each in compiled
            )
        )

    def mistakes(self) -> Iterator[str]:
        """Yield a message for each mistake. In an expression, a caret below the text marks the column."""
        ids = [(("enrich", name, "id"), each.id) for name, each in self.settings.enrich.items()]
        for keys, part in [*ids, (("when",), self.settings.when), *_leaves(("body",), self.settings.body)]:
            if isinstance(part, str) and self._is_sound(keys):
                yield from self._refused(keys, replace(self._source, when=part)) or self._unknown_receipts(
                    keys, receipts_in_expression(part)
                )
        text, content = self.settings.text, self.settings.content
        if text is not None and self._is_sound(("text",)):
            yield from self._mistakes_of_template(("text",), text, replace(self._source, text=text))
        if content is not None and self._is_sound(("content",)):
            source = replace(self._source, content=content.template)
            yield from self._mistakes_of_template(_CONTENT, content.template, source)
        yield from lookup_mistakes(self.settings, self._is_sound, self._mistake)
        for name, each in self.settings.enrich.items():
            if self._is_sound(("enrich", name)):
                yield from self._mistakes_of_service(name, each)

    def _mistakes_of_service(self, name: str, lookup: LookupSettings) -> list[str]:
        try:
            self._service(name, lookup)
        except ConfigurationError as error:
            return str(error).split("\n")
        return []

    def _service(self, name: str, lookup: LookupSettings) -> ServiceSource | None:
        return service_source(lookup, self.document, ("subscribers", self.name, "enrich", name))

    @property
    def _source(self) -> RouteSource:
        """Source without expressions and templates."""
        settings = self.settings
        return RouteSource(
            content_type=settings.content.type if settings.content else "",
            keep_null=settings.keep_null,
            strict=settings.strict,
            more=self.more,
            lookups=self._lookups,
            data_names=data_names(self.settings.on),
        )

    def _is_sound(self, keys: Keys) -> bool:
        return self.draft.is_sound("subscribers", self.name, *keys)

    def _refused(self, keys: Keys, part: RouteSource) -> list[str]:
        """Return the message about the part at `keys`, if it has a mistake."""

        def mistake(_keys: Keys, sentence: str, detail: str) -> ConfigurationError:
            return self._mistake(keys, sentence, detail)

        try:
            compile_route(self.name, part, mistake=mistake, functions=self.functions)
        except ConfigurationError as error:
            match error.__cause__:
                case ParseError() as cause:
                    return [self._pointed(keys, "is not a JMESPath expression", _reason(cause, keys), cause)]
                case ExpressionMistake() as cause:
                    return [self._pointed(keys, cause.sentence, cause.detail, cause)]
                case jinja2.TemplateSyntaxError() as cause:
                    detail = f"line {cause.lineno}: {cause.message}"
                    return [str(self._mistake(keys, sentence_of(cause), detail, at=(cause.lineno,)))]
            return [str(error)]
        return []

    def _pointed(self, keys: Keys, sentence: str, reason: str, error: ParseError | ExpressionMistake) -> str:
        expression, position = error.expression or "", error.lex_position
        at = (expression.count("\n", 0, position) + 1, _column(expression, position))
        return str(self._mistake(keys, sentence, pointed_at(expression, position, reason), at=at))

    def _mistakes_of_template(self, keys: Keys, text: str, source: RouteSource) -> Iterator[str]:
        """Yield a template's mistakes: its syntax, or else its names and calls."""
        if refused := self._refused(keys, source):
            yield from refused
            return
        names = source.names
        for name, line in unknown_names(text, frozenset(names), self.functions):
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]}? " if close else "fields of the record are in data.fields; "
            detail = f"{name}; {hint}known: {', '.join(names)}"
            yield str(self._mistake(keys, "an event has no member with this name", detail, at=(line,)))
        for name, line in unknown_members(text, source.data_names):
            sentence, detail = unknown_member(name, source.data_names)
            yield str(self._mistake(keys, sentence, detail, at=(line,)))
        for sentence, line in mistaken_calls(text, self.functions):
            yield str(self._mistake(keys, "a function is called wrongly", sentence, at=(line,)))
        if self.upstream:
            yield from self._unknown_receipts(keys, receipts_in_template(text))

    def _unknown_receipts(self, keys: Keys, used: Iterator[str]) -> Iterator[str]:
        """Yield a message for each receipt whose subscriber is not upstream."""
        for name in sorted(set(used) - self.upstream):
            close = difflib.get_close_matches(name, self.upstream, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            told = f"{name}; {hint}earlier subscribers: {', '.join(sorted(self.upstream))}"
            yield str(self._mistake(keys, "no earlier subscriber has this name", told))

    def _mistake(
        self, keys: Keys, sentence: str, detail: str, *, at: tuple[int, ...] = (1,)
    ) -> ConfigurationError:
        return mistake_of(self.document, (self.name, *keys), sentence, detail, at=at)


def functions_of(settings: Settings, document: Document) -> Functions:
    """Return the functions that the expressions of `settings` can call.

    If a table or a hash key has a mistake, only its name is known here.
    """
    keys = {name: key.get_secret_value().encode() for name, key in settings.hash_keys.items()}
    return Functions(
        {**{name: {} for name in _names_in(document, "tables")}, **settings.tables},
        {**dict.fromkeys(_names_in(document, "hash_keys"), b""), **keys},
    )


def _names_in(document: Document, section: str) -> list[str]:
    found = document.at((section,))
    return [str(name) for name in found] if isinstance(found, dict) else []


def named_by(subscriber: SubscriberSettings, settings: Settings) -> tuple[object, object]:
    """Return the tables and the hash keys that the subscriber's expressions can use."""
    ids = [each.id for each in subscriber.enrich.values()]
    written = repr((subscriber.when, subscriber.body, subscriber.text, subscriber.content, ids))
    return (
        settings.tables if "lookup" in written else None,
        settings.hash_keys if "hmac_sha256" in written else None,
    )


def mistake_of(
    document: Document, keys: Keys, sentence: str, detail: str, *, at: tuple[int, ...] = (1,)
) -> ConfigurationError:
    """Return an error with the file, the line and the key of a subscriber, without secrets.

    `keys` begin with the subscriber's name. `at` is the line, with an optional
    column, within the text at `keys`.
    """
    place = ("subscribers", *keys)
    whole = sentence if document.is_secret(place) else f"{sentence}: {detail}"
    return ConfigurationError(document.mistake(place, whole, at=at))


def _reason(error: ParseError, keys: Keys) -> str:
    """Return the reason for `error` at `keys`, with a remedy if the user wrote a template."""
    if (error.expression or "").lstrip().startswith("{{"):
        # People often write templates in a body first.
        meant = "; to join several parts, write join('', [a, b])" if "body" in keys else ""
        return (
            "a template's {{ }} works only in text and content; write only the expression between "
            f"the braces{meant}"
        )
    if isinstance(error, LexerError):
        return str(error.message[:1].lower() + error.message[1:])
    if isinstance(error, IncompleteExpressionError) or error.token_type == _END:
        return "the expression ends too soon"
    found = str(error.token_value)
    return f"{found} is not expected here" + (f"; write `{found}`, in backticks" if found.isdigit() else "")


def pointed_at(expression: str, position: int, reason: str) -> str:
    """Return `reason`, followed by the line of `expression` with a caret at `position`.

    For an expression that looks like a secret, the message gives only the column.
    """
    column = _column(expression, position)
    begin = position - column + 1
    line = expression[begin:].partition("\n")[0]
    from streamer.observe.redaction import masked  # noqa: PLC0415 - only a mistake needs it

    if masked(expression) != expression:
        return f"mistake at column {column}"
    return f"{reason} (column {column})\n    {line}\n    {' ' * (column - 1)}^"


def _column(expression: str, position: int) -> int:
    return position - (expression.rfind("\n", 0, position) + 1) + 1


def _leaves(keys: Keys, shape: Any) -> Iterator[tuple[Keys, Any]]:
    """Yield the expressions of a projection, with their keys."""
    if isinstance(shape, dict | list):
        for key, part in shape.items() if isinstance(shape, dict) else enumerate(shape):
            yield from _leaves((*keys, key), part)
    else:
        yield keys, shape


def compiled_lookups(
    enrich: Mapping[str, LookupSettings], mistake: Mistake, functions: Functions, more: tuple[str, ...]
) -> Iterator[Lookup]:
    """Yield the compiled look-ups. Raises the error that `mistake` returns for the first mistake.

    The expressions see the names in `more` in addition to every event's names.
    """
    above: list[str] = []
    for name, each in enrich.items():
        keys: Keys = ("enrich", name, "id")
        needs = _read_by(each.id)
        yield Lookup(
            name=name,
            fields=FieldNames.of(*each.fields),
            sobject=each.state or each.sobject,
            of_states=each.state is not None,
            record_id=None
            if each.id is None
            else compile_projection(each.id, keys, mistake=mistake, more=more, functions=functions),
            needs=frozenset(above if WHOLE in needs else needs.intersection(above)),
        )
        above.append(name)


def lookup_mistakes(
    settings: SubscriberSettings, is_sound: Callable[[Keys], bool], mistake: Mistake
) -> Iterator[str]:
    """Yield a message for each conflict between valid keys in a subscriber's look-ups."""
    below = set(settings.enrich)
    for name, each in settings.enrich.items():
        keys: Keys = ("enrich", name)
        if not is_sound(keys):
            below.discard(name)
            continue
        for where, sentence, detail in _mistakes(name, each, settings, below):
            yield str(mistake((*keys, *where), sentence, detail))
        below.discard(name)


def _mistakes(
    name: str, lookup: LookupSettings, settings: SubscriberSettings, below: set[str]
) -> Iterator[tuple[Keys, str, str]]:
    if name in _TAKEN:
        yield (
            (),
            "expressions already use this name for something else",
            f"{name}; choose another name for this look-up",
        )
    if lookup.http is not None:
        yield from _mistakes_of_service(lookup)
    elif lookup.state is not None:
        yield from _mistakes_of_state(lookup.state, lookup, settings)
    elif name != OWN_RECORD or lookup.sobject or lookup.id:
        for key, example in (("sobject", "Account"), ("id", "data.fields.AccountId")):
            if getattr(lookup, key) is None:
                detail = (
                    f"write for example {example}; only the look-up {OWN_RECORD} works without sobject and id"
                )
                yield (key,), "is missing", detail
    elif settings.on and not any(kind.can_match(each) for each in settings.on for kind in _OF_RECORDS):
        yield (), "the event types in on have no record", "set sobject and id"
    if late := sorted(_read_by(lookup.id) & (below - _TAKEN)):
        detail = f"{late[0]}; move this look-up below {late[0]}"
        yield ("id",), "reads a look-up that runs later", detail


def _mistakes_of_state(
    entity: str, lookup: LookupSettings, settings: SubscriberSettings
) -> Iterator[tuple[Keys, str, str]]:
    if lookup.sobject is not None:
        yield ("sobject",), "has no effect with state", "set either state or sobject"
    own = f"salesforce.cdc.{entity}."
    if lookup.id is None and any(not each.startswith(own) for each in settings.on):
        yield (
            ("id",),
            "is missing",
            f"write for example data.fields.{entity}Id; without id, on may only have types such as {own}*",
        )


def _mistakes_of_service(lookup: LookupSettings) -> Iterator[tuple[Keys, str, str]]:
    if lookup.id is None:
        yield (
            ("id",),
            "is missing",
            "write for example data.fields.ERP_Id__c; a look-up with http has no default id",
        )
    for key in ("sobject", "state"):
        if getattr(lookup, key) is not None:
            yield (key,), "has no effect with http", f"set either http or {key}"
    known: dict[str, str] = {}
    for each in lookup.fields:
        if known.setdefault(each.lower(), each) != each:
            yield (
                ("fields",),
                "two names differ only in upper and lower case",
                f"{known[each.lower()]} and {each}",
            )


def _read_by(expression: str | None) -> frozenset[str]:
    try:
        return names_read(expression) if expression is not None else frozenset()
    except ValueError:
        # An expression that does not compile is reported as a mistake elsewhere.
        return frozenset()
