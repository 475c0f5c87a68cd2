"""Application of one change event to the state of its record.

An event is applied only if it is certainly newer than the state, and skipped only if
it is certainly older. In all other cases the record must be read again.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from streamer.events import Entry, Event, JsonObject, LastChange, RecordState

# The clocks of Streamer and Salesforce can differ by this much.
_SKEW = timedelta(seconds=60)
_MODIFIED = "LastModifiedDate"
_WHOLE = frozenset({"created", "undeleted"})


class Unapplied(StrEnum):
    """Reason why an event does not change a state."""

    OLDER = "older"
    """The state has the change already, or the event has no values."""
    UNCLEAR = "unclear"
    """Only a new reading of the record can tell the state."""


class _Order(StrEnum):
    NEWER = "newer"
    OLDER = "older"
    UNCLEAR = "unclear"


def applied(entry: Entry, state: RecordState | None) -> RecordState | Unapplied:
    """Return the state of the event's record after the event, or the reason why the event changes nothing.

    `state` is the record's state before the event; `None` if it is unknown. The event
    is a change event (`salesforce.cdc.…`) of one record.
    """
    event = entry.event
    kind = event.type.rpartition(".")[2]
    read_at = _read_at(event)
    if _has_no_values(event, kind, read_at):
        return Unapplied.OLDER
    order = _Order.NEWER if state is None else _compared(event, read_at, state)
    is_known = kind == "deleted" and state is not None and state.is_deleted
    if order is _Order.OLDER or is_known:
        return Unapplied.OLDER
    if order is _Order.UNCLEAR:
        return Unapplied.UNCLEAR
    if kind == "deleted":
        return _state(entry, None, read_at)
    is_whole = read_at is not None or kind in _WHOLE
    fields = _filled(event.data["fields"]) if is_whole else _changed(entry, state)
    if fields is None:
        return Unapplied.UNCLEAR
    omitted = () if is_whole or state is None else _still_omitted(state, event.data["fields"])
    is_same = state is not None and fields == state.fields and omitted == state.omitted
    return Unapplied.OLDER if is_same else _state(entry, fields, read_at, omitted)


def _still_omitted(state: RecordState, changes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the omitted fields of `state` whose values `changes` does not tell; a part of one does not."""
    if not state.omitted:
        return ()
    return tuple(name for name in state.omitted if name not in changes or isinstance(changes[name], dict))


def _changed(entry: Entry, state: RecordState | None) -> JsonObject | None:
    """Return the fields of `state` after an update, or `None` if the state can't tell them."""
    if state is None or state.fields is None or _is_incomplete(entry, state):
        return None
    return merged(state.fields, entry.event.data["fields"])


def merged(fields: Mapping[str, Any], changes: Mapping[str, Any]) -> JsonObject:
    """Return `fields` after `changes`: a part of a compound field replaces this part, and null clears."""
    result = dict(fields)
    for name, value in changes.items():
        former = result.get(name)
        if isinstance(value, dict):
            value = merged(former, value) if isinstance(former, dict) else _filled(value)  # noqa: PLW2901
        if value is None or value == {}:
            result.pop(name, None)
        else:
            result[name] = value
    return result


def is_row(event: Event) -> bool:
    """Return true for a whole record that Streamer has read, or its deletion."""
    return _read_at(event) is not None and not event.data.get("snapshot", {}).get("is_partial")


def is_late(event: Event) -> bool:
    """Return true for a redriven event, which comes after newer events."""
    return _read_at(event) is None and "redriven" in event.data


def _has_no_values(event: Event, kind: str, read_at: str | None) -> bool:
    """Return true for a gap event, a redriven event, and a record that was read without some fields.

    A row with the values of the record follows a gap event and a redriven event.
    """
    if kind == "gap":
        return True
    if read_at is None:
        return "redriven" in event.data
    return bool(event.data.get("snapshot", {}).get("is_partial"))


def _is_incomplete(entry: Entry, state: RecordState) -> bool:
    """Return true if the state can lack a change before the event, or if a value is a diff or newer.

    If partitions were added to a topic, a record's later changes can be in another
    partition, and can be read before the earlier changes.
    """
    data = entry.event.data
    return state.last.partition != entry.partition or bool(data.get("diff_fields") or data.get("reread"))


def _compared(event: Event, read_at: str | None, state: RecordState) -> _Order:
    """Return whether `event` is newer than `state`."""
    if event.id == state.last.event_id:
        return _Order.OLDER
    if read_at is not None:
        return _row_compared(event, read_at, state)
    if state.is_deleted:
        is_of_stream = state.last.read_at is None
        return _by_commit(event, state.last) if is_of_stream else _by_time(event.time, state.last.time)
    if state.last.read_at is None:
        return _by_commit(event, state.last)
    return _compared_with_row(event, state)


def _row_compared(event: Event, read_at: str, state: RecordState) -> _Order:
    """Compare a record that was read.

    Ingest reads a record and appends it before later events of the same channel. So
    the record is newer than everything before it, except events of another channel.
    """
    order = _by_modification(event, state)
    if order is _Order.UNCLEAR:
        order = _by_time(read_at, state.last.read_at or state.last.time)
    return _Order.OLDER if order is _Order.OLDER else _Order.NEWER


def _compared_with_row(event: Event, state: RecordState) -> _Order:
    """Compare an event of the stream with a record that was read.

    The record's changes up to the reading can follow the record in the log.
    """
    if _by_commit(event, state.last) is _Order.OLDER and state.last.commit_number is not None:
        return _Order.OLDER
    order = _by_modification(event, state)
    if order is _Order.UNCLEAR and not _has_date(event, state):
        order = _by_time(event.time, state.last.read_at or state.last.time)
    if order is _Order.UNCLEAR and state.fields is not None and "fields" in event.data:
        # The values are in the record already.
        is_same = merged(state.fields, event.data["fields"]) == state.fields
        return _Order.OLDER if is_same and not event.is_deletion else order
    return order


def _has_date(event: Event, state: RecordState) -> bool:
    return _modified_by(event) is not None and _modified(state.fields) is not None


def _modified_by(event: Event) -> datetime | None:
    """Return the LastModifiedDate after the event; a deletion has none, but the return has a later one.

    The time of a deletion that Streamer has read tells nothing, because the org gives no such time.
    """
    if event.is_deletion:
        return None if _read_at(event) is not None else _moment(event.time).replace(microsecond=0)
    return _modified(event.data.get("fields"))


def _by_modification(event: Event, state: RecordState) -> _Order:
    """Compare by LastModifiedDate, which has whole seconds."""
    mine, known = _modified_by(event), _modified(state.fields)
    if mine is None or known is None or mine == known:
        return _Order.UNCLEAR
    return _Order.NEWER if mine > known else _Order.OLDER


def _by_time(mine: str, known: str) -> _Order:
    """Compare times of two clocks."""
    difference = _moment(mine) - _moment(known)
    if abs(difference) <= _SKEW:
        return _Order.UNCLEAR
    return _Order.NEWER if difference > timedelta() else _Order.OLDER


def _by_commit(event: Event, last: LastChange) -> _Order:
    """Compare two events of the stream by the times and numbers of their commits.

    Commit numbers are only comparable in one database instance (Change Data Capture
    guide, ChangeEventHeader), so a number that contradicts the time decides nothing.
    """
    numbers = _numbers(event)
    known = last.commit_number, last.sequence
    if event.time == last.time and numbers == known:
        return _Order.OLDER if None not in known else _Order.UNCLEAR
    if event.time != last.time and None in (numbers[0], known[0]):
        return _Order.NEWER if event.time > last.time else _Order.OLDER
    if None in numbers or None in known:
        return _Order.UNCLEAR
    is_newer = event.time >= last.time and numbers >= known
    is_older = event.time <= last.time and numbers <= known
    return _Order.NEWER if is_newer else _Order.OLDER if is_older else _Order.UNCLEAR


def _state(
    entry: Entry, fields: JsonObject | None, read_at: str | None, omitted: tuple[str, ...] = ()
) -> RecordState:
    event = entry.event
    number, sequence = _numbers(event)
    return RecordState(
        entity=event.data["entity"],
        record_id=event.data["record_id"],
        fields=fields,
        last=LastChange(
            event_id=event.id,
            time=event.time,
            read_at=read_at,
            commit_number=number,
            sequence=sequence,
            partition=entry.partition,
        ),
        omitted=omitted,
    )


def _numbers(event: Event) -> tuple[Any, Any]:
    transaction = event.data.get("transaction") or {}
    return transaction.get("commit_number"), transaction.get("sequence")


def _read_at(event: Event) -> str | None:
    """Return the time at which Streamer read the record; `None` for an event of the stream."""
    row = event.data.get("recovered") or event.data.get("snapshot")
    return None if row is None else str(row["read_at"])


def _filled(fields: Mapping[str, Any]) -> JsonObject:
    """Return the fields that are not empty."""
    return merged({}, fields)


def _modified(fields: Mapping[str, Any] | None) -> datetime | None:
    value = None if fields is None else fields.get(_MODIFIED)
    try:
        return _moment(value) if isinstance(value, str) else None
    except ValueError:
        # The field can be masked.
        return None


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
