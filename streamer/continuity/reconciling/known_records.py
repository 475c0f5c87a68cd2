"""State of records, as the events of a log tell it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from streamer.clock import CLOCKS_DIFFER_S
from streamer.events import Event

_MODIFIED = "LastModifiedDate"
_SNAPSHOT = ".snapshot"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRecord:
    """Last state of a record in the log: the time up to which it is known, and whether it was deleted."""

    at: float
    is_deleted: bool


@dataclass(slots=True)
class KnownRecords:
    """Last states of the records that have events, by their ids.

    A record takes about 120 bytes: its id and a time, which is negative for one
    that was deleted.
    """

    _times: dict[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of records that are left."""
        return len(self._times)

    def add(self, event: Event) -> None:
        """Take a change event; of one record, the event with the latest time counts.

        A gap event says nothing of the record's state. Channels that carry the
        same record can have reached different places.
        """
        record_id = event.data.get("record_id")
        if event.is_gap or not isinstance(record_id, str):
            return
        at = _known_at(event)
        if at >= abs(self._times.get(record_id, 0.0)):
            self._times[record_id] = -at if event.is_deletion else at

    def take(self, record_id: str) -> KnownRecord | None:
        """Remove a record, and return its state; `None` if it has no event."""
        return _state(self._times.pop(record_id, None))

    def get(self, record_id: str) -> KnownRecord | None:
        """Return the state of a record; `None` if it has no event."""
        return _state(self._times.get(record_id))

    def between(self, since: float, until: float) -> Iterator[str]:
        """Yield the ids of the records whose last event lies in a span of time."""
        return (record_id for record_id, at in self._times.items() if since <= abs(at) <= until)


def _state(at: float | None) -> KnownRecord | None:
    return None if at is None else KnownRecord(at=abs(at), is_deleted=at < 0)


def _known_at(event: Event) -> float:
    """Return the time up to which an event covers its record, by Salesforce's clock.

    The event of a record that was read has the time of reading, by the clock of
    the process that read it. An event can have been sent by another clock of
    Salesforce's than the record's stamp, so its `LastModifiedDate` counts too.
    """
    at = seconds_of(event.time) or 0.0
    if event.type.endswith(_SNAPSHOT):
        at -= CLOCKS_DIFFER_S
    fields = event.data.get("fields")
    modified = seconds_of(fields.get(_MODIFIED)) if isinstance(fields, dict) else None
    return max(at, modified or 0.0)


def seconds_of(text: Any) -> float | None:
    """Return a time with its zone in epoch seconds, or `None` for anything else."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None
