"""Dead letters and setbacks as JSON."""

import base64
from dataclasses import replace
from hashlib import sha256
from typing import NamedTuple

from streamer.errors import LogMisconfigured
from streamer.events import (
    DeadLetter,
    JsonObject,
    LetterHead,
    Partition,
    Setback,
    Stage,
    SubscriberName,
    optional_replay_id,
    optional_replay_text,
)
from streamer.log.records.events import (
    attempt_fields,
    decode,
    encode,
    event_fields,
    event_from_json,
    failed_attempts,
    printable,
)

LARGEST_LETTER = 12 * 1024 * 1024
"""Maximum size of an encoded dead letter, in bytes."""

# Events reach 1 MB at Salesforce and grow when encoded. No log can store more bytes than this.
_LARGEST_RAW = 8 * 1024 * 1024
_KEPT = 64 * 1024


class EncodedLetter(NamedTuple):
    """Dead letter as JSON: the whole dead letter in `body`, and its head alone in `head`."""

    body: bytes
    head: bytes


def encode_dead_letter(letter: DeadLetter) -> EncodedLetter:
    """Return `letter` as JSON.

    Even an event that JSON can't hold must become a dead letter. For such an event,
    `raw` holds the event's Python text, and characters that UTF-8 can't hold are
    escaped. If the content is too large for any log, only its beginning is kept.
    """
    letter = bounded(letter)
    try:
        encoded = _encoded(letter)
    except TypeError:
        encoded = _encoded(bounded(_escaped(letter)))
    if len(encoded.body) <= LARGEST_LETTER or letter.event is None:
        return encoded
    return _encoded(_cut(letter, encode(event_fields(letter.event))))


def bounded(letter: DeadLetter) -> DeadLetter:
    """Return `letter`; if its raw bytes are too large for any log, only their beginning is kept."""
    return letter if len(letter.raw) <= _LARGEST_RAW else _cut(letter, letter.raw)


def decode_dead_letter(raw: bytes | str) -> DeadLetter:
    """Return the dead letter that `encode_dead_letter` wrote; raises `LogMisconfigured`."""
    return decode(raw, "a dead letter", _dead_letter)


def decode_letter_head(raw: bytes | str) -> LetterHead:
    """Return the head that `encode_dead_letter` wrote; raises `LogMisconfigured`."""
    return decode(raw, "the head of a dead letter", _letter_head)


def _cut(letter: DeadLetter, content: bytes) -> DeadLetter:
    """Return `letter` with only the beginning of `content`, which is its encoded event or its raw bytes."""
    told = (
        f"The dead letter holds only the first {_KEPT // 1024} KiB of {len(content)} bytes, so it "
        "can't be redriven."
    )
    return replace(
        letter,
        raw=content[:_KEPT],
        event=None,
        whole_size=len(content),
        whole_sha256=sha256(content).hexdigest(),
        hint=f"{letter.hint} {told}".strip(),
    )


def letter_head(body: bytes) -> bytes:
    """Return the encoded head of an encoded dead letter; empty bytes for a foreign record."""
    try:
        return _encoded_head(decode_dead_letter(body), body)
    except LogMisconfigured:
        return b""


def _encoded(letter: DeadLetter) -> EncodedLetter:
    body = encode(_letter_fields(letter))
    return EncodedLetter(body=body, head=_encoded_head(letter, body))


def _encoded_head(letter: DeadLetter, body: bytes) -> bytes:
    return encode({**_head_fields(letter.head), "size": len(body)})


def _letter_fields(letter: DeadLetter) -> JsonObject:
    return {
        "id": letter.id,
        "stage": letter.stage,
        "channel": letter.channel,
        "reason": letter.reason,
        "error": letter.error,
        "hint": letter.hint,
        "failed_at": letter.failed_at,
        "first_failed_at": letter.first_failed_at,
        "replay_id": optional_replay_text(letter.replay_id),
        "raw": base64.b64encode(letter.raw).decode("ascii"),
        "schema_id": letter.schema_id,
        "event_uuid": letter.event_uuid,
        "event": None if letter.event is None else event_fields(letter.event),
        "subscriber": letter.subscriber,
        "attempts": letter.attempts,
        "first_error": letter.first_error,
        "answer": letter.answer,
        "topic": letter.partition.topic if letter.partition else None,
        "partition": letter.partition.number if letter.partition else None,
        "offset": letter.offset,
        "whole_size": letter.whole_size,
        "whole_sha256": letter.whole_sha256,
        **attempt_fields(letter.failed_attempts),
    }


def _head_fields(head: LetterHead) -> JsonObject:
    return {
        "id": head.id,
        "stage": head.stage,
        "channel": head.channel,
        "reason": head.reason,
        "error": head.error,
        "failed_at": head.failed_at,
        "first_failed_at": head.first_failed_at,
        "subscriber": head.subscriber,
        "attempts": head.attempts,
        "topic": head.partition.topic if head.partition else None,
        "partition": head.partition.number if head.partition else None,
        "offset": head.offset,
        "event_id": head.event_id,
        "event_type": head.event_type,
        "key": head.key,
        "has_raw": head.has_raw,
    }


def _escaped(letter: DeadLetter) -> DeadLetter:
    return replace(
        letter,
        id=printable(letter.id),
        channel=printable(letter.channel),
        reason=printable(letter.reason),
        error=printable(letter.error),
        first_error=printable(letter.first_error),
        hint=printable(letter.hint),
        answer=printable(letter.answer),
        raw=letter.raw or printable(repr(letter.event)).encode(),
        schema_id=printable(letter.schema_id),
        event_uuid=printable(letter.event_uuid),
        event=None,
    )


def _dead_letter(fields: JsonObject) -> DeadLetter:
    event, subscriber = fields.get("event"), fields.get("subscriber")
    return DeadLetter(
        id=fields["id"],
        stage=Stage(fields["stage"]),
        channel=fields["channel"],
        reason=fields["reason"],
        error=fields["error"],
        hint=fields["hint"],
        failed_at=float(fields["failed_at"]),
        first_failed_at=float(fields["first_failed_at"]),
        replay_id=optional_replay_id(fields.get("replay_id")),
        raw=base64.b64decode(fields.get("raw", ""), validate=True),
        schema_id=fields.get("schema_id", ""),
        event_uuid=fields.get("event_uuid", ""),
        event=None if event is None else event_from_json(event),
        subscriber=None if subscriber is None else SubscriberName(subscriber),
        attempts=fields.get("attempts", 0),
        first_error=fields.get("first_error", ""),
        answer=fields.get("answer", ""),
        partition=_partition(fields),
        offset=fields.get("offset"),
        whole_size=fields.get("whole_size", 0),
        whole_sha256=fields.get("whole_sha256", ""),
        failed_attempts=failed_attempts(fields),
    )


def _letter_head(fields: JsonObject) -> LetterHead:
    subscriber = fields.get("subscriber")
    return LetterHead(
        id=fields["id"],
        stage=Stage(fields["stage"]),
        channel=fields["channel"],
        reason=fields["reason"],
        error=fields["error"],
        failed_at=float(fields["failed_at"]),
        first_failed_at=float(fields["first_failed_at"]),
        subscriber=None if subscriber is None else SubscriberName(subscriber),
        attempts=fields["attempts"],
        partition=_partition(fields),
        offset=fields["offset"],
        event_id=fields["event_id"],
        event_type=fields["event_type"],
        key=fields["key"],
        has_raw=fields["has_raw"],
        size=fields["size"],
    )


def _partition(fields: JsonObject) -> Partition | None:
    topic = fields.get("topic")
    return None if topic is None else Partition(topic=topic, number=int(fields["partition"]))


def encode_setback(setback: Setback) -> bytes:
    """Return `setback` as JSON, and escape characters of its errors that UTF-8 can't hold."""
    return encode(
        {
            "attempts": setback.attempts,
            "first_failed_at": setback.first_failed_at,
            "due_at": setback.due_at,
            "first_error": printable(setback.first_error),
            "last_error": printable(setback.last_error),
            **attempt_fields(setback.failed_attempts),
        }
    )


def decode_setback(raw: bytes | str) -> Setback:
    """Return the setback that `encode_setback` wrote; raises `LogMisconfigured`."""
    return decode(raw, "a setback of a parked lane", _setback)


def _setback(fields: JsonObject) -> Setback:
    return Setback(
        attempts=int(fields["attempts"]),
        first_failed_at=float(fields["first_failed_at"]),
        due_at=float(fields["due_at"]),
        first_error=fields.get("first_error", ""),
        last_error=fields.get("last_error", ""),
        failed_attempts=failed_attempts(fields),
    )
