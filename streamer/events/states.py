"""State of a record: all of its fields after its last change, or its deletion."""

from dataclasses import dataclass

from streamer.events.event import EventId, JsonObject
from streamer.events.places import Partition


@dataclass(frozen=True, slots=True, kw_only=True)
class LastChange:
    """Event that led to a record's state, and its place in Salesforce's order.

    `time` is the event's time. `read_at` is set if Streamer read the whole record at
    that time. Both are RFC 3339 in UTC. `commit_number` and `sequence` are the numbers
    of the event's transaction, if it has one. The event was read from `partition`.
    """

    event_id: EventId
    time: str
    read_at: str | None = None
    commit_number: int | None = None
    sequence: int | None = None
    partition: Partition


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordState:
    """State of one record, as the events up to `last` leave it.

    `fields` are the fields that are not empty, in the form of change events. `None`
    says that the record is deleted. `omitted` are the names of fields that the log can't
    hold together with the others, in the order of the alphabet.
    """

    entity: str
    record_id: str
    fields: JsonObject | None
    last: LastChange
    omitted: tuple[str, ...] = ()

    @property
    def is_deleted(self) -> bool:
        """True if the record is deleted."""
        return self.fields is None
