"""Time format of events: RFC 3339, UTC, milliseconds."""

import time
from datetime import UTC, datetime
from functools import lru_cache

_EPOCH = datetime.fromtimestamp(0, UTC)
_YEAR_10000_MS = 253_402_300_800_000


# The events of a transaction share their time, and a backlog repeats times at short intervals.
@lru_cache(maxsize=1024, typed=True)
def from_epoch_ms(epoch_ms: int) -> str:
    """Return `epoch_ms`, milliseconds since the epoch, as RFC 3339 in UTC.

    Raises `ValueError` for a time before 1970 or after 9999.
    """
    if not 0 <= epoch_ms < _YEAR_10000_MS:
        raise ValueError("a time outside of 1970 to 9999")
    seconds, milliseconds = divmod(epoch_ms, 1000)
    return f"{_whole_seconds(seconds)}.{milliseconds:03d}Z"


def from_text(text: str) -> str:
    """Return a date-time that Salesforce wrote (`…Z`, `…+0000`) as RFC 3339 in UTC.

    Raises `ValueError` if `text` is not a date-time, or lies before 1970.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment < _EPOCH:
        raise ValueError("a time before 1970")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@lru_cache(maxsize=4096)
def _whole_seconds(seconds: int) -> str:
    # Events come in bursts of the same second, and strftime is slow.
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def as_event_time(moment: datetime) -> str:
    """Return `moment` in the format of event times, so that the texts compare; without a zone it is UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.isoformat(timespec="milliseconds").replace("+00:00", "Z")
