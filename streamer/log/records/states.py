"""Record states: the whole record for consumers as JSON, and the change that led to the state."""

import orjson

from streamer.errors import ForeignRecord
from streamer.events import EventId, JsonObject, LastChange, Partition, RecordState
from streamer.exact_json import exact_default, exact_value
from streamer.log.records.events import decode, encode

_FOREIGN = "the log holds a record's state that Streamer did not write: use a log that only Streamer writes"


def record_state_data(state: RecordState) -> JsonObject | None:
    """Return a state as a JSON object for consumers, or `None` for a deleted record."""
    if state.fields is None:
        return None
    last = state.last
    return {
        "entity": state.entity,
        "record_id": state.record_id,
        "fields": state.fields,
        **({"omitted": [*state.omitted]} if state.omitted else {}),
        "changed_at": last.time,
        "event_id": last.event_id,
        **_numbers(last),
    }


def encode_record_state(state: RecordState) -> bytes | None:
    """Return a state as JSON for consumers, or `None` for a deleted record.

    Raises `TypeError` when JSON can't hold the fields.
    """
    data = record_state_data(state)
    return None if data is None else encode_state_data(data)


def encode_state_data(data: JsonObject) -> bytes:
    """Return the result of `record_state_data` as JSON. Raises `TypeError` as above."""
    return orjson.dumps(data, default=exact_default)


def encode_last_change(last: LastChange) -> bytes:
    """Return the last change of a state as JSON, which also exists for a deleted record."""
    topic, number = last.partition
    return encode(
        {
            "event_id": last.event_id,
            "time": last.time,
            "topic": topic,
            "partition": number,
            **_numbers(last),
        }
    )


def decode_record_state(entity: str, record_id: str, value: bytes | None, last: bytes) -> RecordState:
    """Return the state that the two functions above have encoded.

    Raises `LogMisconfigured` for a newer version and `ForeignRecord` for a record that
    Streamer did not write.
    """
    fields, omitted = (None, ()) if value is None else _fields(value)
    return RecordState(
        entity=entity,
        record_id=record_id,
        fields=fields,
        last=decode(last, "the last change of a record", _last_change),
        omitted=omitted,
    )


def _numbers(last: LastChange) -> JsonObject:
    found: JsonObject = {} if last.read_at is None else {"read_at": last.read_at}
    if last.commit_number is not None:
        found["commit_number"] = last.commit_number
    if last.sequence is not None:
        found["sequence"] = last.sequence
    return found


def _fields(value: bytes) -> tuple[JsonObject, tuple[str, ...]]:
    # The value is for consumers, so it has no version; the version stands beside it.
    try:
        found = exact_value(value)
        fields, omitted = found["fields"], tuple(map(str, found.get("omitted", ())))
    except (LookupError, TypeError, ValueError, AttributeError) as exc:
        raise ForeignRecord(_FOREIGN) from exc
    if not isinstance(fields, dict):
        raise ForeignRecord(_FOREIGN)
    return fields, omitted


def _last_change(fields: JsonObject) -> LastChange:
    return LastChange(
        event_id=EventId(str(fields["event_id"])),
        time=str(fields["time"]),
        read_at=fields.get("read_at"),
        commit_number=fields.get("commit_number"),
        sequence=fields.get("sequence"),
        partition=Partition(topic=str(fields["topic"]), number=int(fields["partition"])),
    )
