"""CloudEvents 1.0: a delivery as a message, in the modes that the HTTP and MQTT bindings have."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from streamer.cloud_events import attributes, structured_document
from streamer.events import Content, Delivery, JsonObject, Reject, Skip
from streamer.exact_json import exact_json

ContentMode = Literal["binary", "structured", "plain"]
"""Place of the attributes: beside the data, in one document with them, or nowhere."""

_JSON = "application/json"
_STRUCTURED = "application/cloudevents+json"


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
