"""Conversion of Change Data Capture messages, in the shape of CometD, to events.

The shapes follow the Change Data Capture Developer Guide: the
ChangeEventHeader; a body that holds only the changed fields on an update; a key
with the value null for a cleared field.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from streamer.events import Channel, Event, EventId, JsonObject, Unreadable, json_copy
from streamer.normalise.malformed import replay_id_of, unreadable
from streamer.normalise.text_diffs import is_diff
from streamer.normalise.times import from_epoch_ms
from streamer.raw_json import raw_json

_HEADER = "ChangeEventHeader"

_KIND = {
    "CREATE": "created",
    "UPDATE": "updated",
    "DELETE": "deleted",
    "UNDELETE": "undeleted",
    "GAP_CREATE": "gap",
    "GAP_UPDATE": "gap",
    "GAP_DELETE": "gap",
    "GAP_UNDELETE": "gap",
    "GAP_OVERFLOW": "gap",
    "SNAPSHOT": "snapshot",
}


# A change of more records than these is examined, so that a message of a megabyte never becomes
# hundreds of thousands of events, or gigabytes of them. An event of 1 MB, Salesforce's largest, has
# no room for more ids.
_MANY = 50
_MOST_RECORDS = 60_000
_SHORTEST_ID = 15
# Ids and names are kept by the thousand, as keys of lanes and of caches.
_LONGEST = 255
_MOST_BYTES = 100_000_000


class ChangeNormaliser:
    """Turns each change message of one channel into one event per record, in the header's order.

    An update of "all records of a type" (record id `001*`, sent when a field's
    type is converted) changes more than the event can tell, so it is a gap. An
    event with large texts that came as diffs names them in `diff_fields`.
    """

    def __init__(self, channel: Channel) -> None:
        self._path = channel.path
        self._source = f"/salesforce/{channel.org}"

    def __call__(self, messages: Sequence[Any]) -> list[Event | Unreadable]:
        """Return the events of `messages` in order; a message that is not a change event is `Unreadable`."""
        read: list[Event | Unreadable] = []
        # One loop without a call per message, because every event of a backlog passes it.
        for message in messages:
            try:
                data = message["data"]
                payload = data["payload"]
                header = payload[_HEADER]
                key, sequence = _identified(header["transactionKey"], header["sequenceNumber"])
                record_ids = _texts(header["recordIds"], payload)
                entity, change = header["entityName"], header["changeType"]
                event_type = _event_type(entity, change, record_ids[0][-1] == "*")
                time = from_epoch_ms(header["commitTimestamp"])
                replay_id = replay_id_of(data["event"])
                # Copying all fields and deleting the header is faster than copying field by field.
                fields = payload.copy()
                del fields[_HEADER]
                nulled, diffs = _nulled_and_diffs(fields)
                changed, transaction = header.get("changedFields") or [], _transaction(key, sequence, header)
            except Exception as error:  # noqa: BLE001 - whatever a message does, it costs only itself
                read.append(unreadable(message, "a change event", error))
                continue
            body: JsonObject = {
                "record_id": record_ids[0],
                "entity": entity,
                "change": change,
                "fields": fields,
                "changed_fields": changed,
                "nulled_fields": nulled,
                "transaction": transaction,
            }
            if diffs:
                body["diff_fields"] = diffs
            for record_id, data in zip(record_ids, _bodies(body, record_ids), strict=True):
                read.append(
                    Event(
                        id=EventId(f"{key}:{sequence}:{record_id}"),
                        source=self._source,
                        type=event_type,
                        subject=record_id,
                        time=time,
                        key=record_id,
                        channel=self._path,
                        replay_id=replay_id,
                        data=data,
                    )
                )
        return read


def _bodies(body: JsonObject, record_ids: Sequence[str]) -> Sequence[JsonObject]:
    """Return the data of each event of a message; `body` is the data for the first record."""
    if len(record_ids) == 1:
        return (body,)
    return [body, *({**json_copy(body), "record_id": record_id} for record_id in record_ids[1:])]


def _transaction(key: str, sequence: int, header: JsonObject) -> JsonObject:
    return {
        "key": key,
        "sequence": sequence,
        "commit_number": header.get("commitNumber"),
        "user": header.get("commitUser"),
        "origin": header.get("changeOrigin"),
    }


def _identified(key: Any, sequence: Any) -> tuple[str, int]:
    # Event ids are made of these, so values of another type must not be converted.
    if type(key) is not str or type(sequence) is not int:
        raise ValueError("transactionKey or sequenceNumber is of another type")
    if len(key) > _LONGEST:
        raise ValueError(f"transactionKey has {len(key)} characters")
    return key, sequence


def _texts(values: Any, payload: JsonObject) -> list[str]:
    if type(values) is not list or not values:
        raise ValueError("recordIds is not a list of record ids")
    for value in values:
        if type(value) is not str or not value:
            raise ValueError("recordIds holds something that is not a record id")
    if len(values) > 1 or len(values[0]) > _LONGEST:
        _check_lengths(values)
        if len(values) > _MANY:
            _check_many(values, payload)
    return values


def _check_lengths(record_ids: Sequence[str]) -> None:
    if max(map(len, record_ids)) > _LONGEST:
        raise ValueError(f"recordIds holds an id of more than {_LONGEST} characters")


def _check_many(record_ids: list[str], payload: JsonObject) -> None:
    """Raise `ValueError` where the events of many records, each with all of `payload` but them, take much."""
    if len(record_ids) > _MOST_RECORDS:
        raise ValueError(f"{len(record_ids)} recordIds are more than {_MOST_RECORDS}")
    if any(len(each) < _SHORTEST_ID for each in record_ids):
        raise ValueError("recordIds holds something that is not a record id")
    shared = len(raw_json(payload)) - len(raw_json(record_ids))
    if shared * len(record_ids) > _MOST_BYTES:
        raise ValueError(f"its events of {len(record_ids)} records have more than {_MOST_BYTES} bytes")


@lru_cache(maxsize=4096)
def _event_type(entity: str, change: str, entity_wide: bool) -> str:  # noqa: FBT001 - keyword arguments slow the cache down
    if len(entity) > _LONGEST or not entity.isidentifier():
        raise ValueError("entityName is not the API name of an object")
    if change not in _KIND:
        raise ValueError(f"unknown changeType {change[:40]!r}")
    return f"salesforce.cdc.{entity}.{'gap' if entity_wide else _KIND[change]}"


def _nulled_and_diffs(fields: JsonObject) -> tuple[list[str], Sequence[str]]:
    """Return the names of the cleared fields, and of the fields whose diff the event carries."""
    for value in fields.values():
        if value is None or type(value) is dict:
            break
    else:
        return [], ()
    nulled: list[str] = []
    diffs: list[str] = []
    for name, value in fields.items():
        if value is None:
            nulled.append(name)
        elif type(value) is dict:
            if is_diff(value):
                diffs.append(name)
                continue
            for part, inner in value.items():
                if inner is None:
                    nulled.append(f"{name}.{part}")
                elif type(inner) is dict and is_diff(inner):
                    diffs.append(f"{name}.{part}")
    return nulled, diffs
