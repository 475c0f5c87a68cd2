"""JSON of the API's answers. Times are in UTC; positions and replay ids are text."""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from streamer.continuity import reason_of
from streamer.controls import AuditRecord, LetterFilter, Redrive, SnapshotOrder, Wanted
from streamer.dispatch.delivery.route import event_document
from streamer.events import (
    AttemptExchange,
    ContinuityRecord,
    DeadLetter,
    Event,
    FailedAttempt,
    HoleAcknowledgement,
    JsonObject,
    LetterHead,
    Receipt,
    Repair,
    SubscriberName,
    replay_id_to_text,
)
from streamer.observe.subscriber_status import ParkedKey
from streamer.ports import LoggedEvent

_ERROR_LIMIT = 300
_MOST_NAMED = 20
_RUNNING = "running"


def rfc3339(at: float) -> str:
    """Return epoch seconds as RFC 3339, in UTC with microseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def letter_summary(letter: LetterHead) -> JsonObject:
    """Return the fields of a dead letter for a list."""
    return {
        "id": letter.id,
        "subscriber": letter.subscriber,
        "stage": letter.stage,
        "event_id": letter.event_id,
        "type": letter.event_type,
        "key": letter.key,
        "reason": letter.reason,
        "error": letter.error[:_ERROR_LIMIT],
        "attempts": letter.attempts,
        "failed_at": rfc3339(letter.failed_at),
    }


def attempts_json(attempts: Sequence[FailedAttempt]) -> list[JsonObject]:
    """Return failed attempts, the first one first."""
    return [
        {
            "at": rfc3339(each.at),
            "seconds": each.seconds,
            "class": each.failure,
            "error": each.error,
            "answer": each.answer,
            "exchange": exchange_json(each.exchange),
        }
        for each in attempts
    ]


def exchange_json(exchange: AttemptExchange | None) -> JsonObject | None:
    """Return the request and the head of the answer of a failed attempt, or `None` if they are not kept."""
    if exchange is None:
        return None
    return {
        "request": exchange.request,
        "size": exchange.size,
        "digest": exchange.digest,
        "status": exchange.status,
        "headers": dict(exchange.headers),
    }


def letter_detail(letter: DeadLetter) -> JsonObject:
    """Return all fields of a dead letter; `raw` is Base64, or `None`."""
    place = letter.partition
    return {
        **letter_summary(letter.head),
        "error": letter.error,
        "hint": letter.hint,
        "first_error": letter.first_error,
        "first_failed_at": rfc3339(letter.first_failed_at),
        "answer": letter.answer,
        "failed_attempts": attempts_json(letter.failed_attempts),
        "channel": letter.channel,
        "replay_id": None if letter.replay_id is None else replay_id_to_text(letter.replay_id),
        "schema_id": letter.schema_id or None,
        "event_uuid": letter.event_uuid or None,
        "topic": place.topic if place else None,
        "partition": place.number if place else None,
        "offset": letter.offset,
        "whole_size": letter.whole_size or None,
        "whole_sha256": letter.whole_sha256 or None,
        "raw": base64.b64encode(letter.raw).decode() if letter.raw else None,
        "event": event_json(letter.event) if letter.event else None,
    }


def logged_json(logged: LoggedEvent) -> JsonObject:
    """Return a list entry of an event: its attributes, position in the log, and changed fields."""
    event, entry = logged.event, logged.entry
    changed = event.data.get("changed_fields")
    return {
        "id": event.id,
        "type": event.type,
        "subject": event.subject,
        "key": event.key,
        "time": event.time,
        "channel": event.channel,
        "replay_id": replay_id_to_text(event.replay_id),
        "changed_fields": changed[:_MOST_NAMED] if isinstance(changed, list) else [],
        **place_json(logged),
        "size": entry.size,
    }


def place_json(logged: LoggedEvent) -> JsonObject:
    """Return an event's position in the log, and the time of its append if the log keeps that time."""
    entry = logged.entry
    return {
        "topic": entry.partition.topic,
        "partition": entry.partition.number,
        "offset": entry.offset,
        "appended_at": optional_time(logged.appended_at),
    }


def receipt_json(receipt: Receipt) -> JsonObject:
    """Return a receipt of one event."""
    return {
        "subscriber": receipt.subscriber,
        "attempts": receipt.attempts,
        "first_tried_at": rfc3339(receipt.first_tried_at),
        "delivered_at": rfc3339(receipt.delivered_at),
        "seconds": receipt.seconds,
        "answer": dict(receipt.answer),
        "failed_attempts": attempts_json(receipt.failed_attempts),
    }


def parked_json(subscriber: SubscriberName, parked: ParkedKey) -> JsonObject:
    """Return a parked key of `subscriber`."""
    failed_at = parked.first_failed_at
    return {
        "subscriber": subscriber,
        "key": parked.key,
        "state": parked.state,
        "events": parked.events,
        "attempts": parked.attempts,
        "due_at": rfc3339(parked.due_at),
        "error": parked.last_error[:_ERROR_LIMIT],
        "first_failed_at": optional_time(failed_at),
        "first_error": parked.first_error[:_ERROR_LIMIT],
        "topic": parked.partition.topic,
        "partition": parked.partition.number,
        "offset": parked.offset,
    }


def filter_json(letters: LetterFilter) -> JsonObject:
    """Return the set fields of a filter.

    The result contains at most 20 ids; `further_ids` is the number of ids beyond these
    20.
    """
    ids = None if letters.ids is None else sorted(letters.ids)
    said: Mapping[str, str | int | Sequence[str] | None] = {
        "ids": ids and ids[:_MOST_NAMED],
        "further_ids": len(ids) - _MOST_NAMED if ids and len(ids) > _MOST_NAMED else None,
        "channel": letters.channel,
        "subscriber": letters.subscriber,
        "key": letters.key,
        "reason": letters.reason,
        "error": letters.error,
        "since": optional_time(letters.failed_from),
        "until": optional_time(letters.failed_before),
    }
    return {name: value for name, value in said.items() if value is not None}


def redrive_json(redrive: Redrive, *, left: int, begun_with: int | None) -> JsonObject:
    """Return a redrive and its progress: of `begun_with` dead letters, `left` are not redriven yet."""
    return {
        "id": redrive.id,
        "subscriber": redrive.letters.subscriber,
        "channel": redrive.letters.channel,
        "letters": filter_json(redrive.letters),
        "per_second": redrive.per_second,
        "by": redrive.by,
        "at": rfc3339(redrive.at),
        "left": left,
        "from": begun_with,
    }


def ended_redrive_json(record: AuditRecord, *, ordered: AuditRecord | None, superseded: int) -> JsonObject:
    """Return an ended redrive from the audit `record` of its end, and from the record of its order, if known.

    `from` counts the dead letters of the order, and `left` the unprocessed ones.
    `superseded` counts the dead letters that were superseded after the order, and so
    not redriven.
    """
    left = record.detail.get("left")
    meant = None if ordered is None else ordered.detail.get("meant")
    return {
        "id": record.detail.get("id"),
        "subscriber": record.subscriber,
        "channel": meant.get("channel") if isinstance(meant, dict) else None,
        "by": None if ordered is None else ordered.by,
        "ordered_at": None if ordered is None else rfc3339(ordered.at),
        "from": None if ordered is None else ordered.detail.get("letters"),
        "at": rfc3339(record.at),
        "cancelled_by": None if left is None else record.by,
        "left": left or 0,
        "superseded": superseded,
    }


def continuity_json(record: ContinuityRecord) -> JsonObject:
    """Return a continuity record. `from` and `until` bound the hole; an unknown end is `None`."""
    return {
        "id": record.id,
        "channel": record.channel.path,
        "org": record.channel.org,
        "cause": record.cause,
        "state": record.state,
        "entity": record.entity,
        "detail": record.detail,
        "waits": _waits(record),
        "after": None if record.after is None else replay_id_to_text(record.after),
        "from": optional_time(record.verified_at),
        "until": optional_time(record.until),
        "found": record.found,
        "published": record.published,
        "recorded_at": rfc3339(record.recorded_at),
        "updated_at": optional_time(record.updated_at),
        "acknowledged": _acknowledgement_json(record.acknowledged),
    }


def _acknowledgement_json(acknowledged: HoleAcknowledgement | None) -> JsonObject | None:
    if acknowledged is None:
        return None
    return {"by": acknowledged.by, "at": rfc3339(acknowledged.at), "reason": acknowledged.reason}


def snapshot_json(order: SnapshotOrder | None, record: ContinuityRecord | None) -> JsonObject:
    """Return a snapshot from its `order` and its progress `record`.

    `order` is `None` after the end, and `record` is `None` before the start.
    """
    state = _snapshot_state(order, record)
    return {
        "id": record.id if record else order.id if order else None,
        "channel": record.channel.path if record else order.channel if order else None,
        "entity": record.entity if record else order.entity if order else None,
        "where": order.where if order else None,
        "fields": order.fields if order else None,
        "since": optional_time(order.since) if order else None,
        "state": state,
        "waits": _waits(record) if record and state == _RUNNING else "",
        "by": order.by if order else None,
        "at": rfc3339(order.at) if order else None,
        "found": record.found if record else 0,
        "published": record.published if record else 0,
        "begun_at": rfc3339(record.recorded_at) if record else None,
        "updated_at": optional_time(record.updated_at) if record else None,
        "detail": record.detail if record else "",
    }


def _snapshot_state(order: SnapshotOrder | None, record: ContinuityRecord | None) -> str:
    if record is not None and record.state is not Repair.OPEN:
        return record.state
    if order is not None and order.wanted is not Wanted.RUNNING:
        return "paused" if order.wanted is Wanted.PAUSED else "cancelling"
    return "waiting" if record is None else _RUNNING


def audit_json(record: AuditRecord) -> JsonObject:
    """Return an audit record."""
    return {
        "at": rfc3339(record.at),
        "what": record.what,
        "by": record.by,
        "subscriber": record.subscriber,
        "detail": record.detail,
    }


def _waits(record: ContinuityRecord) -> str:
    """Return the reason why an open repair waits, or an empty text if the repair does not wait."""
    return reason_of(record.progress) if record.state is Repair.OPEN else ""


def optional_time(at: float | None) -> str | None:
    """Return epoch seconds as RFC 3339, and `None` for `None`."""
    return None if at is None else rfc3339(at)


def event_json(event: Event) -> JsonObject:
    """Return an event with its position, its key, and the upstream subscribers' receipts."""
    return {
        **event_document(event),
        **({} if event.receipts is None else {"receipts": event.receipts}),
        "key": event.key,
        "channel": event.channel,
        "replay_id": replay_id_to_text(event.replay_id),
    }
