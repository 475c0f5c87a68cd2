"""Conversion of dates and date-times to Avro's numbers.

Both are milliseconds since the epoch, a date its midnight in UTC (Streaming
API guide, differences between change events). Only the documentation of a field
tells them from numbers: see `streamer.salesforce.pubsub.avro.times`.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from streamer.salesforce.publish.avro.unfit import UnfitValue, found
from streamer.salesforce.pubsub.avro.times import date_time_of_ms

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 86_400_000
_MS = timedelta(milliseconds=1)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?.*", re.ASCII)
_WANTED = "must be a date-time with its offset, such as 2025-01-31T12:00:00Z"
_WANTED_DATE = "must be a date, such as 2025-01-31"


def ms_of_date_time(value: Any) -> int:
    """Return a date-time as milliseconds since the epoch, rounded down; raises `UnfitValue`.

    `value` is a text in the form of ISO 8601 with an offset, or already such a number.
    """
    if type(value) is int:
        return _within_calendar(value)
    if not isinstance(value, str) or not _DATE_TIME.fullmatch(value):
        raise UnfitValue(f"found {found(value)}; {_WANTED}")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise UnfitValue(f"found a text that is not a date-time; {_WANTED}") from error
    if moment.tzinfo is None:
        raise UnfitValue(f"found a date-time without an offset; {_WANTED}")
    # The difference of two times with offsets is within the calendar, unlike a time moved to UTC.
    return (moment - _EPOCH) // _MS


def ms_of_date(value: Any) -> int:
    """Return the midnight in UTC of a date `YYYY-MM-DD`, in milliseconds; raises `UnfitValue`.

    `value` can also be that number.
    """
    if type(value) is int:
        if value % _DAY_MS:
            raise UnfitValue(f"found a number of milliseconds that is not a midnight in UTC; {_WANTED_DATE}")
        return _within_calendar(value)
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise UnfitValue(f"found {found(value)}; {_WANTED_DATE}")
    try:
        return (datetime.fromisoformat(value).replace(tzinfo=UTC) - _EPOCH) // _MS
    except ValueError as error:
        raise UnfitValue(f"found a date that no calendar has; {_WANTED_DATE}") from error


def days_of_date(value: Any) -> int:
    """Return a date as days since the epoch; raises `UnfitValue`."""
    return ms_of_date(value) // _DAY_MS


def _within_calendar(epoch_ms: int) -> int:
    try:
        date_time_of_ms(epoch_ms)
    except ValueError as error:
        raise UnfitValue(f"found {error}; send milliseconds since 1970") from error
    return epoch_ms
