"""Setbacks as JSON."""

from streamer.events import JsonObject, Setback
from streamer.log.records.record import decode, encode, printable


def encode_setback(setback: Setback) -> bytes:
    """Return `setback` as JSON, with characters of its errors that UTF-8 can't hold escaped."""
    return encode(
        {
            "attempts": setback.attempts,
            "first_failed_at": setback.first_failed_at,
            "due_at": setback.due_at,
            "first_error": printable(setback.first_error),
            "last_error": printable(setback.last_error),
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
    )
