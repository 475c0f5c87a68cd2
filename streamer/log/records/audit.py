"""Audit records as JSON."""

from dataclasses import replace

from streamer.controls import AuditRecord
from streamer.events import JsonObject, SubscriberName
from streamer.log.records.record import decode, encode, printable


def encode_audit(record: AuditRecord) -> bytes:
    """Return `record` as JSON; a detail that JSON can't hold becomes its Python text."""
    try:
        return encode(_fields(record))
    except TypeError:
        text = {"text": printable(repr(record.detail))}
        return encode(_fields(replace(record, by=printable(record.by), detail=text)))


def decode_audit(raw: bytes | str) -> AuditRecord:
    """Return the record that `encode_audit` wrote; raises `LogMisconfigured`."""
    return decode(raw, "an audit record", _audit)


def _fields(record: AuditRecord) -> JsonObject:
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
