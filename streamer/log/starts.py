"""Where a subscriber begins that asks for a moment."""

from datetime import UTC, datetime


def as_event_time(moment: datetime) -> str:
    """Return `moment` as events write their time, so that the texts compare; without a zone it is UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.isoformat(timespec="milliseconds").replace("+00:00", "Z")
