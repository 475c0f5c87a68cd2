"""States of records by the events in the log, and their differences from the org."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from streamer.channel_paths import ChannelKind, change_channel, changed_entity
from streamer.clock import CLOCKS_DIFFER_S
from streamer.errors import ConfigurationError
from streamer.events import Checkpoint, Event, OrgId
from streamer.normalise.malformed import as_event_time

_MODIFIED = "LastModifiedDate"
_SNAPSHOT = ".snapshot"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRecord:
    """Last state of a record in the log: the time up to which it is known, and whether it is deleted."""

    at: float
    is_deleted: bool


@dataclass(slots=True)
class KnownRecords:
    """Last states of the records that have events, by record id.

    A record needs about 120 bytes: its id, and a time that is negative if the
    record is deleted.
    """

    _times: dict[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of remaining records."""
        return len(self._times)

    def add(self, event: Event) -> None:
        """Add a change event; of one record's events, the event with the latest time counts.

        A gap event does not show the state of its record. Several channels can
        carry the same record, and can have been read up to different times.
        """
        record_id = event.data.get("record_id")
        if event.is_gap or not isinstance(record_id, str):
            return
        at = _known_at(event)
        if at >= abs(self._times.get(record_id, 0.0)):
            self._times[record_id] = -at if event.is_deletion else at

    def take(self, record_id: str) -> KnownRecord | None:
        """Remove a record and return its state, or `None` if the record has no event."""
        return _state(self._times.pop(record_id, None))

    def get(self, record_id: str) -> KnownRecord | None:
        """Return the state of a record, or `None` if the record has no event."""
        return _state(self._times.get(record_id))

    def between(self, since: float, until: float) -> Iterator[str]:
        """Yield the ids of the records whose last event is between two times."""
        return (record_id for record_id, at in self._times.items() if since <= abs(at) <= until)


def _state(at: float | None) -> KnownRecord | None:
    return None if at is None else KnownRecord(at=abs(at), is_deleted=at < 0)


def _known_at(event: Event) -> float:
    """Return the latest time (of Salesforce's clock) at which the record is known to have the event's state.

    If the record was read for the event, the event has the time of reading by the
    reader's clock. Salesforce can date an event and its record by different clocks, so
    the event's `LastModifiedDate` also counts.
    """
    at = seconds_of(event.time) or 0.0
    if event.type.endswith(_SNAPSHOT):
        at -= CLOCKS_DIFFER_S
    fields = event.data.get("fields")
    modified = seconds_of(fields.get(_MODIFIED)) if isinstance(fields, dict) else None
    return max(at, modified or 0.0)


def seconds_of(text: Any) -> float | None:
    """Return a time with a zone in epoch seconds, or `None` for any other value."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None


MOST_TOLD = 10_000
"""Largest number of differences that are listed; further differences are only counted."""


class DriftKind(StrEnum):
    """Kind of a difference between the log and the org."""

    MISSING = "missing"
    """The record's last change in the org is later than its last event."""
    DELETION = "deletion_missing"
    """The org has deleted the record, but the log has no deletion."""
    ABSENT = "absent"
    """The log has the record; the org does not have it and reports no deletion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One difference.

    `changed_at` is the time of the record's change or deletion in the org, and
    `known_at` the time of its last known state in the log. Both are in epoch
    seconds, or `None` if unknown. `detail` explains the difference.
    """

    kind: DriftKind
    record_id: str
    changed_at: float | None = None
    known_at: float | None = None
    detail: str = ""


@dataclass(slots=True)
class Findings:
    """Differences found so far: the first `MOST_TOLD`, and the counts of all."""

    drift: list[Drift] = field(default_factory=list)
    counts: Counter[DriftKind] = field(default_factory=Counter)

    def add(self, found: Drift) -> None:
        """Add a difference."""
        self.counts[found.kind] += 1
        if len(self.drift) < MOST_TOLD:
            self.drift.append(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """Result of a comparison.

    It covers the org's changes to `entity` from `since` to `until` (epoch seconds):
    `records` changed records and `deletions`. The channel at `channel` carries the
    entity. `drift` lists at most `MOST_TOLD` differences; `counts` counts all
    differences by kind. `stamp` is the field whose times were compared. `notes`
    describe what could not be compared.
    """

    entity: str
    channel: str
    stamp: str
    since: float
    until: float
    records: int
    deletions: int
    counts: Mapping[DriftKind, int]
    drift: Sequence[Drift]
    notes: Sequence[str] = ()

    @property
    def has_drift(self) -> bool:
        """True if the log differs from the org."""
        return any(self.counts.values())


TRANSACTION_S = 1_200.0
"""Longest assumed time in seconds between a record's stamp and the commit that causes its event."""
DELIVERY_S = 300.0
"""Longest assumed time in seconds between a commit and the append of its event."""
_ALL_CHANGES = "/data/ChangeEvents"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedWindow:
    """Time span to compare, from `since` to `until` (epoch seconds); `notes` say what is excluded."""

    since: float
    until: float
    notes: tuple[str, ...] = ()

    def cut(self, begins_at: float | None) -> "ComparedWindow":
        """Return the window for a log that begins at `begins_at`."""
        if begins_at is None or begins_at <= self.since:
            return self
        note = f"the log holds no events before {shown(begins_at)}, so the comparison begins at that time"
        return window(begins_at, self.until, (*self.notes, note))


def window_of(since: float, until: float | None, checkpoint: Checkpoint, now: float) -> ComparedWindow:
    """Return the window that ends at `until`, or earlier if events of later changes can still be missing.

    A record's stamp can be up to `TRANSACTION_S` older than the commit of its
    transaction. The log is complete up to the `verified_at` of the channel's
    checkpoint, but not for the last `DELIVERY_S`. Raises `ConfigurationError` if
    nothing is left to compare.
    """
    complete = min(checkpoint.verified_at, now - DELIVERY_S)
    last = complete - TRANSACTION_S
    notes: tuple[str, ...] = ()
    if until is None or until > last:
        is_behind = checkpoint.verified_at < now - 2 * DELIVERY_S
        if is_behind:
            read = shown(checkpoint.verified_at)
            notes = (f"the daemon has read the channel only up to {read}: check that the daemon runs",)
        if until is not None:
            notes = (
                *notes,
                (
                    f"events of changes after {shown(last)} can still arrive, so the comparison ends at "
                    "that time"
                ),
            )
        until = last
    return window(since, until, notes)


def window(since: float, until: float, notes: tuple[str, ...]) -> ComparedWindow:
    """Return a window. Raises `ConfigurationError` if the window is empty."""
    if since >= until:
        said = "".join(f" ({each})" for each in notes)
        raise ConfigurationError(
            f"nothing can be compared from {shown(since)} to {shown(until)}{said}: choose an earlier "
            "--since; a change can be compared when it is at least "
            f"{(TRANSACTION_S + DELIVERY_S) / 60:g} minutes old"
        )
    return ComparedWindow(since=since, until=until, notes=notes)


def checkpoint_for(
    entity: str, path: str | None, org: OrgId, checkpoints: Sequence[Checkpoint]
) -> Checkpoint:
    """Return the checkpoint of the channel at `path`, or of a channel that carries `entity`.

    Without `path`, the entity's own channel comes first, then the channel of all
    changes. Raises `ConfigurationError` if the log has no such channel.
    """
    known = {
        each.channel.path: each
        for each in checkpoints
        if each.channel.org == org and ChannelKind.of(each.channel.path) is ChannelKind.CHANGES
    }
    wanted = [path] if path is not None else [change_channel(entity), _ALL_CHANGES]
    for each in wanted:
        carried = changed_entity(each)
        if each in known and carried in {None, entity}:
            return known[each]
    listed = ", ".join(sorted(known)) or "none"
    raise ConfigurationError(
        f"the log has no channel {' and no channel '.join(wanted)} with the changes of {entity}: name "
        f"a channel with --channel; the log has these change channels of the org: {listed}"
    )


def shown(epoch_s: float) -> str:
    """Return a time in the form of events."""
    return as_event_time(datetime.fromtimestamp(epoch_s, UTC))
