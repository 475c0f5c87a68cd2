"""How values are kept in the durable logs: as JSON that a person can read.

Every record holds its version as `v`. Unknown keys are passed over, so that
an older Streamer reads what a newer one added; a change that it would misread
raises the version, and reading that raises `LogMisconfigured`.

A replay id of printable ASCII is kept as it is, any other as `base64:…`.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import orjson

from streamer.errors import LogMisconfigured
from streamer.events import (
    Channel,
    Checkpoint,
    ContinuityRecord,
    DeadLetter,
    Event,
    EventId,
    HoleCause,
    JsonObject,
    OrgId,
    ReplayId,
    Stage,
    SubscriberName,
)

VERSION = 1
_BASE64 = "base64:"

_Record = TypeVar("_Record")


def encode_event(event: Event) -> bytes:
    """Return `event` as JSON; raises `TypeError` when its data hold what JSON can't."""
    return orjson.dumps(_event_fields(event))


def decode_event(raw: bytes | str) -> Event:
    """Return the event that `encode_event` wrote; raises `LogMisconfigured`."""
    return _decode(raw, "an event", event_from_json)


def event_from_json(fields: Mapping[str, Any]) -> Event:
    """Return the event of an already parsed record; raises `LookupError`, `TypeError` or `ValueError`."""
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
    )


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Return `checkpoint` as JSON."""
    return orjson.dumps(
        {
            "v": VERSION,
            **_channel_fields(checkpoint.channel),
            "replay_id": _optional_text(checkpoint.replay_id),
            "verified_at": checkpoint.verified_at,
            "appended": checkpoint.appended,
            "open_replay_id": _optional_text(checkpoint.open_replay_id),
        }
    )


def decode_checkpoint(raw: bytes | str) -> Checkpoint:
    """Return the checkpoint that `encode_checkpoint` wrote; raises `LogMisconfigured`."""
    return _decode(raw, "a checkpoint", _checkpoint)


def encode_continuity(record: ContinuityRecord) -> bytes:
    """Return `record` as JSON."""
    return orjson.dumps(
        {
            "v": VERSION,
            **_channel_fields(record.channel),
            "cause": record.cause,
            "detail": record.detail,
            "recorded_at": record.recorded_at,
            "after": _optional_text(record.after),
            "verified_at": record.verified_at,
            "repaired": record.repaired,
        }
    )


def decode_continuity(raw: bytes | str) -> ContinuityRecord:
    """Return the record that `encode_continuity` wrote; raises `LogMisconfigured`."""
    return _decode(raw, "a continuity record", _continuity)


def encode_dead_letter(letter: DeadLetter) -> bytes:
    """Return `letter` as JSON.

    What JSON can't hold must not keep an event from being set aside: then the
    event is kept as its Python text in `raw`, and odd characters as escapes.
    """
    try:
        return orjson.dumps(_dead_letter_fields(letter))
    except TypeError:
        return orjson.dumps(_dead_letter_fields(_escaped(letter)))


def decode_dead_letter(raw: bytes | str) -> DeadLetter:
    """Return the dead letter that `encode_dead_letter` wrote; raises `LogMisconfigured`."""
    return _decode(raw, "a dead letter", _dead_letter)


def replay_id_to_text(replay_id: ReplayId) -> str:
    """Return `replay_id` as text that `replay_id_from_text` turns back."""
    if replay_id.isascii():
        text = replay_id.decode("ascii")
        if text.isprintable() and not text.startswith(_BASE64):
            return text
    return _BASE64 + base64.b64encode(replay_id).decode("ascii")


def replay_id_from_text(text: str) -> ReplayId:
    """Return the replay id of which `text` was made; raises `ValueError`."""
    if text.startswith(_BASE64):
        return ReplayId(base64.b64decode(text[len(_BASE64) :], validate=True))
    return ReplayId(text.encode("ascii"))


def _decode(raw: bytes | str, what: str, make: Callable[[JsonObject], _Record]) -> _Record:
    try:
        fields = orjson.loads(raw)
        if fields["v"] > VERSION:
            raise LogMisconfigured(
                f"the log holds {what} of version {fields['v']}, and this Streamer reads up to {VERSION}: "
                "run the newer Streamer that wrote it"
            )
        return make(fields)
    except (LookupError, TypeError, ValueError, AttributeError, binascii.Error) as exc:
        raise LogMisconfigured(
            f"the log holds {what} that Streamer did not write: give Streamer a log of its own"
        ) from exc


def _event_fields(event: Event) -> JsonObject:
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
    }


def _channel_fields(channel: Channel) -> JsonObject:
    return {"org": channel.org, "path": channel.path}


def _dead_letter_fields(letter: DeadLetter) -> JsonObject:
    return {
        "v": VERSION,
        "id": letter.id,
        "stage": letter.stage,
        "channel": letter.channel,
        "reason": letter.reason,
        "error": letter.error,
        "hint": letter.hint,
        "failed_at": letter.failed_at,
        "first_failed_at": letter.first_failed_at,
        "replay_id": _optional_text(letter.replay_id),
        "raw": base64.b64encode(letter.raw).decode("ascii"),
        "event": None if letter.event is None else _event_fields(letter.event),
        "subscriber": letter.subscriber,
        "attempts": letter.attempts,
        "answer": letter.answer,
    }


def _escaped(letter: DeadLetter) -> DeadLetter:
    return replace(
        letter,
        id=_printable(letter.id),
        channel=_printable(letter.channel),
        reason=_printable(letter.reason),
        error=_printable(letter.error),
        hint=_printable(letter.hint),
        answer=_printable(letter.answer),
        raw=letter.raw or _printable(repr(letter.event)).encode(),
        event=None,
    )


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _checkpoint(fields: JsonObject) -> Checkpoint:
    return Checkpoint(
        channel=_channel(fields),
        replay_id=_optional_replay_id(fields["replay_id"]),
        verified_at=float(fields["verified_at"]),
        appended=tuple(EventId(id_) for id_ in fields.get("appended", ())),
        open_replay_id=_optional_replay_id(fields.get("open_replay_id")),
    )


def _continuity(fields: JsonObject) -> ContinuityRecord:
    return ContinuityRecord(
        channel=_channel(fields),
        cause=HoleCause(fields["cause"]),
        detail=fields["detail"],
        recorded_at=float(fields["recorded_at"]),
        after=_optional_replay_id(fields.get("after")),
        verified_at=fields.get("verified_at"),
        repaired=fields.get("repaired", False),
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
        replay_id=_optional_replay_id(fields.get("replay_id")),
        raw=base64.b64decode(fields.get("raw", ""), validate=True),
        event=None if event is None else event_from_json(event),
        subscriber=None if subscriber is None else SubscriberName(subscriber),
        attempts=fields.get("attempts", 0),
        answer=fields.get("answer", ""),
    )


def _channel(fields: JsonObject) -> Channel:
    return Channel(org=OrgId(fields["org"]), path=fields["path"])


def _optional_text(replay_id: ReplayId | None) -> str | None:
    return None if replay_id is None else replay_id_to_text(replay_id)


def _optional_replay_id(text: str | None) -> ReplayId | None:
    return None if text is None else replay_id_from_text(text)
