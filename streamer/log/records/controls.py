"""Controls, orders and audit records as JSON."""

import math
from collections.abc import Collection
from dataclasses import replace

from streamer.controls import (
    AuditRecord,
    ChannelPosition,
    Control,
    LetterFilter,
    PositionOrder,
    Redrive,
    SnapshotOrder,
    Switch,
    Wanted,
    is_whole_error,
)
from streamer.events import JsonObject, SubscriberName, optional_replay_id, optional_replay_text
from streamer.log.records.events import VERSION, decode, encode, optional_float, optional_printable, printable
from streamer.ports import ProcessRecord, ProcessRecordKind

_WITH_IDS = 2
_OF_CHANNEL = 3
_OF_WHOLE_ERROR = 4


def encode_control(control: Control) -> bytes:
    """Return `control` as JSON, and escape characters that UTF-8 can't hold."""
    return encode(
        {
            "subscriber": control.subscriber,
            "switch": control.switch,
            "by": printable(control.by),
            "at": control.at,
            "reason": printable(control.reason),
        }
    )


def decode_control(raw: bytes | str) -> Control:
    """Return the control that `encode_control` wrote; raises `LogMisconfigured`."""
    return decode(raw, "a control of a subscriber", _control)


def encode_redrive(redrive: Redrive) -> bytes:
    """Return `redrive` as JSON, and escape characters that UTF-8 can't hold."""
    return encode(
        {
            "v": _version(redrive.letters),
            "id": redrive.id,
            "letters": _filter_fields(redrive.letters),
            "per_second": redrive.per_second,
            "by": printable(redrive.by),
            "at": redrive.at,
            "skipped": sorted(printable(id_) for id_ in redrive.skipped),
            "include_superseded": redrive.include_superseded,
            "ended_at": redrive.ended_at,
        }
    )


def decode_redrive(raw: bytes | str) -> Redrive:
    """Return the redrive that `encode_redrive` wrote; raises `LogMisconfigured`."""
    return decode(raw, "a redrive", _redrive, version=_OF_WHOLE_ERROR)


def encode_left_out(letters: Collection[str]) -> bytes:
    """Return, as JSON, the ids of the dead letters that a redrive skips."""
    return encode({"letters": sorted(printable(id_) for id_ in letters)})


def decode_left_out(raw: bytes | str) -> frozenset[str]:
    """Return the ids that `encode_left_out` wrote; raises `LogMisconfigured`."""
    return decode(raw, "the ids that a redrive skips", lambda fields: frozenset(fields["letters"]))


def encode_snapshot_order(order: SnapshotOrder) -> bytes:
    """Return `order` as JSON, and escape characters that UTF-8 can't hold."""
    return encode(
        {
            "id": printable(order.id),
            "channel": printable(order.channel),
            "entity": printable(order.entity),
            "where": printable(order.where),
            "fields": [printable(name) for name in order.fields],
            "since": order.since,
            "wanted": order.wanted,
            "by": printable(order.by),
            "at": order.at,
            "ended_at": order.ended_at,
        }
    )


def decode_snapshot_order(raw: bytes | str) -> SnapshotOrder:
    """Return the order that `encode_snapshot_order` wrote; raises `LogMisconfigured`."""
    return decode(raw, "a snapshot order", _snapshot_order)


def encode_position_order(order: PositionOrder) -> bytes:
    """Return `order` as JSON, and escape characters that UTF-8 can't hold."""
    return encode(
        {
            "id": printable(order.id),
            "channel": printable(order.channel),
            "place": order.place,
            "replay_id": optional_replay_text(order.replay_id),
            "since": order.since,
            "repeat": order.repeat,
            "by": printable(order.by),
            "at": order.at,
            "ended_at": order.ended_at,
        }
    )


def decode_position_order(raw: bytes | str) -> PositionOrder:
    """Return the order that `encode_position_order` wrote; raises `LogMisconfigured`."""
    return decode(raw, "a position order", _position_order)


def _version(letters: LetterFilter) -> int:
    # The version is higher, so that an older reader refuses an order with an unknown condition.
    # Otherwise, the older reader would apply the order to all dead letters.
    if letters.error is not None and is_whole_error(letters.error):
        return _OF_WHOLE_ERROR
    if letters.channel is not None:
        return _OF_CHANNEL
    return VERSION if letters.ids is None else _WITH_IDS


def _filter_fields(letters: LetterFilter) -> JsonObject:
    return {
        "ids": None if letters.ids is None else sorted(printable(id_) for id_ in letters.ids),
        "subscriber": letters.subscriber,
        "key": optional_printable(letters.key),
        "reason": optional_printable(letters.reason),
        "error": optional_printable(letters.error),
        "failed_from": letters.failed_from,
        "failed_before": letters.failed_before,
        "channel": optional_printable(letters.channel),
    }


def _control(fields: JsonObject) -> Control:
    return Control(
        subscriber=SubscriberName(fields["subscriber"]),
        switch=Switch(fields["switch"]),
        by=fields["by"],
        at=float(fields["at"]),
        reason=fields.get("reason", ""),
    )


def _redrive(fields: JsonObject) -> Redrive:
    return Redrive(
        id=fields["id"],
        letters=_filter(fields["letters"]),
        per_second=float(fields["per_second"]),
        by=fields["by"],
        at=float(fields["at"]),
        skipped=frozenset(fields.get("skipped", ())),
        # An order of an older version names the skipped dead letters only in `skipped`.
        include_superseded=bool(fields.get("include_superseded", True)),
        ended_at=optional_float(fields.get("ended_at")),
    )


# A reader that ignores an unknown filter would redrive more dead letters than the operator
# ordered. So a change that adds a filter must raise the version.
def _filter(fields: JsonObject) -> LetterFilter:
    ids, subscriber = fields.get("ids"), fields.get("subscriber")
    return LetterFilter(
        ids=None if ids is None else frozenset(ids),
        subscriber=None if subscriber is None else SubscriberName(subscriber),
        key=fields.get("key"),
        reason=fields.get("reason"),
        error=fields.get("error"),
        failed_from=optional_float(fields.get("failed_from")),
        failed_before=optional_float(fields.get("failed_before")),
        channel=fields.get("channel"),
    )


# A reader that ignores an unknown condition would read more records than the operator ordered.
# So a change that adds a condition must raise the version.
def _snapshot_order(fields: JsonObject) -> SnapshotOrder:
    order = SnapshotOrder(
        id=fields["id"],
        channel=fields["channel"],
        entity=fields["entity"],
        where=fields["where"],
        fields=tuple(fields["fields"]),
        since=optional_float(fields.get("since")),
        wanted=Wanted(fields["wanted"]),
        by=fields["by"],
        at=float(fields["at"]),
        ended_at=optional_float(fields.get("ended_at")),
    )
    texts = (order.id, order.channel, order.entity, order.where, order.by, *order.fields)
    if not all(type(each) is str for each in texts):
        raise ValueError("a value that must be a text has another type")
    return order


def _position_order(fields: JsonObject) -> PositionOrder:
    order = PositionOrder(
        id=fields["id"],
        channel=fields["channel"],
        place=ChannelPosition(fields["place"]),
        replay_id=optional_replay_id(fields["replay_id"]),
        since=optional_float(fields["since"]),
        repeat=fields["repeat"] is True,
        by=fields["by"],
        at=float(fields["at"]),
        ended_at=optional_float(fields.get("ended_at")),
    )
    if not all(type(each) is str for each in (order.id, order.channel, order.by)):
        raise ValueError("a value that must be a text has another type")
    return order


def encode_audit(record: AuditRecord) -> bytes:
    """Return `record` as JSON; a detail that JSON can't hold becomes its Python text."""
    try:
        return encode(_audit_fields(record))
    except TypeError:
        text = {"text": printable(repr(record.detail))}
        return encode(_audit_fields(replace(record, by=printable(record.by), detail=text)))


def decode_audit(raw: bytes | str) -> AuditRecord:
    """Return the record that `encode_audit` wrote; raises `LogMisconfigured`."""
    return decode(raw, "an audit record", _audit)


def encode_process_record(record: ProcessRecord) -> bytes:
    """Return `record` as JSON; raises `TypeError` when JSON can't hold its body."""
    return encode(
        {
            "process": printable(record.process),
            "instance": record.instance,
            "kind": record.kind,
            "at": record.at,
            "body": record.body,
        }
    )


def decode_process_record(raw: bytes | str) -> ProcessRecord:
    """Return the record that `encode_process_record` wrote; raises `LogMisconfigured`."""
    return decode(raw, "a record of a process", _process_record)


def _process_record(fields: JsonObject) -> ProcessRecord:
    record = ProcessRecord(
        process=fields["process"],
        instance=fields["instance"],
        kind=ProcessRecordKind(fields["kind"]),
        at=float(fields["at"]),
        body=fields["body"],
    )
    if not all(type(each) is str for each in (record.process, record.instance)):
        raise ValueError("a value that must be a text has another type")
    if not math.isfinite(record.at):
        raise ValueError("the time must be a number")
    if not (record.body is None or isinstance(record.body, dict)):
        raise ValueError("the body must be an object")
    return record


def _audit_fields(record: AuditRecord) -> JsonObject:
    return {
        "at": record.at,
        "what": record.what,
        "by": record.by,
        "subscriber": record.subscriber,
        "detail": record.detail,
    }


def _audit(fields: JsonObject) -> AuditRecord:
    subscriber = fields.get("subscriber")
    return AuditRecord(
        at=float(fields["at"]),
        what=fields["what"],
        by=fields["by"],
        subscriber=None if subscriber is None else SubscriberName(subscriber),
        detail=fields.get("detail", {}),
    )
