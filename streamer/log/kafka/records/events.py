"""Records of events as CloudEvents, of receipts, and of continuity records; and chunks of large values.

In binary mode, the value contains the event's data, and the headers contain the event's
attributes. In structured mode, the value contains the whole event. The record's key is
the event's key, so the changes of a Salesforce record stay in one partition.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, Literal

import orjson
from confluent_kafka import Message

from streamer.cloud_events import JSON, STRUCTURED, binary_headers, structured_document
from streamer.errors import UnreadableEvent
from streamer.events import ContinuityRecord, Event, EventId, JsonObject, Receipt, replay_id_from_text
from streamer.exact_json import exact_default, exact_value
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import (
    ANY_PARTITION,
    Headers,
    ProducerRecord,
    Tombstone,
    WrittenHeaders,
)
from streamer.log.kafka.schemas.codecs import SchemaReaders
from streamer.log.kafka.schemas.event_schemas import EntitySchemas
from streamer.log.kafka.schemas.record_types import event_stem
from streamer.log.records import decode_continuity, encode_continuity, encode_receipt

_TYPES_REMEMBERED = 4096
# CloudEvents' Kafka binding distinguishes the modes by the content type, and some readers by
# any header that begins with ce_. So in structured mode, the header with the type has another
# name.
_TYPE_HEADERS = frozenset({"ce_type", "type"})
_CHANGES = b"salesforce.cdc."
_DELETED = b".deleted"


Encode = Callable[[Event, int], ProducerRecord]
"""Function that returns the record of an event; the second argument is the time in epoch milliseconds.

The function raises `TypeError` or `ValueError` when the format or UTF-8 can't hold the event, and
`SchemaMissing` when the event needs a schema that this process does not know yet.
"""


Traceparent = Callable[[Event], str]
"""Function that returns the header `traceparent` of an event."""
CHUNK_BYTES = 512 * 1024
"""Size of the largest chunk, well below the 1 MB that brokers accept by default."""


class EventEncoder:
    """Encodes events as records; caches the topic and header that all events of a type share.

    With `traceparent`, a record has the event's trace in the header `traceparent`, so
    that consumers can continue the trace. The record also has the trace in the
    attribute that CloudEvents' distributed tracing extension defines. With `schemas`,
    the values of events with a schema are in the schema's format.
    """

    def __init__(
        self,
        names: Names,
        mode: Literal["binary", "structured"],
        traceparent: Traceparent | None = None,
        schemas: EntitySchemas | None = None,
    ) -> None:
        self._names = names
        self._schemas = schemas
        self._types: dict[str, tuple[str, bytes]] = {}
        binary = self._binary if schemas is None else partial(self._with_schema, schemas)
        self.encode: Encode = binary if mode == "binary" else self._structured
        if traceparent is not None:
            # Without traces, encoding an event does not even check for a trace.
            traced = partial(self._traced_binary, binary) if mode == "binary" else self._traced_structured
            self.encode = partial(traced, traceparent)

    def _binary(self, event: Event, now_ms: int) -> ProducerRecord:
        topic, type_ = self._types.get(event.type) or self._learn(event.type)
        headers = binary_headers(event, type_)
        value, key = _value(event.data), event.key.encode()
        return ProducerRecord(topic, value, key, ANY_PARTITION, headers, timestamp_ms(event.time, now_ms))

    def _with_schema(self, schemas: EntitySchemas, event: Event, now_ms: int) -> ProducerRecord:
        schema = schemas.of(event.type)
        if schema is None:
            return self._binary(event, now_ms)
        _, type_ = self._types.get(event.type) or self._learn(event.type)
        headers = binary_headers(event, type_)
        headers.update(schema.headers)
        value, key = schema.value(event.data), event.key.encode()
        return ProducerRecord(
            schema.topic, value, key, ANY_PARTITION, headers, timestamp_ms(event.time, now_ms)
        )

    def _structured(self, event: Event, now_ms: int) -> ProducerRecord:
        return self._of_document(event, structured_document(event, event.data), now_ms)

    def _of_document(self, event: Event, document: JsonObject, now_ms: int) -> ProducerRecord:
        topic, type_ = self._types.get(event.type) or self._learn(event.type)
        headers: WrittenHeaders = {"type": type_, "content-type": STRUCTURED}
        value, key = _value(document), event.key.encode()
        return ProducerRecord(topic, value, key, ANY_PARTITION, headers, timestamp_ms(event.time, now_ms))

    def _traced_binary(
        self, binary: Encode, traceparent: Traceparent, event: Event, now_ms: int
    ) -> ProducerRecord:
        record, value = binary(event, now_ms), traceparent(event)
        record.headers.update({"traceparent": value, "ce_traceparent": value})
        return record

    def _traced_structured(self, traceparent: Traceparent, event: Event, now_ms: int) -> ProducerRecord:
        value = traceparent(event)
        document = {**structured_document(event, event.data), "traceparent": value}
        record = self._of_document(event, document, now_ms)
        record.headers["traceparent"] = value
        return record

    def _learn(self, event_type: str) -> tuple[str, bytes]:
        if len(self._types) >= _TYPES_REMEMBERED:
            self._types.clear()
        known = self._names.event_topic(event_type), event_type.encode()
        self._types[event_type] = known
        return known


def _value(data: JsonObject) -> bytes:
    # A record stays in memory until its commit. orjson's own result would keep its buffer of
    # several kilobytes until then, and the fresh memory pages cost more than this copy.
    return bytes(memoryview(orjson.dumps(data, default=exact_default)))


def with_tombstones(records: Iterable[ProducerRecord]) -> Iterator[ProducerRecord | Tombstone]:
    """Yield the `records` of events, each deletion of a Salesforce record with a tombstone after it.

    The tombstone has the time of its event, so that it leaves the order of a topic's
    times as it is.
    """
    for record in records:
        yield record
        headers = record.headers
        if _is_deletion(headers.get("ce_type") or headers.get("type")):
            yield Tombstone(record.topic, record.key, record.partition, timestamp_ms=record.timestamp_ms)


@lru_cache(maxsize=_TYPES_REMEMBERED)
def _is_deletion(type_: str | bytes | None) -> bool:
    return isinstance(type_, bytes) and type_.startswith(_CHANGES) and type_.endswith(_DELETED)


def event_type(headers: Headers | None) -> str | None:
    """Return the type of an event from its headers; `None` for a foreign record."""
    for name, value in headers or ():
        if name in _TYPE_HEADERS:
            return (value or b"").decode("utf-8", "replace")
    return None


def decode(
    key: bytes | None, value: bytes | None, headers: Headers | None, schemas: SchemaReaders | None = None
) -> Event:
    """Return the event of a record in binary or structured mode; raises `UnreadableEvent`.

    To decide whether an event is wanted, `event_type` is cheaper. A record in Avro needs
    `schemas`, raises the errors of `SchemaReaders.data`, and is decoded only in threads.
    """
    attributes = dict(headers or ())
    try:
        if attributes.get("content-type", b"").startswith(STRUCTURED):
            return _from_document(exact_value(value or b""), key)
        return _from_headers(attributes, key, value or b"", schemas)
    except (LookupError, TypeError, ValueError, AttributeError) as exc:
        raise UnreadableEvent(
            "the record in the event topic is not a CloudEvent that Streamer wrote"
        ) from exc


# The result is cached, because the events of a transaction have the same time, and consecutive
# events of a backlog often have the same time.
@lru_cache(maxsize=1024)
def timestamp_ms(moment: str, now_ms: int) -> int:
    """Return the time `moment` of an event in epoch milliseconds, but not a time after `now_ms`."""
    # Brokers refuse timestamps in the future, and clocks differ.
    return min(round(datetime.fromisoformat(moment).timestamp() * 1000), now_ms)


def _from_headers(
    attributes: Mapping[str, bytes], key: bytes | None, value: bytes, schemas: SchemaReaders | None
) -> Event:
    subject, type_ = attributes.get("ce_subject"), attributes["ce_type"].decode()
    id_ = attributes["ce_id"].decode()
    return Event(
        id=EventId(id_),
        source=attributes["ce_source"].decode(),
        type=type_,
        subject=None if subject is None else subject.decode(),
        time=attributes["ce_time"].decode(),
        key=id_ if key is None else key.decode(),
        channel=attributes["ce_sfchannel"].decode(),
        replay_id=replay_id_from_text(attributes["ce_sfreplayid"].decode()),
        data=_data(attributes, value, type_, schemas),
    )


def _data(
    attributes: Mapping[str, bytes], value: bytes, type_: str, schemas: SchemaReaders | None
) -> JsonObject:
    # Most events are JSON, and a value in JSON never begins with a zero byte.
    if value[:1] == b"{" and attributes.get("content-type", JSON) == JSON:
        data: JsonObject = exact_value(value)
        return data
    return (schemas or _WITHOUT_REGISTRY).data(attributes, value, event_stem(type_))


_WITHOUT_REGISTRY = SchemaReaders()


def _from_document(document: Mapping[str, Any], key: bytes | None) -> Event:
    return Event(
        id=document["id"],
        source=document["source"],
        type=document["type"],
        subject=document.get("subject"),
        time=document["time"],
        key=document["id"] if key is None else key.decode(),
        channel=document["sfchannel"],
        replay_id=replay_id_from_text(document["sfreplayid"]),
        data=document["data"],
    )


ChunkOffsets = tuple[int, ...]
"""Offsets of the chunks of one value, in the order of the chunks."""
_MISSING = -1


def split(value: bytes) -> list[bytes]:
    """Return `value` as chunks of at most `CHUNK_BYTES`, in order; a small value is one chunk."""
    return [value[start : start + CHUNK_BYTES] for start in range(0, len(value), CHUNK_BYTES)]


def with_chunk(offsets: ChunkOffsets, chunk: int, offset: int, *, chunks: int) -> ChunkOffsets:
    """Return `offsets` with `offset` as the position of chunk number `chunk`; there are `chunks` in total."""
    if chunks == 1:
        return (offset,)
    known = offsets if len(offsets) == chunks else (_MISSING,) * chunks
    return (*known[:chunk], offset, *known[chunk + 1 :])


def without_chunk(offsets: ChunkOffsets, chunk: int) -> ChunkOffsets:
    """Return `offsets` without chunk number `chunk`; empty if no other chunk is known."""
    known = tuple(_MISSING if number == chunk else offset for number, offset in enumerate(offsets))
    return known if any(offset != _MISSING for offset in known) else ()


def is_complete(offsets: ChunkOffsets) -> bool:
    """Return whether the offset of every chunk is known."""
    return _MISSING not in offsets


def continuity_message(record: ContinuityRecord, topic: str) -> ProducerRecord:
    """Return the record of a continuity record's state; compaction of `topic` keeps the newest state."""
    key = record.id.encode("utf-8", "backslashreplace")
    return ProducerRecord(
        topic, encode_continuity(record), key, ANY_PARTITION, {"content-type": b"application/json"}
    )


def continuity_of(message: Message) -> ContinuityRecord:
    """Return the continuity record in `message`; raises `LogMisconfigured`.

    A record of the former format has the channel as its key, so the offset of the
    record serves as the id.
    """
    return decode_continuity(message.value() or b"", former_id=f"former:{message.offset()}")


_KEPT_CHARACTERS = 20_000


def receipt_record(receipt: Receipt, topic: str) -> ProducerRecord:
    """Return the record of `receipt`; its key is the event's key.

    If the answer is large, the receipt has only its first 20,000 characters, as text.
    Otherwise a broker could refuse the receipt, and the event would be delivered again.
    """
    value = encode_receipt(receipt)
    if len(value) > CHUNK_BYTES:
        value = encode_receipt(replace(receipt, answer={"text": repr(receipt.answer)[:_KEPT_CHARACTERS]}))
    headers: dict[str, str | bytes | None] = {
        "subscriber": receipt.subscriber,
        "content-type": b"application/json",
    }
    return ProducerRecord(topic, value, receipt.event_key.encode(), ANY_PARTITION, headers)
