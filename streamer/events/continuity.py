"""Continuity records: holes in a channel, and their repair."""

from dataclasses import dataclass, field
from enum import StrEnum

from streamer.events.event import Channel, JsonObject, ReplayId


class HoleCause(StrEnum):
    """Reason why events are missing or can be missing."""

    REPLAY_ID_REFUSED = "replay_id_refused"
    PLACE_LOST = "place_lost"
    """No replay id marks the position, and the last event is unknown or no longer retained."""
    BEFORE_RETENTION = "before_retention"
    """Reading begins at a time that is before Salesforce's retention."""
    POSITION_SET = "position_set"
    """An operator has ordered another position."""
    POSITION_REFUSED = "position_refused"
    """An operator has ordered a replay id that Salesforce refused: the position is unchanged."""
    GAP_EVENT = "gap_event"
    """An event names changed records without their values."""
    OVERFLOW = "overflow"
    """A transaction had more changes of one entity than Salesforce reports."""
    ENTITY_CHANGE = "entity_change"
    """All records of an entity have changed: the event names `001*`."""
    SNAPSHOT = "snapshot"
    """An operator orders the records of an entity, or a new channel starts with its entities' records."""


class Repair(StrEnum):
    """State of a hole. All states except `OPEN` are final."""

    OPEN = "open"
    """The repair is waiting or in progress."""
    FULL = "full"
    """No event is missing."""
    PARTIAL = "partial"
    """Some events are missing, and will not be repaired."""
    NONE = "none"
    """Nothing was repaired, and nothing will be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoleAcknowledgement:
    """Statement of the operator `by` that a hole is known, with a `reason`; `at` is in epoch seconds."""

    by: str
    at: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSelection:
    """Records that a snapshot reads: those that match `where` (SOQL), or all.

    With `since` (epoch seconds), only records changed or deleted since then. Without
    `fields`, all fields are read.
    """

    where: str = ""
    fields: tuple[str, ...] = ()
    since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuityRecord:
    """Durable record of a hole in a channel, or of a snapshot: its position, its cause and its repair.

    The log keeps the last state of each `id`. The hole begins after the replay id
    `after`, or at `verified_at`. It ends at `until`, which is `None` while the end
    is open. `entity` is the API name of the object, or `None` for the whole
    channel. The repair stores how far it has come in `progress`, a small JSON
    object. The record counts the records `found` in the org, and the records
    `published`. If jobs were lost, `published` counts the rows of the job that
    returned most rows. Times are epoch seconds; `updated_at` is the time of the
    last change of the state, or `None` for the first state. An unrepaired hole
    needs no attention once it is `acknowledged`. `record` is the id of the only record
    whose values are missing, or `None` if there can be others. `selection` is what an
    ordered snapshot reads. Records of older versions have neither of the two.
    """

    id: str
    channel: Channel
    cause: HoleCause
    detail: str
    recorded_at: float
    state: Repair
    entity: str | None = None
    after: ReplayId | None = None
    verified_at: float | None = None
    until: float | None = None
    progress: JsonObject = field(default_factory=dict)
    found: int = 0
    published: int = 0
    updated_at: float | None = None
    acknowledged: HoleAcknowledgement | None = None
    record: str | None = None
    selection: SnapshotSelection | None = None

    @property
    def is_new(self) -> bool:
        """True if this is the first state of the record."""
        return self.updated_at is None

    @property
    def is_unrepaired(self) -> bool:
        """True for a final state in which events are still missing."""
        return self.state in {Repair.PARTIAL, Repair.NONE}
