"""Event, a change to one record or one message, and the channel that it came over."""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

from streamer.channel_paths import ChannelKind
from streamer.events.ids import EventId, JsonObject, OrgId, ReplayId

# A platform event can be named `gap`.
_CHANGES = "salesforce.cdc."
_RECORDS = (_CHANGES, "salesforce.topic.")

_Class = TypeVar("_Class")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def _value_of_every_event(cls: type[_Class]) -> type[_Class]:
    """Make `cls` a dataclass that only the type checker keeps frozen.

    Python sets each field of a frozen dataclass by a call. For each event that
    takes 1 µs of the 12 for parsing, normalising and encoding.
    """
    return dataclass(slots=True, kw_only=True)(cls)


@_value_of_every_event
class Event:
    """One change to one record, or one message: a CloudEvents 1.0 event.

    `time` is RFC 3339 in UTC with milliseconds: the commit time, or for a record
    of a snapshot the time at which it was read. Events with the same `key` stay
    in order. `channel` (a path) and `replay_id` are the event's position; the
    same change of the org read elsewhere differs in these alone. An event that
    was forwarded has in `receipts` what became of it at each upstream
    subscriber, by the subscriber's name.
    """

    id: EventId
    source: str
    type: str
    subject: str | None
    time: str
    key: str
    channel: str
    replay_id: ReplayId
    data: JsonObject
    receipts: JsonObject | None = None

    @property
    def is_change(self) -> bool:
        """True for a change event, and for a record that was read in its place."""
        return self.type.startswith(_CHANGES)

    @property
    def is_gap(self) -> bool:
        """True for a change event that stands for changes which Salesforce does not tell."""
        return self.is_change and self.type.endswith(".gap")

    @property
    def is_deletion(self) -> bool:
        """True for the change event, or the PushTopic notification, of a deleted record."""
        return self.type.startswith(_RECORDS) and self.type.endswith(".deleted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One subscription path of one org, such as `/data/ChangeEvents`."""

    org: OrgId
    path: str

    @property
    def retention_s(self) -> float:
        """Time for which Salesforce retains the events of this channel, in seconds."""
        return ChannelKind.of(self.path).retention_s

    def expires_at(self, verified_at: float) -> float:
        """Return when Salesforce can forget what follows `verified_at`, both in epoch seconds."""
        return verified_at + self.retention_s

    def __str__(self) -> str:
        """Return `org/path`, the key of this channel in the log."""
        return f"{self.org}{self.path}"
