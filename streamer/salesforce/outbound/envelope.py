"""SOAP envelopes of outbound messages: parsing, answers and masking (SOAP API guide).

An envelope has up to 100 notifications, each about one record. Element names are
compared without their namespaces.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from xml.sax.saxutils import escape

from aiohttp import web

from streamer.events import JsonObject
from streamer.xml.tree import SCHEMA_INSTANCE, Element, MalformedXml, parse_xml

MOST_NOTIFICATIONS = 100
"""Largest number of notifications of one envelope (SOAP API guide)."""


class MalformedEnvelope(Exception):
    """The body is not an envelope with outbound messages; the error does not quote the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationsEnvelope:
    """Notifications of one org, in their order.

    A message is `{"organization_id", "action_id", "notification_id", "entity",
    "fields"}`. All values except `fields` are texts, or `None` if they are missing.
    """

    organization_id: str
    messages: Sequence[JsonObject]


def parse_envelope(body: bytes) -> NotificationsEnvelope:
    """Return the envelope in `body`. Raises `MalformedEnvelope`.

    The parser refuses XML entities, document types, more than 24 levels, more than
    50,000 elements, and more than 100 notifications.
    """
    try:
        root = parse_xml(body)
    except MalformedXml as exc:
        raise MalformedEnvelope(str(exc)) from None
    content = root.child("Body")
    notifications = content.child("notifications") if content else None
    if root.name != "Envelope" or notifications is None:
        raise MalformedEnvelope("not a SOAP envelope with notifications")
    organization = notifications.text("OrganizationId")
    if not organization:
        raise MalformedEnvelope("the envelope names no organisation")
    found = [each for each in notifications.children if each.name == "Notification"]
    if not found:
        raise MalformedEnvelope("the envelope has no notification")
    if len(found) > MOST_NOTIFICATIONS:
        raise MalformedEnvelope(f"the envelope has more than {MOST_NOTIFICATIONS} notifications")
    action = notifications.text("ActionId")
    messages = [_message(each, organization_id=organization, action_id=action) for each in found]
    return NotificationsEnvelope(organization_id=organization, messages=messages)


def _message(notification: Element, **shared: str | None) -> JsonObject:
    record = notification.child("sObject")
    kind = record.attributes.get(f"{SCHEMA_INSTANCE}type", "") if record else ""
    return {
        **shared,
        "notification_id": notification.text("Id"),
        "entity": kind.rpartition(":")[2] or None,
        "fields": record.values() if record else {},
    }


_ANSWER_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    "{body}</soapenv:Body></soapenv:Envelope>"
)
_ACKNOWLEDGEMENT = (
    '<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack>'
    "</notificationsResponse>"
)
_FAULT = (
    "<soapenv:Fault><faultcode>soapenv:{code}</faultcode>"
    "<faultstring>{sentence}</faultstring></soapenv:Fault>"
)
_SERVER_ERRORS = 500


class EndpointOutcome(StrEnum):
    """Result of a request to the endpoint."""

    ACKNOWLEDGED = "acknowledged"
    SET_ASIDE = "set_aside"
    """Acknowledged, but unreadable, and therefore kept as a dead letter."""
    UNKNOWN_ADDRESS = "unknown_address"
    """No message has this name, or the secret is wrong."""
    REFUSED_CLIENT = "refused_client"
    """The client's certificate has another subject."""
    NOT_OWNED = "not_owned"
    """Another process reads the channel, or no process reads it at the moment."""
    BROKEN_OFF = "broken_off"
    """The body did not arrive completely."""
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"
    WRONG_ORGANIZATION = "wrong_organization"
    UNAVAILABLE = "unavailable"
    """The log did not accept the notifications in time."""
    FAILED = "failed"


def acknowledgement() -> web.Response:
    """Return the answer that acknowledges all notifications of an envelope."""
    return _answer(_ACKNOWLEDGEMENT, status=200)


def fault(status: int, sentence: str) -> web.Response:
    """Return a SOAP fault; Salesforce then sends the notifications again."""
    code = "Server" if status >= _SERVER_ERRORS else "Client"
    return _answer(_FAULT.format(code=code, sentence=escape(sentence)), status=status)


def _answer(body: str, *, status: int) -> web.Response:
    return web.Response(
        text=_ANSWER_ENVELOPE.format(body=body),
        status=status,
        content_type="text/xml",
        charset="utf-8",
        headers={"Cache-Control": "no-store"},
    )


_SECRET_ELEMENTS = re.compile(
    rb"(<(?:[\w.-]{1,64}:)?(SessionId|EnterpriseUrl|PartnerUrl)\b[^<>]{0,512}>)[^<]*", re.IGNORECASE
)
_SESSION_ID = re.compile(rb"00D[0-9A-Za-z]{12,15}![^\s<\"']*")


def masked_envelope(body: bytes) -> bytes:
    """Return `body` without its session id and its addresses, whether `body` is XML or not.

    Zero bytes, which UTF-16 puts between letters, are removed.
    """
    plain = body.replace(b"\0", b"")
    return _SESSION_ID.sub(b"***", _SECRET_ELEMENTS.sub(rb"\1***", plain))
