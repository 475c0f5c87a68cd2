"""Events about records that were read from the org, with values as change events carry them.

None of them claims what changed: `changed_fields` and `nulled_fields` are empty.
All fields that the user can see are in `fields`, null where they are empty, so
that a consumer that merges fields, and compound ones part by part, ends at the
state of the record. Older events of the record can follow in the log, when the
stream brings them later: the order is right at the end only.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from streamer.events import Channel, Event, EventId, JsonObject, ReplayId, json_copy
from streamer.exact_json import exact_number
from streamer.normalise.malformed import as_event_time


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgRecord:
    """One record as it was when it was read.

    `fields` have the form of a change event's, with null for an empty one. The
    times are as in events (`2025-01-01T00:00:00.000Z`), and `None` where the entity
    has none.
    """

    entity: str
    id: str
    fields: JsonObject
    is_deleted: bool = False
    """True for a record in the Recycle Bin, which only `queryAll` returns."""
    last_modified: str | None = None
    system_modstamp: str | None = None


_GAP = "GAP_"
_KIND = {"CREATE": "created", "UPDATE": "updated", "DELETE": "deleted", "UNDELETE": "undeleted"}
_SNAPSHOT = "SNAPSHOT"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRead:
    """Read of records for the snapshot `snapshot`, an id that no other has.

    `position` is the position of `channel` at which the events are appended.
    `read_at` is the time in epoch seconds at which the records were so. They
    come from the job of the number `job`, which counts those of their entity.
    """

    snapshot: str
    channel: Channel
    position: ReplayId
    read_at: float
    job: int = 1


def snapshot_event(record: OrgRecord, read: SnapshotRead) -> Event:
    """Return the event of a record that a snapshot has read; its id is made of those of both.

    After a lost job, the next one can bring the record again, as it is then.
    That is another event, and its id has the number of the job.

    It has the time of the read, not the record's `LastModifiedDate`: the log
    forgets events by their time, and a new subscriber passes over those before its
    own.
    """
    event_id = f"{read.snapshot}:{record.id}" + (f":{read.job}" if read.job > 1 else "")
    return _of_snapshot(record.entity, record.id, read, event_id, "snapshot", _body(_SNAPSHOT, record.fields))


def snapshot_deletion(entity: str, record_id: str, read: SnapshotRead, *, deleted_at: float) -> Event:
    """Return the deletion of a record that a snapshot has found to be gone since `deleted_at`.

    It is a deletion like any other. Its id differs from that of the record's
    row, which the same snapshot can have read before, and from that of another
    deletion of the record, which was restored meanwhile.
    """
    event_id = f"{read.snapshot}:{record_id}:deleted:{deleted_at * 1000:.0f}"
    return _of_snapshot(entity, record_id, read, event_id, "deleted", _body("DELETE", {}))


def recovered_event(gap: Event, record: OrgRecord | None, *, read_at: float) -> Event:
    """Return the event that tells what the gap event of one record did not.

    `record` is the record as it was at `read_at` (epoch seconds), and `None`
    when it is gone: then the event is a deletion. Otherwise it has the type of
    the change, save that a record whose deletion the gap tells, and which
    exists again, is undeleted. Time, position and transaction are the gap's.

    Raises `ValueError` for a gap that is not about one record: an overflow, or
    a change of all records of a type.
    """
    change = gap.data["change"].removeprefix(_GAP)
    if not gap.is_gap or change == gap.data["change"] or change not in _KIND:
        raise ValueError(
            f"{gap.data['change']} is not a gap in the changes of one record: resynchronise its type"
        )
    if record is None or record.is_deleted:
        change = "DELETE"
    elif change == "DELETE":
        change = "UNDELETE"
    data = {
        "record_id": gap.data["record_id"],
        "entity": gap.data["entity"],
        # Several gaps can be about one record.
        **_body(change, json_copy(record.fields) if record is not None and change != "DELETE" else {}),
        "recovered": {"reason": gap.data["change"], "read_at": _time(read_at)},
    }
    if "transaction" in gap.data:
        data["transaction"] = json_copy(gap.data["transaction"])
    return replace(
        gap,
        id=EventId(f"{gap.id}:recovered"),
        type=f"{gap.type.rpartition('.')[0]}.{_KIND[change]}",
        data=data,
    )


def _of_snapshot(
    entity: str, record_id: str, read: SnapshotRead, event_id: str, kind: str, body: JsonObject
) -> Event:
    time = _time(read.read_at)
    data: JsonObject = {"record_id": record_id, "entity": entity, **body}
    data["snapshot"] = {"id": read.snapshot, "read_at": time}
    return Event(
        id=EventId(event_id),
        source=f"/salesforce/{read.channel.org}",
        type=f"salesforce.cdc.{entity}.{kind}",
        subject=record_id,
        time=time,
        key=record_id,
        channel=read.channel.path,
        replay_id=read.position,
        data=data,
    )


def _body(change: str, fields: JsonObject) -> JsonObject:
    return {"change": change, "fields": fields, "changed_fields": [], "nulled_fields": []}


def _time(epoch_s: float) -> str:
    return as_event_time(datetime.fromtimestamp(epoch_s, UTC))


FieldValue = Callable[[Any], Any]
"""Returns the value of a field, given as JSON or as the text of a CSV; raises `ValueError`."""
Number = float | int | Decimal
# Up to here a float holds every integer.
_MOST_EXACT = 2**53
_LONGEST_NUMBER = 64
_INTEGER = re.compile(r"[+-]?\d{1,19}(?:\.0*)?", re.ASCII)


def value_of(data_type: str) -> FieldValue:
    """Return the function for the fields of a data type, by its name in a describe.

    A value without a form of its own, such as a picklist, a date or a time of day,
    stays as it is, and so do values of unknown types.
    """
    return _BY_TYPE.get(data_type, _as_it_is)


def _as_it_is(value: Any) -> Any:
    return None if value == "" else value


def _boolean(value: Any) -> bool | None:
    match value:
        case bool() | None:
            return value
        case "":
            return None
        case str() if value.lower() in {"true", "false"}:
            return value.lower() == "true"
        case _:
            raise ValueError("no boolean")


def _integer(value: Any) -> int | None:
    number = _number(value)
    if isinstance(number, float | Decimal):
        if number != int(number):
            raise ValueError("no integer")
        return int(number)
    return number


def _decimal(value: Any) -> Number | None:
    """Return a number as the double that events carry; one that no double holds keeps its digits."""
    number = _number(value)
    if isinstance(number, int) and abs(number) <= _MOST_EXACT:
        return float(number)
    return number


def _number(value: Any) -> Number | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return _number_of_text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float | Decimal) and math.isfinite(value):
        return value
    raise ValueError("no number")


def _number_of_text(text: str) -> Number:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("no number")
    if _INTEGER.fullmatch(text):
        return int(text.partition(".")[0])
    try:
        number = exact_number(text)
    except ValueError:
        raise ValueError("no number") from None
    if not math.isfinite(number):
        raise ValueError("no number")
    return number


def date_time(value: Any) -> str | None:
    """Return a date-time (`…+0000` of REST, `…Z` of Bulk) as change events write it, in UTC with a `Z`."""
    if value is None or value == "":
        return None
    try:
        moment = datetime.fromisoformat(value)
        aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (OverflowError, TypeError, ValueError):
        raise ValueError("no date-time") from None
    return f"{aware.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


_BY_TYPE: dict[str, FieldValue] = {
    "boolean": _boolean,
    "int": _integer,
    "long": _integer,
    "double": _decimal,
    "currency": _decimal,
    "percent": _decimal,
    "datetime": date_time,
}
