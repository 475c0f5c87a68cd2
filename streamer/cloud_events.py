"""CloudEvents 1.0: the attributes of an event, and a delivery as a message.

The protocol bindings 1.0 of Kafka, HTTP and MQTT define the modes. In binary
mode headers or properties hold the attributes; in structured mode the content
is one document.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from streamer.events import Content, Delivery, Event, JsonObject, Reject, Skip
from streamer.exact_json import exact_json
from streamer.replay_ids import replay_id_to_text

STRUCTURED = b"application/cloudevents+json"
"""Content type of an event in structured mode."""

JSON = b"application/json"
"""Content type of an event's data."""

_STRUCTURED, _JSON = STRUCTURED.decode(), JSON.decode()

ContentMode = Literal["binary", "structured", "plain"]
"""Place of the attributes: beside the data, in one document with them, or nowhere."""


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
    """Return the attributes of `event` as texts, its channel and replay id as extensions."""
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
    """Return the document of `event`, with `data` as its data."""
    return {**attributes(event), "datacontenttype": "application/json", "data": data}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Content with its media type; in binary mode, `attributes` are the CloudEvent's."""

    content: Content
    attributes: Mapping[str, str] = field(default_factory=dict)


def data_of(delivery: Delivery) -> Any:
    """Return the subscriber's `body` or, without one, the event's data."""
    return delivery.event.data if delivery.body is None else delivery.body


def document(delivery: Delivery) -> JsonObject:
    """Return the CloudEvent as one JSON object, with the subscriber's `content` or `body` as its data."""
    content = delivery.content
    if content is None:
        return structured_document(delivery.event, data_of(delivery))
    return {**attributes(delivery.event), "datacontenttype": content.type, **_of_bytes(content.data)}


def message(delivery: Delivery, mode: ContentMode) -> Message | Reject | Skip:
    """Return `delivery` as a message of that `mode`.

    An event that carries nothing of the body is skipped, and one that JSON
    can't hold is rejected.
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
    """Return `delivery` as a message of that `mode` without data, whatever its body is.

    It tells a target to forget a record: a tombstone in Kafka, or the end of a
    retained message in MQTT. In structured mode `media_type` is the documents'
    type.
    """
    kind = _STRUCTURED if mode == "structured" else media_type
    return Message(content=Content(data=b"", type=kind), attributes=_beside(delivery, mode))


def nothing_to_send() -> Skip:
    """Return the outcome of an event that carries nothing of the body."""
    return Skip(reason="the event carries no field that body sends", sent=False)


def written(value: Any, *, indented: bool = False) -> bytes | Reject:
    """Return `value` as JSON in one line, or `indented`; a rejection if JSON can't hold it."""
    try:
        return exact_json(value, indented=indented)
    except TypeError as exc:
        return Reject(
            reason=f"the body can't be written as JSON: {exc}", hint="change the body's mapping", sent=False
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
