"""Records of the org, including deleted records."""

from collections.abc import Iterable
from typing import Any

from streamer.sandbox.org.schema import Entity

Record = dict[str, Any]
"""Fields of a record by name; a compound field is stored as its components."""

_Index = dict[str, dict[str, None]]


class RecordStore:
    """Stores each type's records by id, and finds records by other fields.

    The first search by a field builds an index of this field, which is then kept.
    `deleted_with` lists the types and ids of the records that were deleted together
    with a record. `emptied_at` has the time at which each type's deleted records were
    removed.
    """

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, Record]] = {}
        self._indexes: dict[str, dict[str, _Index]] = {}
        self.deleted_with: dict[str, list[tuple[str, str]]] = {}
        self.emptied_at: dict[str, str] = {}

    def get(self, entity: Entity, record_id: str) -> Record | None:
        """Return the record, even a deleted record; `None` if no record has this id."""
        return self._tables.get(entity.name, {}).get(record_id)

    def all(self, entity: Entity) -> Iterable[Record]:
        """Return every record of a type, including deleted records, in the order of creation."""
        return self._tables.get(entity.name, {}).values()

    def count(self, entity: Entity) -> int:
        """Return the number of records of a type, including deleted records."""
        return len(self._tables.get(entity.name, {}))

    def put(self, entity: Entity, record: Record) -> None:
        """Store `record` in place of an earlier record with the same id."""
        table = self._tables.setdefault(entity.name, {})
        self._reindex(entity, table.get(record["Id"]), record)
        table[record["Id"]] = record

    def remove(self, entity: Entity, record_id: str) -> None:
        """Remove the record without a trace."""
        self._reindex(entity, self._tables[entity.name].pop(record_id), None)

    def empty_recycle_bin(self, entity: Entity, at: str) -> int:
        """Remove the deleted records of a type, and return their number."""
        gone = [record["Id"] for record in self.all(entity) if record["IsDeleted"]]
        for record_id in gone:
            self.remove(entity, record_id)
            self.deleted_with.pop(record_id, None)
        if gone:
            self.emptied_at[entity.name] = at
        return len(gone)

    def find(self, entity: Entity, field: str, value: Any) -> list[Record]:
        """Return the undeleted records with `value`, in any letter case, in the field `field`."""
        index = self._indexes.setdefault(entity.name, {}).get(field)
        if index is None:
            index = self._indexes[entity.name][field] = {}
            for record in self.all(entity):
                index.setdefault(_key(record.get(field)), {})[record["Id"]] = None
        table = self._tables.get(entity.name, {})
        found = (table[record_id] for record_id in index.get(_key(value), ()))
        return [record for record in found if not record["IsDeleted"]]

    def _reindex(self, entity: Entity, before: Record | None, after: Record | None) -> None:
        for field, index in self._indexes.get(entity.name, {}).items():
            if before is not None:
                index[_key(before.get(field))].pop(before["Id"])
            if after is not None:
                index.setdefault(_key(after.get(field)), {})[after["Id"]] = None


def read_field(entity: Entity, record: Record, field: str) -> Any:
    """Return the value of a field, including a compound field, as the REST API shows it."""
    if field in record or field not in entity.compounds:
        return record.get(field)
    parts = {part: record.get(name) for name, (compound, part) in entity.parts.items() if compound == field}
    if field == "Name":
        return " ".join(str(part) for key, part in parts.items() if part and key != "Salutation")
    filled = {part[0].lower() + part[1:]: value for part, value in parts.items()}
    return filled if any(value is not None for value in filled.values()) else None


def _key(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).casefold()
