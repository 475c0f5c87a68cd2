"""Replica of an org's records, as a consumer of the log builds it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from streamer.events import Event, JsonObject
from streamer.sandbox import Sandbox

TRACKED = {
    "Account": ("Name", "Phone", "Note__c", "BillingCity"),
    "Contact": ("LastName", "Title", "Phone"),
}
_PLACES = {
    ("Account", "BillingCity"): ("BillingAddress", "City"),
    ("Contact", "LastName"): ("Name", "LastName"),
}

RecordKey = tuple[str, str]
"""Entity and id of a record."""

State = dict[RecordKey, dict[str, Any]]
"""Tracked fields that are not empty, by entity and record id."""


@dataclass(kw_only=True)
class Replica:
    """Records of a consumer who merges the fields of all events into `base`, in their order."""

    base: State = field(default_factory=dict)
    _found: State = field(init=False)
    _read: int = 0

    def __post_init__(self) -> None:
        self._found = {place: dict(record) for place, record in self.base.items()}

    def state(self, events: Sequence[Event]) -> State:
        """Return the records after `events`, which must begin with the events of the last call."""
        for event in events[self._read :]:
            self._merge(event)
        self._read = len(events)
        return {
            place: {name: value for name, value in record.items() if value is not None}
            for place, record in self._found.items()
            if place[0] in TRACKED
        }

    def _merge(self, event: Event) -> None:
        kind = event.type.rpartition(".")[2]
        place = event.data["entity"], event.data["record_id"]
        if kind == "gap":
            return
        if kind == "deleted":
            self._found.pop(place, None)
            return
        record = self._found.setdefault(place, {})
        for name in TRACKED.get(place[0], ()):
            is_told, value = _told(event.data["fields"], place[0], name)
            if is_told:
                record[name] = value


def replica_of(events: Sequence[Event]) -> State:
    """Return the records that a consumer has who has read all `events`."""
    return Replica().state(events)


def _told(fields: JsonObject, entity: str, name: str) -> tuple[bool, Any]:
    within, part = _PLACES.get((entity, name), (name, None))
    if within not in fields:
        return False, None
    value = fields[within]
    if part is None or value is None:
        return True, value
    return part in value, value.get(part)


def state_of(sandbox: Sandbox) -> State:
    """Return the records that the org has."""
    found: State = {}
    for entity, names in TRACKED.items():
        for record in sandbox.org.records.all(sandbox.org.schema.entity(entity)):
            if not record["IsDeleted"]:
                found[entity, record["Id"]] = {
                    name: record[name] for name in names if record.get(name) is not None
                }
    return found


def differing(replica: State, org: State) -> list[RecordKey]:
    """Return the records that differ."""
    return [key for key in sorted(replica.keys() | org.keys()) if replica.get(key) != org.get(key)]


def difference(replica: State, org: State) -> str:
    """Return what differs, a line for each record."""
    return "\n".join(
        f"{key}: the replica has {replica.get(key)}, the org {org.get(key)}"
        for key in differing(replica, org)
    )
