"""Template of an envelope."""

from collections.abc import Callable
from typing import Any

import jinja2
import jinja2.meta
from markupsafe import Markup

from streamer.dispatch.attempt.template import compile_template
from streamer.events import JsonObject
from subscribers.soap.elements import UnfitForXml, elements

OF_EVENT = ("id", "source", "type", "subject", "time", "key", "data")
"""Names of the event's own values, as a template sees them."""

NAMES = frozenset({*OF_EVENT, "body", "delivery_key", "namespace", "operation", "security"})
"""Names that a template of an envelope sees."""


def compile_envelope(source: str) -> Callable[[JsonObject], str]:
    """Return a function that renders `source`, with values escaped. Raises `jinja2.TemplateSyntaxError`.

    `{{ body | elements }}` writes the members of an object as elements, and
    `elements('p')` gives their names the prefix p.
    """
    return compile_template(source, strict=False, xml=True, filters={"elements": _marked_elements})


def names_in(source: str) -> set[str]:
    """Return the names that `source`, which compiles, expects of an event."""
    environment = jinja2.Environment(autoescape=True)
    environment.filters["elements"] = _marked_elements
    return jinja2.meta.find_undeclared_variables(environment.parse(source)) - environment.globals.keys()


def _marked_elements(value: Any, prefix: str = "") -> Markup:
    if not isinstance(value, dict):
        raise UnfitForXml("elements can only be made of an object")
    # All values in it are escaped.
    return Markup(elements(value, prefix))  # noqa: S704
