"""Receipts as JSON."""

from dataclasses import replace

from streamer.events import EventId, JsonObject, Receipt, SubscriberName
from streamer.log.records.record import decode, encode, printable

_DELIVERED = "delivered"


def encode_receipt(receipt: Receipt) -> bytes:
    """Return `receipt` as JSON; an answer that JSON can't hold becomes its Python text."""
    try:
        return encode(_fields(receipt))
    except TypeError:
        return encode(_fields(replace(receipt, answer={"text": printable(repr(receipt.answer))})))


def decode_receipt(raw: bytes | str) -> Receipt:
    """Return the receipt that `encode_receipt` wrote; raises `LogMisconfigured`."""
    return decode(raw, "a receipt", _receipt)


def _fields(receipt: Receipt) -> JsonObject:
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
    )
