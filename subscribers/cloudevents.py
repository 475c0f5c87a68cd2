"""CloudEvents 1.0: a delivery as a message, in the modes that the HTTP and MQTT bindings have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from streamer.events import Delivery, Event, JsonObject, Reject, Skip
from streamer.replay_ids import replay_id_to_text

Format = Literal["binary", "structured", "text"]
"""Mode of a message: data with the attributes beside it, one document with both, or the subscriber's text."""

_JSON = "application/json"
_STRUCTURED = "application/cloudevents+json"
TEXT = "text/plain; charset=utf-8"
"""Media type of a text, unless the settings say otherwise."""

MEDIA_TYPE = r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+( *; *[A-Za-z0-9-]+=[A-Za-z0-9\"_.:+-]+)*$"
"""Pattern of a media type with parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Content with its media type; in binary mode, `attributes` are those of the CloudEvent."""

    content: bytes
    content_type: str
    attributes: Mapping[str, str] = field(default_factory=dict)


def attributes(event: Event) -> dict[str, str]:
    """Return the attributes of `event`, its channel and replay id as extensions."""
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


def data_of(delivery: Delivery) -> Any:
    """Return the subscriber's `body` or, without one, the event's data."""
    return delivery.event.data if delivery.body is None else delivery.body


def document(delivery: Delivery) -> JsonObject:
    """Return the CloudEvent as one JSON object, with `data_of(delivery)` as its data."""
    return {**attributes(delivery.event), "datacontenttype": _JSON, "data": data_of(delivery)}


def message(delivery: Delivery, mode: Format, *, text_type: str = TEXT) -> Message | Reject | Skip:
    """Return `delivery` as a message of that `mode`; `text_type` is the media type of a text.

    An event that carries nothing of the body is skipped. One that JSON or UTF-8
    can't hold, or that has no text where `mode` asks for one, is rejected.
    """
    if mode == "text":
        return _text(delivery, text_type)
    if delivery.body == {}:
        return Skip(reason="the event carries no field that body sends", sent=False)
    is_binary = mode == "binary"
    content = written(data_of(delivery) if is_binary else document(delivery))
    if isinstance(content, Reject):
        return content
    if is_binary:
        return Message(content=content, content_type=_JSON, attributes=attributes(delivery.event))
    return Message(content=content, content_type=_STRUCTURED)


def written(value: Any, *, indented: bool = False) -> bytes | Reject:
    """Return `value` as JSON in one line, or `indented`; a rejection if JSON can't hold it."""
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 if indented else None)
    except orjson.JSONEncodeError as exc:
        return Reject(
            reason=f"the body can't be written as JSON: {exc}", hint="change the body's mapping", sent=False
        )


def _text(delivery: Delivery, text_type: str) -> Message | Reject | Skip:
    if delivery.text is None:
        return Reject(
            reason="format is text, and the subscriber has no text",
            hint="set text, or another format in settings",
            sent=False,
        )
    if not delivery.text.strip():
        return Skip(reason="the text is empty", sent=False)
    try:
        content = delivery.text.encode()
    except UnicodeEncodeError:
        return Reject(reason="the text can't be written as UTF-8", hint="change text", sent=False)
    return Message(content=content, content_type=text_type)
