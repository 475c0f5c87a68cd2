"""CloudEvents 1.0: the attributes of an event in Kafka, by the Kafka protocol binding 1.0.

In binary mode headers hold the attributes; in structured mode the value is one
document.
"""

from typing import Any

from streamer.events import Event, JsonObject, replay_id_to_text

STRUCTURED = b"application/cloudevents+json"
"""Content type of an event in structured mode."""

JSON = b"application/json"
"""Content type of an event's data."""


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
