"""Change events of a transaction, as Salesforce announces them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import orjson

from streamer.sandbox.org.field_values import event_value
from streamer.sandbox.org.records import Record
from streamer.sandbox.org.schema import Entity
from streamer.sandbox.org.text_diff import text_diff

OVERFLOW_ID = "000000000000000AAA"
TRANSACTION_LIMIT = 100_000
"""Number of changes of one transaction that are announced one by one (CDC guide, overflow events)."""

EVENT_LIMIT_BYTES = 1_000_000
"""Size of a change above which the org sends a gap event instead (CDC guide, gap events)."""

_ALL_RECORDS = "*"
_NEVER_IN_BODY = frozenset({"Id", "IsDeleted", "SystemModstamp"})
_STAMPS = frozenset({"CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById"})


class ChangeType(StrEnum):
    """The `changeType` of a change event."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    UNDELETE = "UNDELETE"
    GAP_CREATE = "GAP_CREATE"
    GAP_UPDATE = "GAP_UPDATE"
    GAP_DELETE = "GAP_DELETE"
    GAP_UNDELETE = "GAP_UNDELETE"
    GAP_OVERFLOW = "GAP_OVERFLOW"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeEvent:
    """One change event without its header: its type, its records of one entity, and its fields.

    A change that was made `in_database`, below the application, has a separate
    transaction. A change that `keeps_dates` does not change the record's
    LastModifiedDate.
    """

    entity: Entity
    type: ChangeType
    record_ids: tuple[str, ...]
    body: Mapping[str, Any] = field(default_factory=dict)
    changed_fields: tuple[str, ...] = ()
    in_database: bool = False
    keeps_dates: bool = False

    @property
    def weight(self) -> int:
        """Share of the transaction's limit that this event takes: for an update, each field counts."""
        return max(1, len(self.changed_fields))

    @property
    def is_gap(self) -> bool:
        """True if the event reports a change without the changed values."""
        return self.type.startswith("GAP_")

    @property
    def is_entity_wide(self) -> bool:
        """True if the event is about all records of its entity."""
        return any(record_id.endswith(_ALL_RECORDS) for record_id in self.record_ids)


def change_between(
    entity: Entity, before: Record | None, after: Record, *, event_bytes: int = EVENT_LIMIT_BYTES
) -> ChangeEvent | None:
    """Return the single change that a transaction made to a record, with the final values.

    Several operations become one event: a record that was created and updated gives a
    CREATE (CDC guide, general considerations). A record that was created and deleted
    gives no event, and a record that was updated and deleted gives a DELETE; the guide
    does not describe these two cases. A change whose fields take more than
    `event_bytes` is a gap.
    """
    existed = before is not None and not before["IsDeleted"]
    if after["IsDeleted"]:
        deletion = ChangeEvent(entity=entity, type=ChangeType.DELETE, record_ids=(after["Id"],))
        return deletion if existed else None
    if before is None:
        change = _full_change(entity, ChangeType.CREATE, after)
    elif existed:
        change = _update(entity, before, after)
    else:
        change = _full_change(entity, ChangeType.UNDELETE, after)
    return gap_of(change) if len(orjson.dumps(change.body)) > event_bytes else change


def merged(changes: Sequence[ChangeEvent]) -> list[ChangeEvent]:
    """Join equal changes to several records of one entity, in the order of the first."""
    if len(changes) < 2:  # noqa: PLR2004 - nothing to merge
        return list(changes)
    groups: dict[tuple[object, ...], list[ChangeEvent]] = {}
    for change in changes:
        body = orjson.dumps(change.body)
        key = (change.entity.name, change.type, body, change.changed_fields, change.in_database)
        groups.setdefault(key, []).append(change)
    return [
        replace(same[0], record_ids=tuple(each.record_ids[0] for each in same)) if same[1:] else same[0]
        for same in groups.values()
    ]


def limited(changes: Sequence[ChangeEvent], limit: int = TRANSACTION_LIMIT) -> list[ChangeEvent]:
    """Replace the changes beyond the transaction's `limit` by one overflow change per entity.

    Each record counts, so `changes` are the changes before `merged` joins them.
    """
    announced: list[ChangeEvent] = []
    overflowed: dict[str, Entity] = {}
    total = 0
    for change in changes:
        total += change.weight
        if total <= limit:
            announced.append(change)
        else:
            overflowed[change.entity.name] = change.entity
    return announced + [overflow(entity) for entity in overflowed.values()]


def overflow(entity: Entity) -> ChangeEvent:
    """Return the change that stands for all further changes of an entity in a transaction."""
    return ChangeEvent(entity=entity, type=ChangeType.GAP_OVERFLOW, record_ids=(OVERFLOW_ID,))


def entity_wide(entity: Entity) -> ChangeEvent:
    """Return the change which reports that a field lost its values in all records of an entity."""
    return ChangeEvent(entity=entity, type=ChangeType.UPDATE, record_ids=(entity.prefix + _ALL_RECORDS,))


def gap_of(change: ChangeEvent, *, in_database: bool = False, keeps_dates: bool = False) -> ChangeEvent:
    """Return the gap event that replaces a change."""
    return ChangeEvent(
        entity=change.entity,
        type=ChangeType(f"GAP_{change.type}"),
        record_ids=change.record_ids,
        in_database=in_database,
        keeps_dates=keeps_dates,
    )


def _full_change(entity: Entity, kind: ChangeType, record: Record) -> ChangeEvent:
    # A field that the type no longer has can still hold a value.
    filled = ((name, value) for name, value in record.items() if value is not None and name in entity.fields)
    return ChangeEvent(entity=entity, type=kind, record_ids=(record["Id"],), body=_nested(entity, filled))


def _update(entity: Entity, before: Record, after: Record) -> ChangeEvent:
    differing = {name: value for name, value in after.items() if before.get(name) != value}
    differing = {"LastModifiedDate": after["LastModifiedDate"], **differing}
    names = [name for name in differing if name not in _NEVER_IN_BODY]
    plain = [name for name in names if name not in entity.parts]
    compound = [".".join(entity.parts[name]) for name in names if name in entity.parts]
    return ChangeEvent(
        entity=entity,
        type=ChangeType.UPDATE,
        record_ids=(after["Id"],),
        body=_nested(entity, ((name, _event_value(entity, name, before, after)) for name in differing)),
        changed_fields=(*sorted(plain, key=_STAMPS.__contains__), *compound),
    )


def _event_value(entity: Entity, name: str, before: Record, after: Record) -> Any:
    old, new = before.get(name), after[name]
    if entity.fields[name].type == "textarea" and isinstance(old, str) and isinstance(new, str):
        diff = text_diff(old, new)
        return new if diff is None else {"diff": diff}
    return new


def _nested(entity: Entity, values: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return `values` with the components of compound fields nested in them."""
    body: dict[str, Any] = {}
    for name, stored in values:
        part, value = entity.parts.get(name), event_value(entity.fields[name], stored)
        if part is not None:
            body.setdefault(part[0], {})[part[1]] = value
        elif name not in _NEVER_IN_BODY:
            body[name] = value
    return body
