"""Number of events in a FetchResponse, counted in its bytes before any of them is made."""

from google.protobuf.message import DecodeError

# In so few bytes even empty events take little memory, so the parsed message is counted.
_PARSED_FIRST = 64 * 1024

_EVENTS = 1
# Each field but the events comes once.
_MOST_OTHERS = 64
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


class TooManyEvents(Exception):
    """An answer holds more events than were asked for."""


def check_event_count(raw: bytes, most: int) -> None:
    """Raise `TooManyEvents` if `raw` is a large FetchResponse of more than `most` events.

    It looks no further than that. An empty event takes two bytes here and fifty
    when it is parsed. Raises `DecodeError` for bytes that are no FetchResponse.
    """
    if len(raw) <= _PARSED_FIRST:
        return
    at = events = others = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        if tag >> 3 == _EVENTS:
            events += 1
            if events > most:
                raise TooManyEvents
        else:
            others += 1
            if others > _MOST_OTHERS:
                raise DecodeError("a FetchResponse with many fields other than events")
        at = _end_of_field(raw, at, tag & 7)


def _end_of_field(raw: bytes, at: int, wire_type: int) -> int:
    if wire_type == _BYTES:
        length, at = _varint(raw, at)
        return at + length
    if wire_type == _VARINT:
        return _varint(raw, at)[1]
    if wire_type in {_FIXED32, _FIXED64}:
        return at + (4 if wire_type == _FIXED32 else 8)
    raise DecodeError("a FetchResponse with a group")


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for number, byte in enumerate(raw[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * number
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a varint
            return value, at + number + 1
    raise DecodeError("a number without an end")
