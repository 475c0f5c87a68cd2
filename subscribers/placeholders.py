"""Texts with placeholders for values of an event, such as the topic `salesforce/{entity}/{record_id}`."""

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator

from streamer.events import Delivery, Event
from subscribers.expression import Query

_EXPRESSIONS = {
    "entity": "data.entity",
    "record_id": "subject",
    "subject": "subject",
    "type": "type",
    "id": "id",
    "key": "key",
}
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_PATH = re.compile(r"(data|body|receipts)(\.[A-Za-z_]\w*)+")
_ALLOWED = "entity, record_id, change, type, subject, id or key, or a path such as data.fields.Name"

Escape = Callable[[str], str]
"""Function that escapes a value for the text around it."""


class Unfilled(ValueError):
    """The event has no value for a placeholder; the message names the placeholder."""


def _parses(text: str) -> str:
    for name in _PLACEHOLDER.findall(text):
        if name != "change" and name not in _EXPRESSIONS and not _PATH.fullmatch(name):
            raise ValueError(f"{{{name[:40]}}} is not a placeholder: write {_ALLOWED} between braces")
    if re.search(r"[{}]", _PLACEHOLDER.sub("", text)):
        raise ValueError(f"has an unmatched brace: a placeholder is {{…}} around {_ALLOWED}")
    return text


PlaceholderText = Annotated[str, AfterValidator(_parses)]
"""Text in which `{entity}`, `{record_id}`, `{change}`, `{type}`, `{subject}`, `{id}`, `{key}` and paths
such as `{data.fields.Name}`, `{body.city}` or `{receipts.invoice.number}` stand for values of the event."""


class Template:
    """Compiled `PlaceholderText`."""

    def __init__(self, text: str) -> None:
        literals = _PLACEHOLDER.split(text)
        # With one group in the pattern, split returns literals and names alternately.
        self._literals = literals[::2]
        self._values = [(name, _value(name)) for name in literals[1::2]]

    @property
    def literals(self) -> tuple[str, ...]:
        """Literal texts around the placeholders."""
        return tuple(self._literals)

    @property
    def is_fixed(self) -> bool:
        """True for a text without placeholders."""
        return not self._values

    def filled(self, delivery: Delivery, escape: Escape) -> str:
        """Return the text with the values of `delivery`, each escaped by `escape`.

        A value is a text or a whole number. Raises `Unfilled`.
        """
        parts = [self._literals[0]]
        for (name, value), literal in zip(self._values, self._literals[1:], strict=True):
            found = value(delivery)
            if found is None:
                raise Unfilled(f"the event has no text and no whole number for {{{name}}}")
            parts += escape(found), literal
        return "".join(parts)


def _value(name: str) -> Callable[[Delivery], str | None]:
    if name == "change":
        return lambda delivery: _change(delivery.event)
    return Query(_EXPRESSIONS.get(name, name)).name_of


def _change(event: Event) -> str | None:
    """Return the change of an event about a record, such as `updated`; otherwise `None`."""
    kind, _, change = event.type.rpartition(".")
    return change if kind.startswith(("salesforce.cdc.", "salesforce.topic.")) else None
