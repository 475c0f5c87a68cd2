"""Events, checkpoints and receipts as JSON, and the envelope that every record has."""

import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import orjson

from streamer.errors import ForeignRecord, LogMisconfigured
from streamer.events import (
    AttemptExchange,
    Channel,
    Checkpoint,
    Event,
    EventId,
    FailedAttempt,
    FailureClass,
    JsonObject,
    OrgId,
    Receipt,
    SubscriberName,
    optional_replay_id,
    optional_replay_text,
    replay_id_from_text,
    replay_id_to_text,
)
from streamer.exact_json import exact_default, exact_value

VERSION = 1

RECORD_START = b'{"v":'
"""First bytes of every record that `encode` returns."""

_Value = TypeVar("_Value")


def encode(fields: JsonObject) -> bytes:
    """Return `fields` as a versioned record; raises `TypeError` when JSON can't hold `fields`."""
    return orjson.dumps({"v": VERSION, **fields}, default=exact_default)


def decode(
    raw: bytes | str, what: str, make: Callable[[JsonObject], _Value], *, version: int = VERSION
) -> _Value:
    """Return the value that `make` builds from a record's fields.

    `what` names the kind of record in errors. `version` is the highest version that
    `make` can read. Raises `LogMisconfigured` for a newer version and
    `ForeignRecord` for a record that Streamer did not write.
    """
    try:
        fields = exact_value(raw)
        if fields["v"] > version:
            raise LogMisconfigured(
                f"the log holds {what} of version {fields['v']}, but this version of Streamer reads "
                f"only up to {version}: run the newer version of Streamer that wrote the record"
            )
        return make(fields)
    except (LookupError, TypeError, ValueError, AttributeError, binascii.Error) as exc:
        raise ForeignRecord(
            f"the log holds {what} that Streamer did not write: use a log that only Streamer writes"
        ) from exc


def printable(text: str) -> str:
    """Return `text`, and escape characters that UTF-8 can't hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def optional_printable(text: str | None) -> str | None:
    """Return `text`, with an escape for each character that UTF-8 can't hold, or `None` for `None`."""
    return None if text is None else printable(text)


def optional_float(number: float | None) -> float | None:
    """Return `number` as a float, or `None` for `None`; JSON does not distinguish floats from integers."""
    return None if number is None else float(number)


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


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Return `checkpoint` as JSON."""
    return encode(
        {
            **channel_fields(checkpoint.channel),
            "replay_id": optional_replay_text(checkpoint.replay_id),
            "verified_at": checkpoint.verified_at,
            "appended": checkpoint.appended,
            "open_replay_id": optional_replay_text(checkpoint.open_replay_id),
            "positioned_at": checkpoint.positioned_at,
            "skips_after": optional_replay_text(checkpoint.skips_after),
        }
    )


def decode_checkpoint(raw: bytes | str) -> Checkpoint:
    """Return the checkpoint that `encode_checkpoint` wrote; raises `LogMisconfigured`."""
    return decode(raw, "a checkpoint", _checkpoint)


def _checkpoint(fields: JsonObject) -> Checkpoint:
    return Checkpoint(
        channel=_channel(fields),
        replay_id=optional_replay_id(fields["replay_id"]),
        verified_at=float(fields["verified_at"]),
        appended=tuple(EventId(id_) for id_ in fields.get("appended", ())),
        open_replay_id=optional_replay_id(fields.get("open_replay_id")),
        positioned_at=optional_float(fields.get("positioned_at")),
        skips_after=optional_replay_id(fields.get("skips_after")),
    )


def channel_fields(channel: Channel) -> JsonObject:
    """Return `channel` as fields of a record."""
    return {"org": channel.org, "path": channel.path}


def _channel(fields: JsonObject) -> Channel:
    return Channel(org=OrgId(fields["org"]), path=fields["path"])


_DELIVERED = "delivered"


def encode_receipt(receipt: Receipt) -> bytes:
    """Return `receipt` as JSON; an answer that JSON can't hold becomes its Python text."""
    try:
        return encode(_receipt_fields(receipt))
    except TypeError:
        return encode(_receipt_fields(replace(receipt, answer={"text": printable(repr(receipt.answer))})))


def decode_receipt(raw: bytes | str) -> Receipt:
    """Return the receipt that `encode_receipt` wrote; raises `LogMisconfigured`."""
    return decode(raw, "a receipt", _receipt)


def _receipt_fields(receipt: Receipt) -> JsonObject:
    return {
        "outcome": _DELIVERED,
        "event_id": receipt.event_id,
        "event_type": receipt.event_type,
        "event_key": receipt.event_key,
        "subscriber": receipt.subscriber,
        "attempts": receipt.attempts,
        "first_tried_at": receipt.first_tried_at,
        "delivered_at": receipt.delivered_at,
        "seconds": receipt.seconds,
        "answer": dict(receipt.answer),
        **attempt_fields(receipt.failed_attempts),
    }


def _receipt(fields: JsonObject) -> Receipt:
    return Receipt(
        event_id=EventId(fields["event_id"]),
        event_type=fields["event_type"],
        event_key=fields["event_key"],
        subscriber=SubscriberName(fields["subscriber"]),
        attempts=int(fields["attempts"]),
        first_tried_at=float(fields["first_tried_at"]),
        delivered_at=float(fields["delivered_at"]),
        seconds=float(fields["seconds"]),
        answer=fields.get("answer", {}),
        failed_attempts=failed_attempts(fields),
    )


_FAILURES = {each.value: each for each in FailureClass}


def attempt_fields(attempts: Sequence[FailedAttempt]) -> JsonObject:
    """Return the field with failed attempts; no field without attempts, as in nearly every record."""
    said = [_attempt_fields(each) for each in attempts]
    return {"failed_attempts": said} if said else {}


def _attempt_fields(attempt: FailedAttempt) -> JsonObject:
    # An older version ignores the fields `answer` and `exchange`.
    exchange = attempt.exchange
    return {
        "at": attempt.at,
        "seconds": attempt.seconds,
        "failure": attempt.failure.value,
        "error": printable(attempt.error),
        **({"answer": printable(attempt.answer)} if attempt.answer else {}),
        **({} if exchange is None else {"exchange": exchange_fields(exchange)}),
    }


def exchange_fields(exchange: AttemptExchange) -> JsonObject:
    """Return an exchange as JSON."""
    return {
        "request": printable(exchange.request),
        "size": exchange.size,
        "digest": exchange.digest,
        "status": exchange.status,
        "headers": {name: printable(value) for name, value in exchange.headers.items()},
    }


def failed_attempts(fields: JsonObject) -> tuple[FailedAttempt, ...]:
    """Return the failed attempts of a record."""
    found: tuple[FailedAttempt, ...] = ()
    for each in fields.get("failed_attempts", ()):
        exchange = each.get("exchange")
        attempt = FailedAttempt(
            at=float(each["at"]),
            seconds=float(each["seconds"]),
            # A newer Streamer can know more kinds of failures.
            failure=_FAILURES.get(each["failure"], FailureClass.OTHER),
            error=str(each["error"]),
            answer=str(each.get("answer", "")),
            exchange=None if exchange is None else _exchange(exchange),
        )
        found = attempt.added_to(found)
    return found


def _exchange(fields: JsonObject) -> AttemptExchange:
    status = fields["status"]
    return AttemptExchange(
        request=str(fields["request"]),
        size=int(fields["size"]),
        digest=str(fields["digest"]),
        status=None if status is None else int(status),
        headers={str(name): str(value) for name, value in fields["headers"].items()},
    ).bounded
