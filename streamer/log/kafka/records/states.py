"""Records of a state topic: the whole record under its id, or a tombstone, each with its last change."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, cast

import orjson
import structlog
from confluent_kafka import Message

from streamer.errors import LogUnavailable, UnreadableEvent
from streamer.events import JsonObject, Partition, RecordState
from streamer.exact_json import exact_default
from streamer.log.kafka.cluster.clients import MAX_MESSAGE_BYTES
from streamer.log.kafka.cluster.producer import Headers, ProducerRecord, Tombstone, WrittenHeaders
from streamer.log.kafka.records.envelopes import PLAIN_START, STARTS, StateEnvelope, state_in
from streamer.log.kafka.records.events import timestamp_ms
from streamer.log.kafka.schemas.codecs import AVRO, SchemaReaders
from streamer.log.kafka.schemas.record_types import state_stem
from streamer.log.kafka.schemas.state_schemas import StateSchemas
from streamer.log.records import encode_last_change, encode_state_data, record_state_data

_log = structlog.get_logger()
_LAST = "streamer-last"
_FRAME_BYTES = 5
OVERHEAD_BYTES = 4 * 1024
"""Bytes that Kafka, the key and the headers add to the value of a state, at most."""

_FOREIGN = "the record is not a state of a record"


class StateRow(NamedTuple):
    """State of one record as the local copies store it, in JSON; `value` is `None` for a deleted record."""

    record_id: str
    value: bytes | None
    last: bytes


class WrittenState(NamedTuple):
    """State in the form in which the log holds it, its row, and its records for the state topic.

    There is one record. In Debezium's envelope, a deletion can have two records.
    """

    state: RecordState
    row: StateRow
    records: tuple[ProducerRecord | Tombstone, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateEncoder:
    """Encodes states for the local copies and for their topic; without `schemas`, the topic has JSON.

    Kafka takes values of up to `largest` bytes.
    """

    largest: int = MAX_MESSAGE_BYTES - OVERHEAD_BYTES
    schemas: StateSchemas | None = None
    envelope: StateEnvelope = field(default_factory=StateEnvelope)

    def encode(
        self, state: RecordState, place: Partition, now_ms: int, before: JsonObject | None = None
    ) -> WrittenState:
        """Return `state` with its row, and with the records for the partition `place` of its state topic.

        `before` are the fields that the record had. A state that is too large for Kafka
        lacks its largest fields, and names them. Raises `StateSchemaMissing`, and
        `TypeError` if JSON can't hold the fields.
        """
        last, key = encode_last_change(state.last), state.record_id.encode()
        at_ms, data = timestamp_ms(state.last.time, now_ms), record_state_data(state)
        if data is None:
            tombstone = Tombstone(place.topic, key, place.number, {_LAST: last}, at_ms)
            row = StateRow(state.record_id, None, last)
            return WrittenState(state, row, (*self._deletion(state, last, place, before, now_ms), tombstone))
        text = encode_state_data(data)
        enveloped = self.envelope.of_state(data, before, now_ms)
        value, headers = self._value(state, last, enveloped, text if enveloped is data else None)
        if (excess := max(len(text), len(value)) - self.largest) > 0:
            if before is not None and self.envelope.has_before:
                return self.encode(state, place, now_ms)
            if state.fields:
                return self.encode(without_largest(state, excess), place, now_ms)
        record = ProducerRecord(place.topic, value, key, place.number, headers, at_ms)
        return WrittenState(state, StateRow(state.record_id, text, last), (record,))

    def _deletion(
        self, state: RecordState, last: bytes, place: Partition, before: JsonObject | None, now_ms: int
    ) -> Iterator[ProducerRecord]:
        """Yield the record before a tombstone, if the envelope has one and Kafka takes it."""
        about = record_state_data(replace(state, fields={}))
        enveloped = None if about is None else self.envelope.of_deletion(about, before, now_ms)
        if enveloped is None:
            return
        value, headers = self._value(state, last, enveloped, None)
        if len(value) <= self.largest:
            at_ms = timestamp_ms(state.last.time, now_ms)
            yield ProducerRecord(place.topic, value, state.record_id.encode(), place.number, headers, at_ms)

    def _value(
        self, state: RecordState, last: bytes, enveloped: JsonObject, text: bytes | None
    ) -> tuple[bytes, WrittenHeaders]:
        """Return the value and the headers of a record; `text` is the JSON of `enveloped`, if it is known."""
        text = encode_state_data(enveloped) if text is None else text
        headers: WrittenHeaders = {_LAST: last, "content-type": b"application/json"}
        if self.schemas is None or (schema := self.schemas.of_entity(state.entity, enveloped)) is None:
            return text, headers
        headers.update(schema.headers)
        return self.schemas.value(schema, state.entity, enveloped, text), headers


def without_largest(state: RecordState, excess: int) -> RecordState:
    """Return `state` without its largest fields, so that it takes at least `excess` bytes less.

    A state without fields stays as it is. A warning names the missing fields.
    """
    fields, omitted = dict(state.fields or {}), set(state.omitted)
    sizes = {name: len(orjson.dumps(each, default=exact_default)) for name, each in fields.items()}
    # The list of names takes as much as the names of the removed fields, and its own key.
    excess += len(b',"omitted":[]')
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
    return replace(state, fields=fields, omitted=tuple(sorted(omitted)))


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDecoder:
    """Reads the records of the state topic `topic` of an entity.

    Only threads without an event loop can use the decoder.
    """

    schemas: SchemaReaders
    topic: str
    entity: str

    def row(self, message: Message) -> StateRow:
        """Return the row in a record that `StateEncoder` returned, in whichever format.

        The value is not parsed if it is JSON, because a rebuild reads many records and
        uses few of them. Raises `ValueError` for any other record, `LogUnavailable` if
        the registry does not give the schema now, and the other errors of the registry.
        """
        attributes = dict(cast("Headers", message.headers() or ()))
        value, last = message.value(), attributes.get(_LAST)
        if last is None:
            raise ValueError(_FOREIGN)
        if value is not None and not value.startswith(PLAIN_START):
            value = self._plain(attributes, value)
        return StateRow((message.key() or b"").decode(), value, last)

    def _plain(self, attributes: Mapping[str, bytes], value: bytes) -> bytes | None:
        """Return the JSON of a state in another format or envelope; `None` for a deletion."""
        if value.startswith(PLAIN_START, _FRAME_BYTES):
            return value[_FRAME_BYTES:]
        is_json = any(value.startswith(STARTS, at) for at in (0, _FRAME_BYTES))
        if not (is_json or attributes.get("content-type", b"").startswith(AVRO)):
            raise ValueError(_FOREIGN)
        try:
            data = self.schemas.data(attributes, value, state_stem(self.entity))
            state = state_in(data, self.entity)
        except UnreadableEvent as exc:
            if self.schemas.registry is None and not is_json:
                raise LogUnavailable(
                    f"the topic {self.topic} has records in Avro: set log.kafka.schema_registry"
                ) from exc
            raise ValueError(str(exc)) from exc
        return None if state is None else encode_state_data(state)


def check_state(message: Message) -> None:
    """Raise `ValueError` unless a record can be a state, in whichever format; no schema is needed."""
    attributes = dict(cast("Headers", message.headers() or ()))
    value = message.value()
    is_json = value is None or any(value.startswith(STARTS, at) for at in (0, _FRAME_BYTES))
    if _LAST not in attributes or not (is_json or attributes.get("content-type", b"").startswith(AVRO)):
        raise ValueError(_FOREIGN)


def change_partition(last: bytes) -> int | None:
    """Return the number of the change topic's partition from the encoded last change of a state."""
    number = orjson.loads(last).get("partition")
    return number if isinstance(number, int) else None
