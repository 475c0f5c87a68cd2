"""Shape of an entity's records: the fields to select, and the place of each field in a change event.

Sources: REST API guide, sObject describe; Object reference, compound fields;
Change Data Capture guide, change event body fields and change events for users.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from streamer.errors import UnreadableEvent
from streamer.events import JsonObject
from streamer.normalise.record_events import FieldValue, OrgRecord, date_time, value_of

_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?", re.ASCII)
_NAME = re.compile(r"[A-Za-z]\w{0,254}", re.ASCII)

_RECORD_ID, _MODIFIED, _STAMP, _DELETED = "Id", "LastModifiedDate", "SystemModstamp", "IsDeleted"
_OWN_USE = (_MODIFIED, _STAMP, _DELETED)
# The guide names the first ones; the last two depend on the user who reads.
_NEVER_IN_EVENTS = frozenset(
    {
        *(_RECORD_ID, _STAMP, _DELETED),
        *("LastActivityDate", "PhotoUrl"),
        *("LastViewedDate", "LastReferencedDate"),
    }
)
# Bytes have a separate resource, and lists of ids are read through their junction objects.
_NOT_SELECTED = frozenset({"address", "location", "base64", "complexvalue", "junctionIdList"})

_PERSON_NAME = "Name"
# A contact also has a field Name, but always the name of a person.
_OF_PERSONS, _IS_PERSON = "Account", "IsPersonAccount"
_ADDRESS = "Address"
# For preferences, an event has the list of the names that are set.
_LISTS = {"User": ("UserPreferences", "EmailPreferences")}
_BOOLEAN = value_of("boolean")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldPlace:
    """Place of a selected field in an event: `part` of the compound field `within`, or a field of its own.

    With `listed`, `within` is a list of the parts that are true. `of_person` is
    true if only person accounts have the field, and false if only other accounts
    have the field.
    """

    name: str
    value: FieldValue
    within: str | None = None
    part: str = ""
    listed: bool = False
    of_person: bool | None = None

    @property
    def names(self) -> frozenset[str]:
        """Names that can mean the field: its column, its field in an event, and its path."""
        if self.within is None:
            return frozenset({self.name})
        return frozenset({self.name, self.within, f"{self.within}.{self.part}"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordShape:
    """Fields that the user can see in the records of one entity.

    `select` names the columns of a query over REST or Bulk; `Id` is first. For a
    compound field, `select` names the parts, and never the compound field.
    """

    entity: str
    select: tuple[str, ...]
    places: Sequence[FieldPlace]
    _tells_persons: bool

    @classmethod
    def of(cls, describe: JsonObject) -> "RecordShape":
        """Return the shape of the entity in a describe (see `streamer.ports.Describer`).

        The shape can select fields that are missing in the org's change events. The
        shape omits only fields that no change event has.
        """
        entity = describe["name"]
        fields = {name: field for name, field in _named(describe["fields"]) if not _is_hidden(field)}
        compounds = {name: _compound_of(name, field) for name, field in fields.items()}
        wholes = {compound for compound in compounds.values() if compound is not None}
        tells_persons = entity == _OF_PERSONS and _IS_PERSON in fields and _PERSON_NAME in wholes
        if tells_persons:
            wholes.remove(_PERSON_NAME)
        places = [
            _place(entity, name, field, compounds[name], tells_persons=tells_persons)
            for name, field in fields.items()
            if name not in wholes and name not in _NEVER_IN_EVENTS
        ]
        own = (_RECORD_ID, *(name for name in _OWN_USE if name in fields))
        return cls(entity=entity, select=_selected(own, places), places=places, _tells_persons=tells_persons)

    def record(self, row: Mapping[str, Any]) -> OrgRecord:
        """Return a row of a query's answer as a record; values are JSON or texts of a CSV, by column.

        A field that is missing in the row is missing in the record; an empty field
        is null. Raises `UnreadableEvent` if the row has no id, or if a value does
        not have the type in the describe; the error quotes no value.
        """
        record_id = row.get(_RECORD_ID)
        if type(record_id) is not str or not _ID.fullmatch(record_id):
            raise UnreadableEvent(f"A row of the query of {self.entity} has no record id in the column Id")
        where = f"{self.entity} {record_id}"
        return OrgRecord(
            entity=self.entity,
            id=record_id,
            fields=self._fields(row, where),
            last_modified=_read(date_time, row, _MODIFIED, where),
            system_modstamp=_read(date_time, row, _STAMP, where),
            is_deleted=bool(_read(_BOOLEAN, row, _DELETED, where)),
        )

    def limited_to(self, names: Iterable[str]) -> "RecordShape":
        """Return the shape with only the fields `names`: names of columns, or of fields of a change event.

        The name of a compound field selects all of its parts. Raises `ValueError`
        with the unknown names.
        """
        wanted = set(names)
        kept = [place for place in self.places if place.names & wanted]
        unknown = wanted - {_RECORD_ID, *_OWN_USE}.union(*(place.names for place in kept))
        if unknown:
            raise ValueError(f"{self.entity} has no field {', '.join(sorted(unknown))} that can be selected")
        if self._tells_persons:
            # Without this field, the two forms of an account's name can't be distinguished.
            kept += [each for each in self.places if each.name == _IS_PERSON and each not in kept]
        return replace(self, select=_selected(self.select, kept), places=kept)

    def _fields(self, row: Mapping[str, Any], where: str) -> JsonObject:
        fields: JsonObject = {}
        of_person = self._tells_persons and bool(_read(_BOOLEAN, row, _IS_PERSON, where))
        for place in self.places:
            if place.name not in row or (place.of_person is not None and place.of_person != of_person):
                continue
            value = _read(place.value, row, place.name, where)
            if place.within is None:
                fields[place.name] = value
            elif not place.listed:
                fields.setdefault(place.within, {})[place.part] = value
            else:
                fields.setdefault(place.within, []).extend([place.part] if value else ())
        return fields


def _selected(own: Iterable[str], places: Iterable[FieldPlace]) -> tuple[str, ...]:
    always = (name for name in own if name in {_RECORD_ID, *_OWN_USE})
    return tuple(dict.fromkeys((*always, *(place.name for place in places))))


def _named(described: Iterable[Any]) -> Iterator[tuple[str, JsonObject]]:
    """Yield the fields of a describe with their names; the describe can contain anything."""
    for field in described:
        name = field.get("name") if isinstance(field, dict) else None
        if isinstance(name, str) and _NAME.fullmatch(name):
            yield name, field


def _is_hidden(field: JsonObject) -> bool:
    return _type(field) in _NOT_SELECTED or field.get("deprecatedAndHidden") is True


def _type(field: JsonObject) -> str:
    data_type = field.get("type")
    return data_type if isinstance(data_type, str) else ""


def _compound_of(name: str, field: JsonObject) -> str | None:
    compound = field.get("compoundFieldName")
    # A describe can name a field as its own compound field.
    return compound if isinstance(compound, str) and compound != name else None


def _place(
    entity: str, name: str, field: JsonObject, compound: str | None, *, tells_persons: bool
) -> FieldPlace:
    data_type = _type(field)
    value = value_of(data_type)
    if compound is not None:
        of_person = True if tells_persons and compound == _PERSON_NAME else None
        return FieldPlace(
            name=name, value=value, within=compound, part=_part(compound, name), of_person=of_person
        )
    for prefix in _LISTS.get(entity, ()):
        part = name.removeprefix(prefix)
        if data_type == "boolean" and part not in {"", name}:
            return FieldPlace(name=name, value=value, within=prefix, part=part, listed=True)
    return FieldPlace(
        name=name, value=value, of_person=False if tells_persons and name == _PERSON_NAME else None
    )


def _part(compound: str, name: str) -> str:
    """Return the name of the component `name` within `compound`.

    Examples: `City` for `BillingCity`, `Latitude` for `Site__Latitude__s`. Parts
    of a person's name keep their names.
    """
    stem = compound.rpartition("__")[0]
    if stem and name.startswith(f"{stem}__"):
        return name[len(stem) + 2 :].rpartition("__")[0] or name
    prefix = compound.removesuffix(_ADDRESS)
    if prefix != compound and name.startswith(prefix) and name != prefix:
        return name.removeprefix(prefix)
    return name


def _read(value: FieldValue, row: Mapping[str, Any], name: str, where: str) -> Any:
    try:
        return value(row.get(name))
    except ValueError as error:
        raise UnreadableEvent(f"{where}: {name} is {error}") from None
