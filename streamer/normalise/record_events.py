"""Events about records that were read from the org, with values in the form of change events.

Such an event does not say what changed: `changed_fields` and `nulled_fields` are
empty. `fields` has all fields that the user can see, with null for an empty field.
So a consumer that merges fields, and compound fields part by part, gets the state
of the record. If the stream delivers older events of the record later, these follow
in the log; only the final state is certain.
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
    """One record in the state in which it was read.

    `fields` have the form of a change event's fields, with null for an empty
    field. The times have the form of event times (`2025-01-01T00:00:00.000Z`), and
    are `None` if the entity has no such field.
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
    """One reading of records for the snapshot with the unique id `snapshot`.

    The events are appended at `position` of `channel`. `read_at` (epoch seconds) is
    the time at which the records had these values. `job` numbers the jobs of the
    records' entity. With `is_partial`, only chosen fields are read.
    """

    snapshot: str
    channel: Channel
    position: ReplayId
    read_at: float
    job: int = 1
    is_partial: bool = False


def snapshot_event(record: OrgRecord, read: SnapshotRead) -> Event:
    """Return the event of a record in a snapshot; the event's id has the ids of the snapshot and the record.

    After a lost job, the next job can return the record again, possibly with other
    values. So the id of that event also contains the number of the job.

    The event's time is the time of the read, and not `LastModifiedDate`. With an old
    time, the log could delete the event early, and a new subscriber would skip it if
    the time is before the subscriber's start.
    """
    event_id = f"{read.snapshot}:{record.id}" + (f":{read.job}" if read.job > 1 else "")
    return _of_snapshot(record.entity, record.id, read, event_id, "snapshot", _body(_SNAPSHOT, record.fields))


def snapshot_deletion(entity: str, record_id: str, read: SnapshotRead, *, deleted_at: float) -> Event:
    """Return the event of a record's deletion at `deleted_at`, which a snapshot found in the org.

    The event has the form of any deletion. The event's id differs from the id of
    the event for the record's row, which the same snapshot can have read before. If
    the record was restored and deleted again, the events of the two deletions also
    have different ids.
    """
    event_id = f"{read.snapshot}:{record_id}:deleted:{deleted_at * 1000:.0f}"
    return _of_snapshot(entity, record_id, read, event_id, "deleted", _body("DELETE", {}))


def recovered_event(gap: Event, record: OrgRecord | None, *, read_at: float) -> Event:
    """Return the event that supplies the values which the gap event of one record lacks.

    `record` is the record at `read_at` (epoch seconds). If the record was gone,
    `record` is `None`, and the event is a deletion. Otherwise the event has the
    gap's type of change. If the gap is about a deletion but the record exists
    again, the record was undeleted. Time, position and transaction are copied from
    the gap.

    Raises `ValueError` if the gap is not about one record: for an overflow, or
    for a change of all records of a type.
    """
    change = gap.data["change"].removeprefix(_GAP)
    if not gap.is_gap or change == gap.data["change"] or change not in _KIND:
        raise ValueError(
            f"{gap.data['change']} is not a gap in the changes of one record: read all records of "
            "the object again"
        )
    if record is None or record.is_deleted:
        change = "DELETE"
    elif change == "DELETE":
        change = "UNDELETE"
    data = {
        "record_id": gap.data["record_id"],
        "entity": gap.data["entity"],
        # Several gaps can be about the same record, so copy its fields.
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
    if read.is_partial:
        data["snapshot"]["is_partial"] = True
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
"""Returns the value of a field, given as JSON or as the text of a CSV. Raises `ValueError`."""
Number = float | int | Decimal
# Up to this number, a float represents every integer exactly.
_MOST_EXACT = 2**53
_LONGEST_NUMBER = 64
_INTEGER = re.compile(r"[+-]?\d{1,19}(?:\.0*)?", re.ASCII)


def value_of(data_type: str) -> FieldValue:
    """Return the function that converts values of a data type, which is named as in a describe.

    A value without a special form, such as a picklist, a date or a time of day, is
    returned unchanged. A value of an unknown type is also returned unchanged.
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
            raise ValueError("not a boolean")


def _integer(value: Any) -> int | None:
    number = _number(value)
    if isinstance(number, float | Decimal):
        if number != int(number):
            raise ValueError("not an integer")
        return int(number)
    return number


def _decimal(value: Any) -> Number | None:
    """Return a number as a double, as in events; a number that no double can hold keeps its digits."""
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
    raise ValueError("not a number")


def _number_of_text(text: str) -> Number:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("not a number")
    if _INTEGER.fullmatch(text):
        return int(text.partition(".")[0])
    try:
        number = exact_number(text)
    except ValueError:
        raise ValueError("not a number") from None
    if not math.isfinite(number):
        raise ValueError("not a number")
    return number


def date_time(value: Any) -> str | None:
    """Return a date-time (`…+0000` from REST, `…Z` from Bulk) in the form of change events: UTC with `Z`."""
    if value is None or value == "":
        return None
    try:
        moment = datetime.fromisoformat(value)
        aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (OverflowError, TypeError, ValueError):
        raise ValueError("not a date-time") from None
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
