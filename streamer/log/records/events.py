"""Events as JSON."""

from collections.abc import Mapping
from typing import Any

import orjson

from streamer.events import Event, JsonObject
from streamer.exact_json import exact_default
from streamer.log.records.record import VERSION, decode
from streamer.replay_ids import replay_id_from_text, replay_id_to_text


def encode_event(event: Event) -> bytes:
    """Return `event` as JSON; raises `TypeError` when JSON can't hold its data."""
    return orjson.dumps(event_fields(event), default=exact_default)


def decode_event(raw: bytes | str) -> Event:
    """Return the event that `encode_event` wrote; raises `LogMisconfigured`."""
    return decode(raw, "an event", event_from_json)


def event_fields(event: Event) -> JsonObject:
    """Return `event` as a JSON object with its version, for use inside another record."""
    return {
        "v": VERSION,
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": event.time,
        "key": event.key,
        "channel": event.channel,
        "replay_id": replay_id_to_text(event.replay_id),
        "data": event.data,
        **({} if event.receipts is None else {"receipts": event.receipts}),
    }


def event_from_json(fields: Mapping[str, Any]) -> Event:
    """Return the event in a parsed record; raises `LookupError`, `TypeError` or `ValueError`."""
    return Event(
        id=fields["id"],
        source=fields["source"],
        type=fields["type"],
        subject=fields["subject"],
        time=fields["time"],
        key=fields["key"],
        channel=fields["channel"],
        replay_id=replay_id_from_text(fields["replay_id"]),
        data=fields["data"],
        receipts=fields.get("receipts"),
    )
