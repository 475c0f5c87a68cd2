"""Dead letters as JSON."""

import base64
from dataclasses import replace

from streamer.events import DeadLetter, JsonObject, Partition, Stage, SubscriberName
from streamer.log.records.events import event_fields, event_from_json
from streamer.log.records.record import decode, encode, printable
from streamer.replay_ids import optional_replay_id, optional_text


def encode_dead_letter(letter: DeadLetter) -> bytes:
    """Return `letter` as JSON.

    An event that JSON can't hold must still be set aside: then `raw` holds its
    Python text, and characters that UTF-8 can't hold are escaped.
    """
    try:
        return encode(_fields(letter))
    except TypeError:
        return encode(_fields(_escaped(letter)))


def decode_dead_letter(raw: bytes | str) -> DeadLetter:
    """Return the dead letter that `encode_dead_letter` wrote; raises `LogMisconfigured`."""
    return decode(raw, "a dead letter", _dead_letter)


def _fields(letter: DeadLetter) -> JsonObject:
    return {
        "id": letter.id,
        "stage": letter.stage,
        "channel": letter.channel,
        "reason": letter.reason,
        "error": letter.error,
        "hint": letter.hint,
        "failed_at": letter.failed_at,
        "first_failed_at": letter.first_failed_at,
        "replay_id": optional_text(letter.replay_id),
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
    )


def _partition(fields: JsonObject) -> Partition | None:
    topic = fields.get("topic")
    return None if topic is None else Partition(topic=topic, number=int(fields["partition"]))
