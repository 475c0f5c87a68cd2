"""Record types of the org: their fields, compound fields and id prefixes."""

import re
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from streamer.sandbox.org.refusals import Refused, no_such_column, not_found

_DIGITS = string.digits + string.ascii_uppercase
_CUSTOM_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}__[ce]")
_CHANGE_EVENT = "ChangeEvent"
_ADDRESS = ("Street", "City", "State", "PostalCode", "Country", "Latitude", "Longitude", "GeocodeAccuracy")
_SYSTEM = (
    "Id:id",
    "IsDeleted:boolean",
    "CreatedDate:datetime",
    "CreatedById:reference",
    "LastModifiedDate:datetime",
    "LastModifiedById:reference",
    "SystemModstamp:datetime",
)
READ_ONLY = frozenset(declared.partition(":")[0] for declared in _SYSTEM)
"""Fields that the org alone sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a record type or a platform event; `type` is Salesforce's name of its data type.

    `targets` are the types that a custom reference can point to. The rules
    behind them hold for a `declared` field alone: its longest text, its most
    digits and those behind the point, whether two records can have one value,
    and the `values` of its picklist. `child_relationship` is the name that a
    reference has in its parent, and with `cascades` deleting the parent deletes
    its children.
    """

    name: str
    type: str = "string"
    required: bool = False
    targets: tuple[str, ...] = ()
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
        """True where the field can find a record to update; any does that is not declared."""
        return self.external_id or not self.declared

    @property
    def title(self) -> str:
        """Its label, as refusals name it."""
        return self.label or label(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """One record type.

    `parts` maps the field that holds a component to its compound field and the
    component's short name: `BillingCity` to `BillingAddress` and `City`. A
    `declared` type has the fields that are declared, and gets no others. Changes
    of a type that is not `announced` cause no change events.
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
        """Return the canonical spelling of a field's name, which Salesforce reads in any case."""
        return name if name in self.fields else self.by_lower_name.get(name.lower())

    def with_fields(self, *fields: Field) -> "Entity":
        """Return this type with further fields, which take the place of those with their names."""
        all_fields = {**self.fields, **{field.name: field for field in fields}}
        return replace(self, fields=all_fields, by_lower_name={name.lower(): name for name in all_fields})

    def declared_with(self, fields: Iterable[Field], *, label: str | None = None) -> "Entity":
        """Return this type as one that has these further fields and no others."""
        return replace(self, declared=True, label=label).with_fields(*fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformEvent:
    """A platform event whose fields are declared."""

    name: str
    fields: Mapping[str, Field]
    label: str | None = None

    def field(self, name: str) -> Field:
        """Return the field of that name in any letter case; raises `Refused` if there is none."""
        found = self.fields.get(name)
        if found is None:
            lower = name.lower()
            found = next((field for field in self.fields.values() if field.name.lower() == lower), None)
        if found is None:
            raise no_such_column(name, self.name)
        return found


class Schema:
    """The record types and platform events of the org.

    Custom types, and custom fields of any type, are created when they are first
    used, unless the schema is `closed` or the type is declared. `changed_at` is
    the time of the latest change to it, in epoch seconds. `rules` check a
    record of a type before it is saved, and raise `Refused`.
    """

    def __init__(
        self,
        *,
        custom: Iterable[str] = (),
        standard: Iterable[Entity] = (),
        closed: bool = False,
        now: Callable[[], float] = float,
    ) -> None:
        """Start with the standard types and those named in `custom`, ending in `__c` or `__e`.

        `standard` are further types that every org has.

        `now` returns the time in epoch seconds.
        """
        self._closed = self._always_closed = closed
        self._now = now
        self.changed_at = now()
        self.rules: dict[str, Callable[[dict[str, Any]], None]] = {}
        self._entities = {**STANDARD, **{entity.name: entity for entity in standard}}
        self._lower = {name.lower(): name for name in self._entities}
        self._custom_types = 0
        self._platform_events: set[str] = set()
        self._events: dict[str, PlatformEvent] = {}
        for name in custom:
            self._create(name)

    @property
    def is_closed(self) -> bool:
        """True where nothing is created by its first use."""
        return self._closed

    @property
    def entities(self) -> tuple[Entity, ...]:
        """All record types, in the order of their creation."""
        return tuple(self._entities.values())

    @property
    def platform_events(self) -> tuple[str, ...]:
        """Names of the known platform events; others can be published where the schema is open."""
        return tuple(sorted(self._platform_events | self._events.keys()))

    @property
    def events(self) -> tuple[PlatformEvent, ...]:
        """The platform events whose fields are declared."""
        return tuple(self._events.values())

    def define(
        self, entities: Iterable[Entity], events: Iterable[PlatformEvent], *, closed: bool = False
    ) -> None:
        """Put declared types and events in the place of those declared before.

        A type that is declared no longer keeps its fields and its records, and
        is as free as any other. `closed` forbids types and events that nothing
        declares.
        """
        for entity in self.entities:
            if entity.declared:
                self._entities[entity.name] = _freed(entity)
        for entity in entities:
            self._entities[entity.name] = entity
            self._lower[entity.name.lower()] = entity.name
        self._events = {event.name: event for event in events}
        self._closed = closed or self._always_closed
        self.changed_at = self._now()

    def new_prefix(self) -> str:
        """Return the id prefix of a new custom type; raises `Refused` where there are too many."""
        number, self._custom_types = self._custom_types, self._custom_types + 1
        if number >= len(_DIGITS) ** 2:
            raise Refused("LIMIT_EXCEEDED", "The org has as many custom objects as it can have")
        return "a" + "".join(_DIGITS[digit] for digit in divmod(number, len(_DIGITS)))

    def existing(self, name: str) -> Entity | None:
        """Return the type of exactly this name, or `None`; creates none."""
        return self._entities.get(name)

    def entity(self, name: str) -> Entity:
        """Return the type of that name; raises `Refused` if there is none."""
        found = self._entities.get(name) or self._entities.get(self._lower.get(name.lower(), ""))
        if found is None and not self._closed and name.endswith("__c") and _CUSTOM_NAME.fullmatch(name):
            self._create(name)
            found = self._entities[name]
        if found is None:
            raise not_found()
        return found

    def knows(self, name: str) -> bool:
        """Return whether a type of exactly this name exists, or could, without creating it."""
        can_be_created = not self._closed and name.endswith("__c") and _CUSTOM_NAME.fullmatch(name)
        return name in self._entities or bool(can_be_created)

    def entity_of_id(self, record_id: str) -> Entity | None:
        """Return the type whose prefix this id has, or `None`."""
        return next((each for each in self._entities.values() if each.prefix == record_id[:3]), None)

    def is_platform_event(self, name: str) -> bool:
        """Return whether messages of this platform event can be published."""
        open_name = not self._closed and name.endswith("__e") and _CUSTOM_NAME.fullmatch(name)
        return name in self._platform_events or name in self._events or bool(open_name)

    def event(self, name: str) -> PlatformEvent | None:
        """Return the declared fields of a platform event, `None` where any can be published."""
        return self._events.get(name)

    def readable(self, entity: Entity, name: str) -> str | None:
        """Return the canonical name of a readable field, or `None`.

        A custom field that does not exist yet reads as empty where the schema
        is open.
        """
        known = entity.field_name(name)
        if known is not None:
            return known
        compound = next((each for each in entity.compounds if each.lower() == name.lower()), None)
        return compound or (name if self._can_get_field(entity, name) else None)

    def identifying(self, entity: Entity, name: str) -> str | None:
        """Return the canonical name of a field that can find a record to update, or `None`."""
        known = self.readable(entity, name)
        field = entity.fields.get(known) if known is not None else None
        return known if field is None or field.identifies else None

    def writable(self, entity: Entity, name: str, value: Any) -> Field:
        """Return the field to which `value` can be written.

        A new custom field is created where the schema is open, with the type of
        the value. Raises `Refused` otherwise.
        """
        known = entity.field_name(name)
        if known is not None and known not in READ_ONLY:
            return entity.fields[known]
        if known is None and self._can_get_field(entity, name):
            field = Field(name=name, type=type_of(value))
            self._add_field(entity, field)
            return field
        if known is not None:
            message = f"Unable to create/update fields: {known}. Please check the security settings."
            raise Refused("INVALID_FIELD_FOR_INSERT_UPDATE", message, fields=[known])
        raise no_such_column(name, entity.name)

    def create_reference(self, entity: Entity, name: str, target: str) -> Entity:
        """Create a custom reference field and return the type to which it points.

        Raises `Refused` where the type can't get a field or the name is taken.
        """
        if entity.field_name(name) is not None or not self._can_get_field(entity, name):
            raise no_such_column(name, entity.name)
        pointed_to = self.entity(target)
        self._add_field(entity, Field(name=name, type="reference", targets=(pointed_to.name,)))
        return pointed_to

    def replace_field(self, entity: Entity, field: Field) -> None:
        """Put a field in the place of the type's one with its name."""
        self._add_field(entity, field)

    def _can_get_field(self, entity: Entity, name: str) -> bool:
        is_open = not self._closed and not entity.declared
        return is_open and name.endswith("__c") and _CUSTOM_NAME.fullmatch(name) is not None

    def _add_field(self, entity: Entity, field: Field) -> None:
        self._entities[entity.name] = self._entities[entity.name].with_fields(field)
        self.changed_at = self._now()

    def _create(self, name: str) -> None:
        if not _CUSTOM_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a custom object (X__c) or platform event (X__e).")
        self.changed_at = self._now()
        if name.endswith("__e"):
            self._platform_events.add(name)
            return
        self._entities[name] = new_type(name, self.new_prefix())
        self._lower[name.lower()] = name


def new_type(name: str, prefix: str) -> Entity:
    """Return a type with the fields that every type has, and with a name and an owner where it is custom."""
    return _entity(name, prefix, _fields("Name OwnerId:reference" if name.endswith("__c") else ""), {})


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
    """Return the label of a type or a field that has none of its own."""
    return name.removesuffix("__c").removesuffix("__e").replace("_", " ")


def _freed(entity: Entity) -> Entity:
    """Return a type without its rules; a standard type has those of the standard again."""
    standard = STANDARD.get(entity.name)
    free = {
        name: Field(name=name, type=field.type, targets=field.targets)
        for name, field in entity.fields.items()
        if standard is None or name not in standard.fields
    }
    if standard is not None:
        return standard.with_fields(*free.values())
    return replace(entity, declared=False, label=None).with_fields(*free.values())


def type_of(value: Any) -> str:
    """Return the type of a field that is created for `value`."""
    if isinstance(value, bool):
        return "boolean"
    return "double" if isinstance(value, int | float) else "string"


def _fields(line: str) -> dict[str, Field]:
    fields = {}
    for declared in (*_SYSTEM, *line.split()):
        name, _, kind = declared.rstrip("!").partition(":")
        fields[name] = Field(name=name, type=kind or "string", required=declared.endswith("!"))
    return fields


def _standard(name: str, line: str) -> Entity:
    prefix, _, declared = line.partition(" ")
    plain, parts = [], dict[str, tuple[str, str]]()
    for word in declared.split():
        if word.startswith("@"):
            # `@Billing` stands for the components of BillingAddress, a lone `@` for those of Address.
            components = {word[1:] + part: (word[1:] + "Address", part) for part in _ADDRESS}
            plain += [f"{field}:double" if field.endswith("itude") else field for field in components]
            parts |= components
        else:
            plain.append(word)
    if "LastName!" in plain:
        parts |= {part: ("Name", part) for part in ("Salutation", "FirstName", "LastName")}
    return _entity(name, prefix, _fields(" ".join(plain)), parts)


def _entity(
    name: str, prefix: str, fields: Mapping[str, Field], parts: Mapping[str, tuple[str, str]]
) -> Entity:
    return Entity(
        name=name,
        prefix=prefix,
        fields=fields,
        parts=parts,
        by_lower_name={field.lower(): field for field in fields},
    )


# Each line: the id prefix, then the fields with their types; `!` marks a required one.
_STANDARD = {
    "Account": "001 Name! Type:picklist ParentId:reference @Billing @Shipping Phone:phone Fax:phone "
    "AccountNumber Website:url Sic Industry:picklist AnnualRevenue:currency NumberOfEmployees:int "
    "Ownership:picklist TickerSymbol Description:textarea Rating:picklist Site OwnerId:reference "
    "AccountSource:picklist",
    "Contact": "003 Salutation:picklist FirstName LastName! AccountId:reference @Mailing @Other Phone:phone "
    "Fax:phone MobilePhone:phone HomePhone:phone Email:email Title Department ReportsToId:reference "
    "LeadSource:picklist Birthdate:date Description:textarea OwnerId:reference",
    "User": "005 Username! Name Email:email IsActive:boolean",
    "Opportunity": "006 AccountId:reference Name! Description:textarea StageName:picklist! Amount:currency "
    "Probability:percent ExpectedRevenue:currency CloseDate:date! Type:picklist NextStep "
    "LeadSource:picklist IsClosed:boolean IsWon:boolean ForecastCategoryName:picklist "
    "CampaignId:reference HasOpportunityLineItem:boolean Pricebook2Id:reference OwnerId:reference",
    "Lead": "00Q Salutation:picklist FirstName LastName! Company! Title @ Phone:phone MobilePhone:phone "
    "Email:email Website:url Description:textarea LeadSource:picklist Status:picklist Industry:picklist "
    "Rating:picklist AnnualRevenue:currency NumberOfEmployees:int IsConverted:boolean "
    "ConvertedDate:date ConvertedAccountId:reference ConvertedContactId:reference "
    "ConvertedOpportunityId:reference OwnerId:reference",
    "Case": "500 CaseNumber ContactId:reference AccountId:reference ParentId:reference SuppliedName "
    "SuppliedEmail:email Type:picklist Status:picklist Reason:picklist Origin:picklist Subject "
    "Priority:picklist Description:textarea IsClosed:boolean ClosedDate:datetime IsEscalated:boolean "
    "OwnerId:reference",
    "Order": "801 AccountId:reference ContractId:reference OpportunityId:reference OrderNumber "
    "EffectiveDate:date! EndDate:date Status:picklist! Description:textarea Type:picklist @Billing "
    "@Shipping Name TotalAmount:currency PoNumber OrderReferenceNumber OwnerId:reference",
    "OrderItem": "802 OrderId:reference! OrderItemNumber Product2Id:reference Quantity:double! "
    "UnitPrice:currency! TotalPrice:currency ServiceDate:date Description",
    "OpportunityLineItem": "00k OpportunityId:reference! Name Product2Id:reference Quantity:double "
    "UnitPrice:currency TotalPrice:currency ServiceDate:date Description",
    "Product2": "01t Name! ProductCode Description:textarea IsActive:boolean Family:picklist",
    "Asset": "02i Name! AccountId:reference ContactId:reference Product2Id:reference SerialNumber "
    "Status:picklist Price:currency Quantity:double OwnerId:reference",
    "Contract": "800 AccountId:reference! Status:picklist StartDate:date EndDate:date ContractTerm:int "
    "ContractNumber @Billing OwnerId:reference",
    "Task": "00T WhoId:reference WhatId:reference Subject Status:picklist Priority:picklist "
    "ActivityDate:date Description:textarea OwnerId:reference",
    "Organization": "00D Name IsSandbox:boolean OrganizationType:picklist InstanceName",
}
STANDARD: Mapping[str, Entity] = {name: _standard(name, line) for name, line in _STANDARD.items()}
"""The standard types, as they are before anything is declared or created."""
