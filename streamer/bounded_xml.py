"""XML from outside: of bounded depth and number of elements, without document types and entities."""

from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

SCHEMA_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
"""Namespace of `nil` and `type`, which a document's elements carry."""

_MOST_DEPTH = 24
_MOST_ELEMENTS = 50_000


class MalformedXml(Exception):
    """The text is no XML that is taken; the message quotes nothing of it."""


@dataclass(slots=True)
class Element:
    """Element with its local `name`; an attribute is named `{namespace}name`, or `name` without one."""

    name: str
    namespace: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    children: list["Element"] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Text directly in the element, without the text of its children."""
        return "".join(self.texts)

    def child(self, name: str) -> "Element | None":
        """Return the first child with the local `name`."""
        return next((child for child in self.children if child.name == name), None)

    def members(self) -> dict[str, Any]:
        """Return the children as JSON: texts, objects, lists where a name is repeated, and `None` for nil."""
        found: dict[str, Any] = {}
        for child in self.children:
            value = child.value
            if child.name not in found:
                found[child.name] = value
            elif isinstance(found[child.name], list):
                found[child.name].append(value)
            else:
                found[child.name] = [found[child.name], value]
        return found

    @property
    def value(self) -> Any:
        """Text, or the children as JSON; `None` for nil."""
        if self.attributes.get(f"{{{SCHEMA_INSTANCE}}}nil") in {"true", "1"}:
            return None
        return self.members() if self.children else self.text


class _Builder:
    """Target of the parser: builds a tree with bounds, and stops the parser at the first excess."""

    def __init__(self) -> None:
        self._open: list[Element] = [Element("")]
        self._count = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Open an element."""
        self._count += 1
        if len(self._open) > _MOST_DEPTH or self._count > _MOST_ELEMENTS:
            raise MalformedXml(
                f"XML with more than {_MOST_ELEMENTS:,} elements, or more than {_MOST_DEPTH} levels of them"
            )
        namespace, _, name = tag.removeprefix("{").rpartition("}")
        element = Element(name, namespace, attributes)
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


def parse_xml(body: bytes) -> Element:
    """Return the root of the document in `body`; raises `MalformedXml`.

    Entities and document types are refused, and so is a document with more than
    24 levels or 50,000 elements.
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
        raise MalformedXml(f"XML that is not taken: {type(exc).__name__}") from None
    except (LookupError, ValueError):
        # An encoding that Python does not know, or that expat can't read.
        raise MalformedXml("not XML in an encoding that can be read") from None
    return builder.close()
