"""Continuity records: holes in a channel, and their repair."""

from dataclasses import dataclass, field
from enum import StrEnum

from streamer.events.event import Channel, JsonObject, ReplayId


class HoleCause(StrEnum):
    """Reason for which events are, or can be, missing."""

    REPLAY_ID_REFUSED = "replay_id_refused"
    PLACE_LOST = "place_lost"
    """No replay id marked the place, and the last event in the log is not retained, or there was none."""
    BEFORE_RETENTION = "before_retention"
    """Reading begins at a time whose events Salesforce no longer retains."""
    POSITION_SET = "position_set"
    """An operator has ordered another position."""
    POSITION_REFUSED = "position_refused"
    """An operator has ordered a replay id that Salesforce refuses: the position is as it was."""
    GAP_EVENT = "gap_event"
    """An event names records that have changed, without their values."""
    OVERFLOW = "overflow"
    """A transaction had more changes of one entity than Salesforce reports."""
    ENTITY_CHANGE = "entity_change"
    """All records of an entity have changed: the event names `001*`."""
    SNAPSHOT = "snapshot"
    """An operator asks for the records of an entity, or a new channel starts with those of its entities."""


class Repair(StrEnum):
    """State of a hole; all but `OPEN` are final."""

    OPEN = "open"
    """It waits for its repair, or its repair is under way."""
    FULL = "full"
    """Nothing is missing."""
    PARTIAL = "partial"
    """Something is missing, and nothing will repair it."""
    NONE = "none"
    """Nothing was repaired, and nothing will try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuityRecord:
    """Durable record of a hole in a channel, or of a snapshot: its place, its cause and its repair.

    The log keeps the last state of each `id`. The hole begins behind the replay id
    `after`, or at `verified_at`, and ends at `until`, which is `None` while it is
    open-ended. `entity` is the API name of the object that it concerns, `None` for
    all of the channel. A repair keeps its own position in `progress`, a small
    object of JSON, and counts the records that it has `found` in the org, and the
    records that it has `published`: after a lost job, the rows of the job that
    brought most of them. Times are epoch seconds; `updated_at` is the
    time of the last change of the state, and `None` before the first.
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

    @property
    def is_new(self) -> bool:
        """True for the first state of a record."""
        return self.updated_at is None

    @property
    def is_unrepaired(self) -> bool:
        """True for a final state in which events stay missing."""
        return self.state in {Repair.PARTIAL, Repair.NONE}
