"""Records of a state topic: the whole record under its id, or a tombstone, each with its last change."""

from dataclasses import replace
from typing import NamedTuple, cast

import orjson
import structlog
from confluent_kafka import Message

from streamer.events import Partition, RecordState
from streamer.exact_json import exact_default
from streamer.log.kafka.cluster.producer import Headers, ProducerRecord, Tombstone, WrittenHeaders
from streamer.log.kafka.records.events import timestamp_ms
from streamer.log.records import encode_last_change, encode_record_state

_log = structlog.get_logger()
_LAST = "streamer-last"
_RECORD_START = b'{"entity"'


class StateRow(NamedTuple):
    """State of one record as it is stored; `value` is `None` for a deleted record."""

    record_id: str
    value: bytes | None
    last: bytes

    @classmethod
    def of(cls, state: RecordState) -> "StateRow":
        """Return the row of `state`; raises `TypeError` if JSON can't hold the fields."""
        return cls(state.record_id, encode_record_state(state), encode_last_change(state.last))


def fitting(state: RecordState, largest: int) -> StateRow:
    """Return the row of `state`, without its largest fields if its value has more than `largest` bytes.

    The value names the missing fields, and so does a warning. Raises `TypeError` if JSON
    can't hold the fields.
    """
    row = StateRow.of(state)
    if state.fields is None or row.value is None or len(row.value) <= largest:
        return row
    sizes = {name: len(orjson.dumps(each, default=exact_default)) for name, each in state.fields.items()}
    fields, omitted = dict(state.fields), set(state.omitted)
    # The list of names takes as much as the names of the removed fields, and its own key.
    excess = len(row.value) + len(b',"omitted":[]') - largest
    for name in sorted(sizes, key=lambda name: sizes[name], reverse=True):
        del fields[name]
        omitted.add(name)
        excess -= sizes[name]
        if excess <= 0:
            break
    if not omitted <= set(state.omitted):
        _log.warning(
            "state.fields_omitted", entity=state.entity, record=state.record_id, fields=sorted(omitted)
        )
    return StateRow.of(replace(state, fields=fields, omitted=tuple(sorted(omitted))))


def state_record(row: StateRow, time: str, place: Partition, now_ms: int) -> ProducerRecord | Tombstone:
    """Return the record of `row` for a partition of its state topic; its last change was at `time`."""
    key, at_ms = row.record_id.encode(), timestamp_ms(time, now_ms)
    if row.value is None:
        return Tombstone(place.topic, key, place.number, {_LAST: row.last}, at_ms)
    headers: WrittenHeaders = {_LAST: row.last, "content-type": b"application/json"}
    return ProducerRecord(place.topic, row.value, key, place.number, headers, at_ms)


def state_row(message: Message) -> StateRow:
    """Return the content of a record that `state_record` returned; raises `ValueError` for any other record.

    The value is not parsed here, because a rebuild reads many records and uses few of
    them.
    """
    headers = cast("Headers", message.headers() or ())
    last = next((value for name, value in headers if name == _LAST), None)
    value = message.value()
    if not isinstance(last, bytes) or not (value is None or value.startswith(_RECORD_START)):
        raise ValueError("the record is not a state of a record")
    return StateRow((message.key() or b"").decode(), value, last)


def change_partition(last: bytes) -> int | None:
    """Return the number of the change topic's partition from the encoded last change of a state."""
    number = orjson.loads(last).get("partition")
    return number if isinstance(number, int) else None
