"""Parser of SOAP envelopes that hold outbound messages (SOAP API guide, outbound messaging WSDL).

An envelope holds up to 100 notifications, each about one record. All names are
matched without their namespaces.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from streamer.events import JsonObject

MOST_NOTIFICATIONS = 100
"""Most notifications of one envelope (SOAP API guide)."""

_MOST_DEPTH = 24
_MOST_ELEMENTS = 50_000
_SCHEMA_INSTANCE = "{http://www.w3.org/2001/XMLSchema-instance}"


class MalformedEnvelope(Exception):
    """The body is no envelope with outbound messages; the text quotes nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Notifications of one organisation, in their order.

    A message is `{"organization_id", "action_id", "notification_id", "entity",
    "fields"}`. Values are text, and `None` where they are missing or nil. The
    session id and the addresses of the envelope are left out.
    """

    organization_id: str
    messages: Sequence[JsonObject]


def parse_envelope(body: bytes) -> Envelope:
    """Return the envelope in `body`; raises `MalformedEnvelope`.

    Entities and document types are refused, and so is what has more than 24
    levels, 50,000 elements or 100 notifications.
    """
    root = _parsed(body)
    notifications = _child(_child(root, "Body"), "notifications")
    if root.name != "Envelope" or notifications is None:
        raise MalformedEnvelope("not a SOAP envelope with notifications")
    organization = _text(notifications, "OrganizationId")
    if not organization:
        raise MalformedEnvelope("the envelope names no organisation")
    found = [each for each in notifications.children if each.name == "Notification"]
    if not found:
        raise MalformedEnvelope("the envelope holds no notification")
    if len(found) > MOST_NOTIFICATIONS:
        raise MalformedEnvelope(f"the envelope holds more than {MOST_NOTIFICATIONS} notifications")
    action = _text(notifications, "ActionId")
    messages = [_message(each, organization_id=organization, action_id=action) for each in found]
    return Envelope(organization_id=organization, messages=messages)


@dataclass(slots=True)
class _Element:
    name: str
    attributes: dict[str, str]
    children: list["_Element"] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


class _Builder:
    """Target of the parser: builds a tree with bounds, and stops the parser at the first excess."""

    def __init__(self) -> None:
        self._open: list[_Element] = [_Element("", {})]
        self._count = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Open an element."""
        self._count += 1
        if len(self._open) > _MOST_DEPTH or self._count > _MOST_ELEMENTS:
            raise MalformedEnvelope("the envelope has too many elements, or too many levels of them")
        element = _Element(_local(tag, "}"), attributes)
        self._open[-1].children.append(element)
        self._open.append(element)

    def end(self, _tag: str) -> None:
        """Close an element."""
        self._open.pop()

    def data(self, text: str) -> None:
        """Add text to the open element."""
        self._open[-1].texts.append(text)

    def close(self) -> _Element:
        """Return the root."""
        return self._open[0].children[0]


def _parsed(body: bytes) -> _Element:
    builder = _Builder()
    parser = DefusedXMLParser(target=builder, forbid_dtd=True)
    try:
        parser.feed(body)
        parser.close()
    except ParseError as exc:
        line, column = exc.position
        raise MalformedEnvelope(f"not well-formed XML at line {line}, column {column}") from None
    except DefusedXmlException as exc:
        raise MalformedEnvelope(f"XML that is not taken: {type(exc).__name__}") from None
    except (LookupError, ValueError):
        # An encoding that Python does not know, or that expat can't read.
        raise MalformedEnvelope("not XML in an encoding that can be read") from None
    return builder.close()


def _message(notification: _Element, **shared: str | None) -> JsonObject:
    record = _child(notification, "sObject")
    kind = record.attributes.get(f"{_SCHEMA_INSTANCE}type", "") if record else ""
    return {
        **shared,
        "notification_id": _text(notification, "Id"),
        "entity": _local(kind, ":") or None,
        "fields": _fields(record) if record else {},
    }


def _fields(element: _Element) -> JsonObject:
    fields: JsonObject = {}
    for name, value in _values(element):
        if name not in fields:
            fields[name] = value
        elif isinstance(fields[name], list):
            fields[name].append(value)
        else:
            fields[name] = [fields[name], value]
    return fields


def _values(element: _Element) -> Iterator[tuple[str, Any]]:
    for child in element.children:
        if child.attributes.get(f"{_SCHEMA_INSTANCE}nil") in {"true", "1"}:
            yield child.name, None
        else:
            yield child.name, _fields(child) if child.children else "".join(child.texts)


def _child(element: _Element | None, name: str) -> _Element | None:
    return next((child for child in element.children if child.name == name), None) if element else None


def _text(element: _Element, name: str) -> str | None:
    child = _child(element, name)
    return ("".join(child.texts).strip() or None) if child else None


def _local(name: str, separator: str) -> str:
    return name.rpartition(separator)[2]
