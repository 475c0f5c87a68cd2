"""CloudEvents 1.0: the attributes of an event, and a delivery as a message.

The Kafka, HTTP and MQTT protocol bindings 1.0 define the modes. In binary
mode, headers or properties hold the attributes; in structured mode, attributes and
data are one document.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from streamer.events import Content, Delivery, Event, JsonObject, Reject, Skip, replay_id_to_text
from streamer.exact_json import exact_json

STRUCTURED = b"application/cloudevents+json"
"""Content type of an event in structured mode."""

JSON = b"application/json"
"""Content type of an event's data."""

_STRUCTURED, _JSON = STRUCTURED.decode(), JSON.decode()

ContentMode = Literal["binary", "structured", "plain"]
"""Place of the attributes: beside the data (binary), in its document (structured), or nowhere (plain)."""


def binary_headers(event: Event, event_type: bytes) -> dict[str, str | bytes | None]:
    """Return the attributes of `event` as headers; `event_type` is its type in UTF-8."""
    replay_id, subject = event.replay_id, event.subject
    headers: dict[str, str | bytes | None] = {
        "ce_specversion": b"1.0",
        "ce_type": event_type,
        "ce_id": event.id,
        "ce_source": event.source,
        "ce_time": event.time,
        "ce_sfchannel": event.channel,
        "ce_sfreplayid": replay_id if replay_id.isdigit() else replay_id_to_text(replay_id),
        "content-type": JSON,
    }
    if subject is not None:
        headers["ce_subject"] = subject
    return headers


def attributes(event: Event) -> dict[str, str]:
    """Return the attributes of `event` as texts; the event's channel and replay id are extensions."""
    named = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": event.time,
        "sfchannel": event.channel,
        "sfreplayid": replay_id_to_text(event.replay_id),
    }
    return named if event.subject is None else {**named, "subject": event.subject}


def structured_document(event: Event, data: Any) -> JsonObject:
    """Return the structured document of `event` with `data`."""
    return {**attributes(event), "datacontenttype": "application/json", "data": data}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Content with its media type; in binary mode, `attributes` are the CloudEvent's attributes."""

    content: Content
    attributes: Mapping[str, str] = field(default_factory=dict)


def data_of(delivery: Delivery) -> Any:
    """Return the subscriber's `body` or, without a body, the event's data."""
    return delivery.event.data if delivery.body is None else delivery.body


def document(delivery: Delivery) -> JsonObject:
    """Return the CloudEvent as one JSON object; its data is the subscriber's `content` or `body`."""
    content = delivery.content
    if content is None:
        return structured_document(delivery.event, data_of(delivery))
    return {**attributes(delivery.event), "datacontenttype": content.type, **_of_bytes(content.data)}


def message(delivery: Delivery, mode: ContentMode) -> Message | Reject | Skip:
    """Return `delivery` as a message of that `mode`.

    If the event has no field of the body, the event is skipped. If JSON can't hold
    the body, the event is rejected.
    """
    if delivery.body == {} and delivery.content is None:
        return nothing_to_send()
    if mode == "structured":
        text = written(document(delivery))
        return text if isinstance(text, Reject) else Message(content=Content(data=text, type=_STRUCTURED))
    content = _content(delivery)
    if isinstance(content, Reject):
        return content
    return Message(content=content, attributes=_beside(delivery, mode))


def emptied(delivery: Delivery, mode: ContentMode, media_type: str) -> Message:
    """Return `delivery` as a message of that `mode` without data; the delivery's body is not used.

    The message makes a target delete a record: as a tombstone in Kafka, or as the
    end of a retained message in MQTT. In structured mode, `media_type` is the type
    of the documents.
    """
    kind = _STRUCTURED if mode == "structured" else media_type
    return Message(content=Content(data=b"", type=kind), attributes=_beside(delivery, mode))


def nothing_to_send() -> Skip:
    """Return the outcome for an event that has no field of the body."""
    return Skip(reason="the event has none of the fields that the subscriber's body uses", sent=False)


def written(value: Any, *, indented: bool = False) -> bytes | Reject:
    """Return `value` as JSON in one line, or `indented`; return a rejection if JSON can't hold it."""
    try:
        return exact_json(value, indented=indented)
    except TypeError as exc:
        return Reject(
            reason=f"the body can't be written as JSON: {exc}",
            hint="correct `body` in the subscriber's configuration",
            sent=False,
        )


def _beside(delivery: Delivery, mode: ContentMode) -> Mapping[str, str]:
    return attributes(delivery.event) if mode == "binary" else {}


def _content(delivery: Delivery) -> Content | Reject:
    if delivery.content is not None:
        return delivery.content
    text = written(data_of(delivery))
    return text if isinstance(text, Reject) else Content(data=text, type=_JSON)


def _of_bytes(data: bytes) -> JsonObject:
    try:
        return {"data": data.decode()}
    except UnicodeDecodeError:
        return {"data_base64": base64.b64encode(data).decode()}
