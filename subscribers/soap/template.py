"""Template of an envelope."""

from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup

from streamer.events import JsonObject
from streamer.expressions.functions import Functions
from streamer.expressions.templates import compile_content, unknown_names
from streamer.xml.elements import ElementWriter, UnfitForXml
from streamer.xml.tree import SCHEMA_INSTANCE

ELEMENTS = ElementWriter(nil=f'xmlns:xsi="{SCHEMA_INSTANCE[1:-1]}" xsi:nil="true"')
"""Writer of bodies; a document can have any envelope, so each nil element declares its namespace."""

OF_EVENT = ("id", "source", "type", "subject", "time", "key", "data")
"""Names of the event's own values, as a template sees them."""

NAMES = frozenset({*OF_EVENT, "body", "delivery_key", "namespace", "operation", "security"})
"""Names that a template of an envelope sees."""


def compile_envelope(source: str) -> Callable[[JsonObject], str]:
    """Return a function that renders `source`, with values escaped. Raises `jinja2.TemplateSyntaxError`.

    `{{ body | elements }}` writes the members of an object as elements, and
    `elements('p')` gives their names the prefix p.
    """
    return compile_content(source, "text/xml", strict=False, filters={"elements": _marked_elements})


def names_in(source: str) -> Mapping[str, int]:
    """Return the names that `source`, which compiles, expects of an event, each with its first line."""
    return dict(unknown_names(source, frozenset(), Functions()))


def _marked_elements(value: Any, prefix: str = "") -> Markup:
    if not isinstance(value, dict):
        raise UnfitForXml("elements can only be made of an object")
    return Markup(ELEMENTS.elements(value, prefix))  # noqa: S704 - all values in it are escaped
