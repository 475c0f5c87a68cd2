"""Writer of JSON objects as XML elements."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Any
from xml.sax.saxutils import escape

from streamer.xml import NOT_IN_XML

ATTRIBUTE = "@"
"""Prefix of a key whose value becomes an attribute."""

TEXT = "#text"
"""Key of the text of an element that also has attributes."""

# Answers are read to a depth of 24 levels, and an envelope adds three levels.
_MOST_DEPTH = 20
_NAME = re.compile(r"[^\W\d][\w.-]*(:[^\W\d][\w.-]*)?")

# A parser would turn carriage returns, and white space in attributes, into other characters.
_IN_TEXT = {"\r": "&#13;"}
_IN_ATTRIBUTE = {**_IN_TEXT, '"': "&quot;", "\n": "&#10;", "\t": "&#9;"}


class UnfitForXml(ValueError):
    """A value can't be written as XML; the message names the element and the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementWriter:
    """Writes the members of JSON objects as elements, in their order.

    A list becomes one element for each item. Null becomes an element with the attribute
    `nil`. Numbers are written without exponents. With `attributes`, a key that begins
    with `@` becomes an attribute of the enclosing element, and `#text` becomes the
    element's text. `names` matches the allowed names. Characters that XML does not
    allow become `replacement`, or are refused if `replacement` is `None`. With
    `keeps_returns`, a carriage return in a text is preserved.
    """

    nil: str
    names: re.Pattern[str] = _NAME
    attributes: bool = True
    replacement: str | None = "\ufffd"
    keeps_returns: bool = True

    def elements(self, value: Mapping[str, Any], prefix: str = "") -> str:
        """Return the members of `value` as elements with the namespace `prefix`; raises `UnfitForXml`."""
        return "".join(self._members(value, f"{prefix}:" if prefix else "", 1))

    def text(self, name: str, value: Any) -> str:
        """Return a single value as the text of the element `name`; raises `UnfitForXml`."""
        return escape(self._scalar(name, value), _IN_TEXT if self.keeps_returns else {})

    def _members(self, value: Mapping[str, Any], prefix: str, depth: int) -> Iterator[str]:
        if depth > _MOST_DEPTH:
            raise UnfitForXml(f"the value is nested more than {_MOST_DEPTH} levels deep")
        for name, member in value.items():
            if self.attributes and name == TEXT:
                yield self.text(TEXT, member)
            elif not (self.attributes and name.startswith(ATTRIBUTE)):
                for item in member if isinstance(member, list) else [member]:
                    yield from self._element(self._named(name, prefix), item, prefix, depth)

    def _element(self, name: str, value: Any, prefix: str, depth: int) -> Iterator[str]:
        match value:
            case None:
                yield f"<{name} {self.nil}/>"
            case dict():
                yield f"<{name}{self._attributes(value)}>"
                yield from self._members(value, prefix, depth + 1)
                yield f"</{name}>"
            case _:
                yield f"<{name}>{self.text(name, value)}</{name}>"

    def _attributes(self, value: Mapping[str, Any]) -> str:
        if not self.attributes:
            return ""
        return "".join(
            f' {self._named(key[1:])}="{escape(self._scalar(key, each), _IN_ATTRIBUTE)}"'
            for key, each in value.items()
            if key.startswith(ATTRIBUTE) and each is not None
        )

    def _named(self, name: str, prefix: str = "") -> str:
        if not self.names.fullmatch(name):
            raise UnfitForXml(f"{name[:50]!r} is not a valid name of an element or attribute")
        return name if ":" in name else prefix + name

    def _scalar(self, name: str, value: Any) -> str:
        match value:
            case bool():
                return "true" if value else "false"
            case int():
                return str(value)
            case float() | Decimal() if isfinite(value):
                # xs:decimal has no exponents.
                return format(Decimal(repr(value)) if isinstance(value, float) else value, "f")
            case str():
                return self._holdable(name, value)
            case None:
                return ""
        raise UnfitForXml(f"{name} is a {type(value).__name__}, but must be a text or a number")

    def _holdable(self, name: str, text: str) -> str:
        if self.replacement is not None:
            return NOT_IN_XML.sub(self.replacement, text)
        if found := NOT_IN_XML.search(text):
            raise UnfitForXml(
                f"{name} contains the character U+{ord(found[0]):04X}, which XML does not allow"
            )
        return text
