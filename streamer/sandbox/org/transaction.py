"""Transactions: changes to records that take effect, and are announced, together."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from streamer.sandbox.org import automatic_fields
from streamer.sandbox.org.changes import EVENT_LIMIT_BYTES, ChangeEvent, change_between
from streamer.sandbox.org.definitions.constraints import check_against_records, check_required, check_value
from streamer.sandbox.org.field_values import recorded_value, stored_value
from streamer.sandbox.org.record_ids import IdSequence, normal_id
from streamer.sandbox.org.records import Record, RecordStore
from streamer.sandbox.org.refusals import Refused, external_field_missing, not_found
from streamer.sandbox.org.relationships import children, with_parents_found
from streamer.sandbox.org.schema import Entity, Schema

_MODIFIED = ("LastModifiedDate", "LastModifiedById")


class TransactionPermissions(Protocol):
    """The permissions of a transaction's user."""

    def check(self, type_name: str, right: str) -> None:
        """Raise `Refused` unless the user has this right on a type: `create`, `edit` or `delete`."""
        ...

    def check_fields(self, type_name: str, names: Iterable[str]) -> None:
        """Raise `Refused` for a field that the user can't write."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """User and time in the audit fields of a transaction's records."""

    user: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOperation:
    """One operation on one record, with the record before and after the operation.

    `is_cascaded` is true if the deletion of another record caused the operation.
    """

    entity: Entity
    before: Record | None
    after: Record
    is_cascaded: bool = False

    @property
    def kind(self) -> Literal["Create", "Update", "Delete", "Undelete"]:
        """Name of the operation."""
        if self.before is None:
            return "Create"
        if self.before["IsDeleted"] != self.after["IsDeleted"]:
            return "Delete" if self.after["IsDeleted"] else "Undelete"
        return "Update"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Save:
    entity: Entity
    record_id: str
    before: Record | None
    is_cascaded: bool = False


class Transaction:
    """Creates, updates, deletes and undeletes records for one user at one moment.

    Each operation either takes effect as a whole, or raises `Refused` and changes
    nothing. `roll_back` undoes all operations, and a `savepoint` can undo the
    operations within it.
    """

    def __init__(
        self,
        schema: Schema,
        records: RecordStore,
        ids: IdSequence,
        stamp: Stamp,
        guard: TransactionPermissions | None = None,
    ) -> None:
        """Work on `records`; without a `guard`, every operation is permitted."""
        self._schema = schema
        self._records = records
        self._ids = ids
        self._user = stamp.user
        self._at = stamp.at
        self._guard = guard
        self._saves: list[_Save] = []

    def create(self, type_name: str, fields: Mapping[str, Any]) -> str:
        """Create a record and return its id."""
        self._check(type_name, "create")
        written = self._written(type_name, fields)
        entity = self._schema.entity(type_name)
        check_required(entity.fields.values(), written)
        check_against_records(self._schema, self._records, entity, None, written)
        record: Record = {"Id": self._ids.issue(entity.prefix), "IsDeleted": False, **written}
        record |= {"CreatedDate": self._at, "CreatedById": self._user}
        automatic_fields.fill_defaults(entity, record, number=self._records.count(entity) + 1)
        self._save(entity, None, record, written)
        return str(record["Id"])

    def update(self, type_name: str, record_id: str, fields: Mapping[str, Any]) -> None:
        """Write `fields` to a record; the value `None` empties a field."""
        self._check(type_name, "edit")
        before = self._live(type_name, record_id)
        written = self._written(type_name, fields)
        entity = self._schema.entity(type_name)
        check_required((entity.fields[name] for name in written), written)
        check_against_records(self._schema, self._records, entity, before["Id"], written)
        self._save(entity, before, {**before, **written}, written)

    def upsert(self, type_name: str, key: str, fields: Mapping[str, Any]) -> tuple[str, bool]:
        """Update the record whose field `key` has the value in `fields`, or create a record.

        Returns the record's id, and true if the record was created.
        """
        entity = self._schema.entity(type_name)
        name = self._schema.identifying(entity, key)
        if name is None:
            raise external_field_missing(key)
        others = {field: value for field, value in fields.items() if field.lower() != name.lower()}
        found = self._records.find(entity, name, fields[key])
        if len(found) > 1:
            message = f"Several records have {name} {fields[key]}"
            raise Refused("DUPLICATE_EXTERNAL_ID", message, status=300, fields=[name])
        if found:
            self.update(type_name, found[0]["Id"], others)
            return str(found[0]["Id"]), False
        if name == "Id":
            raise not_found()
        return self.create(type_name, {**others, name: fields[key]}), True

    def delete(self, type_name: str, record_id: str) -> None:
        """Move a record, and the records that are deleted with it, to the Recycle Bin."""
        self._check(type_name, "delete")
        self._delete(type_name, record_id)

    def _delete(self, type_name: str, record_id: str, *, is_cascaded: bool = False) -> None:
        before = self._live(type_name, record_id)
        entity = self._schema.entity(type_name)
        self._save(entity, before, {**before, "IsDeleted": True}, {}, is_cascaded=is_cascaded)
        taken = [
            (child.entity.name, str(record["Id"]))
            for child in children(self._schema.entities, entity)
            if child.cascades
            for record in self._records.find(child.entity, child.field, before["Id"])
        ]
        self._records.deleted_with[before["Id"]] = taken
        for child_type, child_id in taken:
            # A user who deletes a parent needs no right to delete its children.
            self._delete(child_type, child_id, is_cascaded=True)

    def undelete(self, type_name: str, record_id: str) -> None:
        """Restore a record, and the records that were deleted with it, from the Recycle Bin."""
        entity = self._schema.entity(type_name)
        before = self._records.get(entity, normal_id(record_id) or record_id)
        if before is None or not before["IsDeleted"]:
            raise Refused("UNDELETE_FAILED", "Entity is not in the recycle bin")
        self._save(entity, before, {**before, "IsDeleted": False}, {})
        for child_type, child_id in self._records.deleted_with.get(before["Id"], ()):
            child = self._records.get(self._schema.entity(child_type), child_id)
            if child is not None and child["IsDeleted"]:
                self.undelete(child_type, child_id)

    def changes(self, *, event_bytes: int = EVENT_LIMIT_BYTES) -> list[ChangeEvent]:
        """Return the transaction's change to each record, in the order of its first operations.

        A change of more than `event_bytes` is a gap.
        """
        first_saves: dict[str, _Save] = {}
        for save in self._saves:
            first_saves.setdefault(save.record_id, save)
        found = []
        for record_id, save in first_saves.items():
            entity = self._schema.entity(save.entity.name)
            after = self._records.get(entity, record_id)
            if after is not None:
                found.append(change_between(entity, save.before, after, event_bytes=event_bytes))
        return [change for change in found if change is not None]

    def operations(self) -> list[RecordOperation]:
        """Return the transaction's operations on each record, in order."""
        found: list[RecordOperation] = []
        later: dict[str, Record] = {}
        for save in reversed(self._saves):
            entity = self._schema.entity(save.entity.name)
            after = later.get(save.record_id) or self._records.get(entity, save.record_id)
            if after is not None:
                found.append(
                    RecordOperation(
                        entity=entity, before=save.before, after=after, is_cascaded=save.is_cascaded
                    )
                )
            if save.before is not None:
                later[save.record_id] = save.before
        found.reverse()
        return found

    def keep_dates(self, record_id: str) -> None:
        """Restore a record's former LastModifiedDate and LastModifiedById, but not its SystemModstamp."""
        save = next((each for each in self._saves if each.record_id == record_id), None)
        if save is None or save.before is None:
            return
        entity = self._schema.entity(save.entity.name)
        after = self._records.get(entity, record_id) or {}
        self._records.put(entity, {**after, **{name: save.before[name] for name in _MODIFIED}})

    def roll_back(self) -> None:
        """Restore every record to its state before the transaction."""
        self._roll_back_to(0)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Return a context that undoes the operations within it if its body raises."""
        mark = len(self._saves)
        try:
            yield
        except BaseException:
            self._roll_back_to(mark)
            raise

    def _roll_back_to(self, mark: int) -> None:
        for save in reversed(self._saves[mark:]):
            if save.before is None:
                self._records.remove(save.entity, save.record_id)
            else:
                self._records.put(save.entity, save.before)
        del self._saves[mark:]

    def _live(self, type_name: str, record_id: str) -> Record:
        entity = self._schema.entity(type_name)
        record = self._records.get(entity, normal_id(record_id) or record_id)
        if record is None:
            raise not_found()
        if record["IsDeleted"]:
            raise Refused("ENTITY_IS_DELETED", "entity is deleted", status=404)
        return record

    def _check(self, type_name: str, right: str) -> None:
        if self._guard is not None:
            self._guard.check(self._schema.entity(type_name).name, right)

    def _written(self, type_name: str, fields: Mapping[str, Any]) -> Record:
        flat = with_parents_found(self._schema, self._records, type_name, fields)
        entity = self._schema.entity(type_name)
        if self._guard is not None:
            self._guard.check_fields(entity.name, flat)
        written: Record = {}
        for name, value in flat.items():
            field = self._schema.writable(entity, name, value)
            written[field.name] = recorded_value(field, stored_value(field, value))
            check_value(field, written[field.name])
        return written

    def _save(
        self,
        entity: Entity,
        before: Record | None,
        after: Record,
        written: Record,
        *,
        is_cascaded: bool = False,
    ) -> None:
        automatic_fields.derive(entity, after, written)
        after |= {"LastModifiedDate": self._at, "LastModifiedById": self._user, "SystemModstamp": self._at}
        rule = self._schema.rules.get(entity.name)
        if rule is not None and not after["IsDeleted"]:
            rule(after)
        self._records.put(entity, after)
        save = _Save(entity=entity, record_id=after["Id"], before=before, is_cascaded=is_cascaded)
        self._saves.append(save)
