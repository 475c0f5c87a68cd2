"""Trees of XML from outside, parsed within limits."""

from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

SCHEMA_INSTANCE = "{http://www.w3.org/2001/XMLSchema-instance}"
"""Namespace of attributes such as `xsi:nil`, as a prefix of their names."""

_MOST_DEPTH = 24
_MOST_ELEMENTS = 50_000


class MalformedXml(Exception):
    """The bytes are not acceptable XML; the message does not quote them."""


@dataclass(slots=True)
class Element:
    """One element; `name` does not include the `namespace`."""

    name: str
    attributes: dict[str, str]
    children: list["Element"] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    namespace: str = ""

    @property
    def content(self) -> str:
        """Text directly within the element, without its children."""
        return "".join(self.texts)

    @property
    def value(self) -> Any:
        """Value of the element: the element's text, or an object of its children, or `None` for nil."""
        if self.attributes.get(f"{SCHEMA_INSTANCE}nil") in {"true", "1"}:
            return None
        return self.values() if self.children else self.content

    def child(self, name: str) -> "Element | None":
        """Return the first child with this name, or `None`."""
        return next((child for child in self.children if child.name == name), None)

    def text(self, name: str) -> str | None:
        """Return the text of the first child with this name; `None` if the child is empty or missing."""
        child = self.child(name)
        return (child.content.strip() or None) if child else None

    def values(self) -> dict[str, Any]:
        """Return the values of the children by name; repeated children become a list."""
        values: dict[str, Any] = {}
        for child in self.children:
            if child.name not in values:
                values[child.name] = child.value
            elif isinstance(values[child.name], list):
                values[child.name].append(child.value)
            else:
                values[child.name] = [values[child.name], child.value]
        return values


def parse_xml(body: bytes) -> Element:
    """Return the root of the document in `body`; raises `MalformedXml`.

    A document with entities, a document type, more than 24 levels or more than 50,000
    elements is refused.
    """
    builder = _Builder()
    parser = DefusedXMLParser(target=builder, forbid_dtd=True)
    try:
        parser.feed(body)
        parser.close()
    except ParseError as exc:
        line, column = exc.position
        raise MalformedXml(f"not well-formed XML at line {line}, column {column}") from None
    except DefusedXmlException as exc:
        raise MalformedXml(f"the XML contains a forbidden construct: {type(exc).__name__}") from None
    except (LookupError, ValueError):
        # Python does not know the encoding, or expat can't read it.
        raise MalformedXml("not XML, or XML in an unknown encoding") from None
    return builder.close()


class _Builder:
    """Target of the parser, which builds a limited tree, and stops the parser when a limit is exceeded."""

    def __init__(self) -> None:
        self._open: list[Element] = [Element("", {})]
        self._count = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Open an element."""
        self._count += 1
        if len(self._open) > _MOST_DEPTH or self._count > _MOST_ELEMENTS:
            raise MalformedXml("the XML has too many elements or too many levels")
        namespace, _, name = tag.removeprefix("{").rpartition("}")
        element = Element(name, attributes, namespace=namespace)
        self._open[-1].children.append(element)
        self._open.append(element)

    def end(self, _tag: str) -> None:
        """Close an element."""
        self._open.pop()

    def data(self, text: str) -> None:
        """Add text to the open element."""
        self._open[-1].texts.append(text)

    def close(self) -> Element:
        """Return the root."""
        return self._open[0].children[0]
