"""Dates and date-times of fields, as the texts that CometD carries.

In Avro both are longs, milliseconds since the epoch; a date is its midnight in
UTC (Streaming API guide, differences between change events). Only the
documentation of a field tells them from a number. It has the form
`<origin>:<type>[:<id of the field>]`, such as `Data:DateTime:00N…`,
`CreatedDate:DateTime` or `Data:DateOnly`. A long without such a text and without
an Avro logical type stays a number, save for the system fields that every
event has.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache

from streamer.salesforce.pubsub.avro.definitions import Primitive

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - formatted without a zone, which is faster
_DAY_MS = 86_400_000
_SYSTEM_TIMES = frozenset({"CreatedDate", "LastModifiedDate"})

TimeText = Callable[[int], str]
"""Returns the text of a field's number; raises `ValueError` for a time outside of the years 1 to 9999."""


def date_time_of_ms(epoch_ms: int) -> str:
    """Return milliseconds since the epoch as `YYYY-MM-DDTHH:mm:ss.sssZ`."""
    seconds, milliseconds = divmod(epoch_ms, 1000)
    return f"{_whole_seconds(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=4096)
def date_of_ms(epoch_ms: int) -> str:
    """Return the day of a time in milliseconds since the epoch as `YYYY-MM-DD`."""
    return _moment(epoch_ms // 1000).date().isoformat()


def stated_time(doc: str, *, name: str = "") -> TimeText | None:
    """Return the format that a field of milliseconds has by its documentation, or by its `name`.

    `name` names a field at the top of an event. `None` for a field that is not
    stated to be a time.
    """
    parts = doc.split(":")
    match parts[1].lower() if len(parts) > 1 else "":
        case "datetime":
            return date_time_of_ms
        case "date" | "dateonly":
            return date_of_ms
        case _:
            return date_time_of_ms if name in _SYSTEM_TIMES else None


def time_text(kind: Primitive, stated: TimeText | None) -> TimeText | None:
    """Return the format of the values of a type, or `None` for plain numbers.

    `stated` is the format of the field that has the type. Avro's logical type
    tells the unit.
    """
    match kind.kind, kind.logical:
        case "int", "date":
            return _date_of_days
        case "long", "timestamp-micros" | "local-timestamp-micros":
            return _of_microseconds(stated or date_time_of_ms)
        case "long", "timestamp-millis" | "local-timestamp-millis":
            return stated or date_time_of_ms
        case "long", _:
            return stated
        case _:
            return None


def _date_of_days(days: int) -> str:
    return date_of_ms(days * _DAY_MS)


def _of_microseconds(text: TimeText) -> TimeText:
    def text_of(epoch_us: int) -> str:
        return text(epoch_us // 1000)

    return text_of


# Events come in bursts of the same second.
@lru_cache(maxsize=4096)
def _whole_seconds(seconds: int) -> str:
    return _moment(seconds).isoformat()


def _moment(seconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError as error:
        raise ValueError("a time outside of the years 1 to 9999") from error
