"""Replica of an org's records, as a consumer of the log builds it."""

from collections.abc import Iterable
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

State = dict[tuple[str, str], dict[str, Any]]
"""Tracked fields that are not empty, by entity and record id."""


def replica_of(events: Iterable[Event]) -> State:
    """Return the records that a consumer has who merges the fields of all events, in their order."""
    found: State = {}
    for event in events:
        kind = event.type.rpartition(".")[2]
        place = event.data["entity"], event.data["record_id"]
        if kind == "gap":
            continue
        if kind == "deleted":
            found.pop(place, None)
            continue
        record = found.setdefault(place, {})
        for name in TRACKED.get(place[0], ()):
            is_told, value = _told(event.data["fields"], place[0], name)
            if is_told:
                record[name] = value
    return {
        place: {name: value for name, value in record.items() if value is not None}
        for place, record in found.items()
        if place[0] in TRACKED
    }


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


def difference(replica: State, org: State) -> str:
    """Return what differs, a line for each record."""
    return "\n".join(
        f"{place}: the replica has {replica.get(place)}, the org {org.get(place)}"
        for place in sorted(replica.keys() | org.keys())
        if replica.get(place) != org.get(place)
    )
