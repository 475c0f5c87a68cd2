"""Compiler of envelope templates."""

from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup

from streamer.events import JsonObject
from streamer.expressions.functions import Functions
from streamer.expressions.templates import compile_content, unknown_names
from streamer.xml.elements import ElementWriter, UnfitForXml
from streamer.xml.tree import SCHEMA_INSTANCE

ELEMENTS = ElementWriter(nil=f'xmlns:xsi="{SCHEMA_INSTANCE[1:-1]}" xsi:nil="true"')
"""Writer of bodies; each nil element declares the namespace `xsi`, because a template can lack it."""

OF_EVENT = ("id", "source", "type", "subject", "time", "key", "data")
"""Names of the event's own values in a template."""

NAMES = frozenset({*OF_EVENT, "body", "delivery_key", "namespace", "operation", "security"})
"""Names that an envelope template can use."""


def compile_envelope(source: str) -> Callable[[JsonObject], str]:
    """Return a function that renders `source` with escaped values; raises `jinja2.TemplateSyntaxError`.

    `{{ body | elements }}` writes the members of an object as elements, and
    `elements('p')` adds the prefix p to their names.
    """
    return compile_content(source, "text/xml", strict=False, filters={"elements": _marked_elements})


def names_in(source: str) -> Mapping[str, int]:
    """Return the names that the valid template `source` reads, each with the number of its first line."""
    return dict(unknown_names(source, frozenset(), Functions()))


def _marked_elements(value: Any, prefix: str = "") -> Markup:
    if not isinstance(value, dict):
        raise UnfitForXml("the filter elements needs an object")
    return Markup(ELEMENTS.elements(value, prefix))  # noqa: S704 - all values in it are escaped
