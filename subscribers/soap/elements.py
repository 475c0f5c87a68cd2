"""XML elements of a JSON object."""

import re
from collections.abc import Iterator
from decimal import Decimal
from math import isfinite
from typing import Any
from xml.sax.saxutils import escape

from streamer.events import JsonObject
from streamer.xml_tree import SCHEMA_INSTANCE

ATTRIBUTE = "@"
"""Beginning of a key whose value becomes an attribute."""

TEXT = "#text"
"""Key of the text of an element that has attributes too."""

# An answer is read to 24 levels; an envelope has three of its own.
_MOST_DEPTH = 20
_NAME = re.compile(r"[^\W\d][\w.-]*(:[^\W\d][\w.-]*)?")
# XML 1.0, section 2.2.
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NIL = f'xmlns:xsi="{SCHEMA_INSTANCE[1:-1]}" xsi:nil="true"'
_IN_TEXT = {"\r": "&#13;"}
_IN_ATTRIBUTE = {**_IN_TEXT, '"': "&quot;", "\n": "&#10;", "\t": "&#9;"}


class UnfitForXml(ValueError):
    """The event can't be written as XML; the message names the element and the reason."""


def elements(value: JsonObject, prefix: str = "") -> str:
    """Return the members of `value` as elements in their order, with the namespace `prefix` on each name.

    A list becomes one element for each item, null an element that is nil, and
    numbers are written without exponents. A key that begins with `@` is an
    attribute of the element around it, and `#text` is the element's text.
    Raises `UnfitForXml`.
    """
    return "".join(_members(value, f"{prefix}:" if prefix else "", 1))


def _members(value: JsonObject, prefix: str, depth: int) -> Iterator[str]:
    if depth > _MOST_DEPTH:
        raise UnfitForXml(f"it is nested more than {_MOST_DEPTH} levels deep")
    for name, member in value.items():
        if name == TEXT:
            yield escape(_scalar(TEXT, member), _IN_TEXT)
        elif not name.startswith(ATTRIBUTE):
            for item in member if isinstance(member, list) else [member]:
                yield from _element(_named(name, prefix), item, prefix, depth)


def _element(name: str, value: Any, prefix: str, depth: int) -> Iterator[str]:
    match value:
        case None:
            yield f"<{name} {_NIL}/>"
        case dict():
            attributes = "".join(
                f' {_named(key[1:])}="{escape(_scalar(key, each), _IN_ATTRIBUTE)}"'
                for key, each in value.items()
                if key.startswith(ATTRIBUTE) and each is not None
            )
            yield f"<{name}{attributes}>"
            yield from _members(value, prefix, depth + 1)
            yield f"</{name}>"
        case _:
            yield f"<{name}>{escape(_scalar(name, value), _IN_TEXT)}</{name}>"


def _named(name: str, prefix: str = "") -> str:
    if not _NAME.fullmatch(name):
        raise UnfitForXml(f"{name[:50]!r} is no name of an element or an attribute")
    return name if ":" in name else prefix + name


def _scalar(name: str, value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() | Decimal() if isfinite(value):
            # xs:decimal has no exponents.
            return format(Decimal(repr(value)) if isinstance(value, float) else value, "f")
        case str():
            # As a template does with what no document can hold.
            return _NOT_IN_XML.sub("\ufffd", value)
        case None:
            return ""
    raise UnfitForXml(f"{name} holds a {type(value).__name__} where a text or a number is needed")
