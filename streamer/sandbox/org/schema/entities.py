"""Types of records and platform events, and their fields."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from streamer.sandbox.org.refusals import no_such_column

_CHANGE_EVENT = "ChangeEvent"
SYSTEM = (
    "Id:id",
    "IsDeleted:boolean",
    "CreatedDate:datetime",
    "CreatedById:reference",
    "LastModifiedDate:datetime",
    "LastModifiedById:reference",
    "SystemModstamp:datetime",
)
"""Fields that every type has, each with its data type."""
READ_ONLY = frozenset(declared.partition(":")[0] for declared in SYSTEM)
"""Fields that the org alone sets."""
COMPUTED = frozenset({"NotifyForOperations"})
"""Fields of single types that the org computes from other fields, and that can't be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a record type or a platform event; `type` is Salesforce's name of its data type.

    `targets` are the types to which a custom reference can point. A `standard` field
    refuses a text that is longer than `length`. A `declared` field has more rules: the
    number of digits, in total and after the point, the uniqueness of its values, and
    the `values` of its picklist. `child_relationship` is the name of a reference in the
    parent type; with `cascades`, deleting a parent also deletes its children.
    """

    name: str
    type: str = "string"
    required: bool = False
    targets: tuple[str, ...] = ()
    standard: bool = False
    declared: bool = False
    label: str | None = None
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    unique: bool = False
    case_sensitive: bool = False
    external_id: bool = False
    values: tuple[str, ...] = ()
    restricted: bool = False
    child_relationship: str | None = None
    cascades: bool = False

    @property
    def identifies(self) -> bool:
        """True if a value of the field can identify a record to update, as for every undeclared field."""
        return self.external_id or not self.declared

    @property
    def is_strict(self) -> bool:
        """True if the field refuses unfit values.

        A custom field that was created by its first use accepts any value.
        """
        return self.standard or self.declared

    @property
    def title(self) -> str:
        """Label of the field in refusals."""
        return self.label or label(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """One record type.

    `parts` maps the field that holds a component to its compound field and the
    component's short name: `BillingCity` to `BillingAddress` and `City`. A `declared`
    type has only its declared fields. Only changes of an `announced` type cause change
    events.
    """

    name: str
    prefix: str
    fields: Mapping[str, Field]
    parts: Mapping[str, tuple[str, str]]
    by_lower_name: Mapping[str, str]
    declared: bool = False
    announced: bool = True
    label: str | None = None

    @property
    def change_event(self) -> str:
        """Name of its change event: `AccountChangeEvent`, `Invoice__ChangeEvent`."""
        return change_event_of(self.name)

    @property
    def is_custom(self) -> bool:
        """True for a type that an administrator created."""
        return self.name.endswith("__c")

    @property
    def compounds(self) -> frozenset[str]:
        """Names of its compound fields."""
        return frozenset(compound for compound, _ in self.parts.values())

    def field_name(self, name: str) -> str | None:
        """Return the canonical spelling of a field's name, which Salesforce accepts in any letter case."""
        return name if name in self.fields else self.by_lower_name.get(name.lower())

    def with_fields(self, *fields: Field) -> "Entity":
        """Return this type with the additional `fields`, which replace fields with the same names."""
        all_fields = {**self.fields, **{field.name: field for field in fields}}
        return replace(self, fields=all_fields, by_lower_name={name.lower(): name for name in all_fields})

    def declared_with(self, fields: Iterable[Field], *, label: str | None = None) -> "Entity":
        """Return this type as a declared type, which has only these fields: its first use adds no field."""
        return replace(self, declared=True, label=label).with_fields(*fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformEvent:
    """A platform event whose fields are declared."""

    name: str
    fields: Mapping[str, Field]
    label: str | None = None

    def field(self, name: str) -> Field:
        """Return the field with this name, in any letter case; raises `Refused` if there is no such field."""
        found = self.fields.get(name)
        if found is None:
            lower = name.lower()
            found = next((field for field in self.fields.values() if field.name.lower() == lower), None)
        if found is None:
            raise no_such_column(name, self.name)
        return found


def change_event_of(type_name: str) -> str:
    """Return the name of a type's change event: `AccountChangeEvent`, `Invoice__ChangeEvent`."""
    return (type_name.removesuffix("c") if type_name.endswith("__c") else type_name) + _CHANGE_EVENT


def changed_type(change_event: str) -> str | None:
    """Return the type whose change event has this name, `Invoice__c` for `Invoice__ChangeEvent`."""
    stem = change_event.removesuffix(_CHANGE_EVENT)
    if stem == change_event:
        return None
    return f"{stem}c" if stem.endswith("__") else stem


def label(name: str) -> str:
    """Return a label for a type or field that has no label."""
    return name.removesuffix("__c").removesuffix("__e").replace("_", " ")


def type_of(value: Any) -> str:
    """Return the type of a field that is created for `value`."""
    if isinstance(value, bool):
        return "boolean"
    return "double" if isinstance(value, int | float) else "string"
