"""Parser of SOAP envelopes that hold outbound messages (SOAP API guide, outbound messaging WSDL).

An envelope holds up to 100 notifications, each about one record. Names are compared
without their namespaces.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from streamer.events import JsonObject
from streamer.xml.tree import SCHEMA_INSTANCE, Element, MalformedXml, parse_xml

MOST_NOTIFICATIONS = 100
"""Most notifications of one envelope (SOAP API guide)."""


class MalformedEnvelope(Exception):
    """The body is not an envelope with outbound messages; the text does not quote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationsEnvelope:
    """Notifications of one org, in their order.

    A message is `{"organization_id", "action_id", "notification_id", "entity",
    "fields"}`. Each value is text, or `None` if missing.
    """

    organization_id: str
    messages: Sequence[JsonObject]


def parse_envelope(body: bytes) -> NotificationsEnvelope:
    """Return the envelope in `body`; raises `MalformedEnvelope`.

    It refuses entities, document types, and more than 24 levels, 50,000 elements or
    100 notifications.
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
        raise MalformedEnvelope("the envelope holds no notification")
    if len(found) > MOST_NOTIFICATIONS:
        raise MalformedEnvelope(f"the envelope holds more than {MOST_NOTIFICATIONS} notifications")
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
