"""Records of events, as CloudEvents, and of receipts and continuity; large values in chunks.

In binary mode the value is the event's data and headers hold the attributes; in
structured mode the value is the whole event. The record's key is the event's,
so that a Salesforce record's changes stay in one partition.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, Literal

import orjson
from confluent_kafka import Message

from streamer.cloud_events import STRUCTURED, binary_headers, structured_document
from streamer.errors import UnreadableEvent
from streamer.events import ContinuityRecord, Event, EventId, JsonObject, Receipt, replay_id_from_text
from streamer.exact_json import exact_default, exact_value
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import ANY_PARTITION, Headers, ProducerRecord, WrittenHeaders
from streamer.log.records import decode_continuity, encode_continuity, encode_receipt

_TYPES_REMEMBERED = 4096
# The binding tells the modes apart by their headers, and some readers by any
# that begins with ce_: in structured mode the type goes by another name.
_TYPE_HEADERS = frozenset({"ce_type", "type"})


Encode = Callable[[Event, int], ProducerRecord]
"""Makes the record of an event, at a time in epoch milliseconds.

Raises `TypeError` or `ValueError` when JSON or UTF-8 can't hold the event.
"""


Traceparent = Callable[[Event], str]
"""Returns the header `traceparent` of an event."""
CHUNK_BYTES = 512 * 1024
"""Largest chunk, well below the 1 MB that brokers accept by default."""


class EventEncoder:
    """Encodes events as records, and caches what all events of a type share.

    With `traceparent`, the trace of an event is in the header of this name, so
    consumers can continue it, and in the attribute of CloudEvents' distributed
    tracing extension.
    """

    def __init__(
        self, names: Names, mode: Literal["binary", "structured"], traceparent: Traceparent | None = None
    ) -> None:
        self._names = names
        self._types: dict[str, tuple[str, bytes]] = {}
        is_binary = mode == "binary"
        self.encode: Encode = self._binary if is_binary else self._structured
        if traceparent is not None:
            # Without traces, an event costs not even a question.
            traced = self._traced_binary if is_binary else self._traced_structured
            self.encode = partial(traced, traceparent)

    def _binary(self, event: Event, now_ms: int) -> ProducerRecord:
        topic, type_ = self._types.get(event.type) or self._learn(event.type)
        headers = binary_headers(event, type_)
        value, key = _value(event.data), event.key.encode()
        return ProducerRecord(topic, value, key, ANY_PARTITION, headers, _timestamp_ms(event.time, now_ms))

    def _structured(self, event: Event, now_ms: int) -> ProducerRecord:
        return self._of_document(event, structured_document(event, event.data), now_ms)

    def _of_document(self, event: Event, document: JsonObject, now_ms: int) -> ProducerRecord:
        topic, type_ = self._types.get(event.type) or self._learn(event.type)
        headers: WrittenHeaders = {"type": type_, "content-type": STRUCTURED}
        value, key = _value(document), event.key.encode()
        return ProducerRecord(topic, value, key, ANY_PARTITION, headers, _timestamp_ms(event.time, now_ms))

    def _traced_binary(self, traceparent: Traceparent, event: Event, now_ms: int) -> ProducerRecord:
        record, value = self._binary(event, now_ms), traceparent(event)
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
    # A record waits for its commit. orjson's own result would hold its buffer of kilobytes
    # until then, whose fresh pages cost more than the copy.
    return bytes(memoryview(orjson.dumps(data, default=exact_default)))


def event_type(headers: Headers | None) -> str | None:
    """Return the type of an event without parsing its value, or `None` for a foreign record."""
    for name, value in headers or ():
        if name in _TYPE_HEADERS:
            return (value or b"").decode("utf-8", "replace")
    return None


def decode(key: bytes | None, value: bytes | None, headers: Headers | None) -> Event:
    """Return the event of a record, in either mode; raises `UnreadableEvent`.

    `event_type` finds out more cheaply whether the event is wanted at all.
    """
    attributes = dict(headers or ())
    try:
        if attributes.get("content-type", b"").startswith(STRUCTURED):
            return _from_document(exact_value(value or b""), key)
        return _from_headers(attributes, key, value)
    except (LookupError, TypeError, ValueError, AttributeError) as exc:
        raise UnreadableEvent("a record of an event topic is no CloudEvent that Streamer wrote") from exc


# The events of a transaction share their time, and those of a backlog come close together.
@lru_cache(maxsize=1024)
def _timestamp_ms(moment: str, now_ms: int) -> int:
    # Brokers refuse what claims to come from the future, and clocks differ.
    return min(round(datetime.fromisoformat(moment).timestamp() * 1000), now_ms)


def _from_headers(attributes: Mapping[str, bytes], key: bytes | None, value: bytes | None) -> Event:
    subject = attributes.get("ce_subject")
    id_ = attributes["ce_id"].decode()
    return Event(
        id=EventId(id_),
        source=attributes["ce_source"].decode(),
        type=attributes["ce_type"].decode(),
        subject=None if subject is None else subject.decode(),
        time=attributes["ce_time"].decode(),
        key=id_ if key is None else key.decode(),
        channel=attributes["ce_sfchannel"].decode(),
        replay_id=replay_id_from_text(attributes["ce_sfreplayid"].decode()),
        data=exact_value(value or b""),
    )


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
    """Return `value` in chunks of at most `CHUNK_BYTES`, in their order; a small value is one chunk."""
    return [value[start : start + CHUNK_BYTES] for start in range(0, len(value), CHUNK_BYTES)]


def with_chunk(offsets: ChunkOffsets, chunk: int, offset: int, *, chunks: int) -> ChunkOffsets:
    """Return `offsets` with chunk number `chunk`, of so many `chunks`, found at `offset`."""
    if chunks == 1:
        return (offset,)
    known = offsets if len(offsets) == chunks else (_MISSING,) * chunks
    return (*known[:chunk], offset, *known[chunk + 1 :])


def without_chunk(offsets: ChunkOffsets, chunk: int) -> ChunkOffsets:
    """Return `offsets` without chunk number `chunk`; empty when it was the last one known."""
    known = tuple(_MISSING if number == chunk else offset for number, offset in enumerate(offsets))
    return known if any(offset != _MISSING for offset in known) else ()


def is_complete(offsets: ChunkOffsets) -> bool:
    """Return whether every chunk was found."""
    return _MISSING not in offsets


def continuity_message(record: ContinuityRecord, topic: str) -> ProducerRecord:
    """Return a state of a continuity record for `topic`, whose compaction keeps the last."""
    key = record.id.encode("utf-8", "backslashreplace")
    return ProducerRecord(
        topic, encode_continuity(record), key, ANY_PARTITION, {"content-type": b"application/json"}
    )


def continuity_of(message: Message) -> ContinuityRecord:
    """Return the state that `message` holds; raises `LogMisconfigured`.

    Records of the former format had the channel as their key, so their offset is the id.
    """
    return decode_continuity(message.value() or b"", former_id=f"former:{message.offset()}")


_KEPT_CHARACTERS = 20_000


def receipt_record(receipt: Receipt, topic: str) -> ProducerRecord:
    """Return the record of `receipt`, with the event's own key.

    An answer that can be too large for a broker is cut to its first 20,000
    characters, as text: it must not cost the receipt, or the event would be
    delivered again.
    """
    value = encode_receipt(receipt)
    if len(value) > CHUNK_BYTES:
        value = encode_receipt(replace(receipt, answer={"text": repr(receipt.answer)[:_KEPT_CHARACTERS]}))
    headers: dict[str, str | bytes | None] = {
        "subscriber": receipt.subscriber,
        "content-type": b"application/json",
    }
    return ProducerRecord(topic, value, receipt.event_key.encode(), ANY_PARTITION, headers)
