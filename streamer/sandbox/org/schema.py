"""Record types of the org: their fields, compound fields and id prefixes."""

import base64
import hashlib
import re
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from streamer.sandbox.org.refusals import Refused, not_found

_DIGITS = string.digits + string.ascii_uppercase
_CUSTOM_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}__[ce]")
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
    """One field of a record type; `type` is Salesforce's name of its data type.

    `targets` are the types that a custom reference can point to.
    """

    name: str
    type: str = "string"
    required: bool = False
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """One record type.

    `parts` maps the field that holds a component to its compound field and the
    component's short name: `BillingCity` to `BillingAddress` and `City`.
    `schema_id` changes with the fields, as the fingerprint of the event schema
    does.
    """

    name: str
    prefix: str
    fields: Mapping[str, Field]
    parts: Mapping[str, tuple[str, str]]
    by_lower_name: Mapping[str, str]
    schema_id: str

    @property
    def change_event(self) -> str:
        """Name of its change event: `AccountChangeEvent`, `Invoice__ChangeEvent`."""
        return self.name.removesuffix("c") + "ChangeEvent" if self.is_custom else f"{self.name}ChangeEvent"

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

    def with_field(self, field: Field) -> "Entity":
        """Return this type with one more field."""
        return _entity(self.name, self.prefix, {**self.fields, field.name: field}, self.parts)


class Schema:
    """The record types and platform events of the org.

    Custom types, and custom fields of any type, are created when they are first
    used, unless the schema is `closed`. `changed_at` is the time of the latest
    change to it, in epoch seconds.
    """

    def __init__(
        self,
        *,
        custom: Iterable[str] = (),
        closed: bool = False,
        now: Callable[[], float] = float,
    ) -> None:
        """Start with the standard types and those named in `custom`, ending in `__c` or `__e`.

        `now` returns the time in epoch seconds.
        """
        self._closed = closed
        self._now = now
        self.changed_at = now()
        self._entities = {name: _standard(name, line) for name, line in _STANDARD.items()}
        self._lower = {name.lower(): name for name in self._entities}
        self._platform_events: set[str] = set()
        for name in custom:
            self._declare(name)

    @property
    def entities(self) -> tuple[Entity, ...]:
        """All record types, in the order of their creation."""
        return tuple(self._entities.values())

    @property
    def platform_events(self) -> tuple[str, ...]:
        """Names of the declared platform events; others can be published where the schema is open."""
        return tuple(sorted(self._platform_events))

    def entity(self, name: str) -> Entity:
        """Return the type of that name; raises `Refused` if there is none."""
        found = self._entities.get(name) or self._entities.get(self._lower.get(name.lower(), ""))
        if found is None and not self._closed and name.endswith("__c") and _CUSTOM_NAME.fullmatch(name):
            self._declare(name)
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
        return name in self._platform_events or bool(open_name)

    def readable(self, entity: Entity, name: str) -> str | None:
        """Return the canonical name of a readable field, or `None`.

        A custom field that does not exist yet reads as empty where the schema
        is open.
        """
        known = entity.field_name(name)
        if known is not None:
            return known
        compound = next((each for each in entity.compounds if each.lower() == name.lower()), None)
        can_be_created = not self._closed and name.endswith("__c") and _CUSTOM_NAME.fullmatch(name)
        return compound or (name if can_be_created else None)

    def writable(self, entity: Entity, name: str, value: Any) -> Field:
        """Return the field to which `value` can be written.

        A new custom field is created where the schema is open, with the type of
        the value. Raises `Refused` otherwise.
        """
        known = entity.field_name(name)
        if known is not None and known not in READ_ONLY:
            return entity.fields[known]
        if known is None and not self._closed and name.endswith("__c") and _CUSTOM_NAME.fullmatch(name):
            field = Field(name=name, type=_type_of(value))
            self._add_field(entity, field)
            return field
        if known is not None:
            message = f"Unable to create/update fields: {known}. Please check the security settings."
            raise Refused("INVALID_FIELD_FOR_INSERT_UPDATE", message, fields=[known])
        raise Refused("INVALID_FIELD", f"No such column '{name}' on sobject of type {entity.name}")

    def declare_reference(self, entity: Entity, name: str, target: Entity) -> None:
        """Create a custom reference field; raises `Refused` where the schema is closed or the name taken."""
        if self._closed or entity.field_name(name) is not None or not _CUSTOM_NAME.fullmatch(name):
            raise Refused("INVALID_FIELD", f"No such column '{name}' on sobject of type {entity.name}")
        self._add_field(entity, Field(name=name, type="reference", targets=(target.name,)))

    def _add_field(self, entity: Entity, field: Field) -> None:
        self._entities[entity.name] = self._entities[entity.name].with_field(field)
        self.changed_at = self._now()

    def _declare(self, name: str) -> None:
        if not _CUSTOM_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a custom object (X__c) or platform event (X__e).")
        self.changed_at = self._now()
        if name.endswith("__e"):
            self._platform_events.add(name)
            return
        number = len(self._entities) - len(_STANDARD)
        if number >= len(_DIGITS) ** 2:
            raise Refused("LIMIT_EXCEEDED", "The org has as many custom objects as it can have")
        prefix = "a" + "".join(_DIGITS[digit] for digit in divmod(number, len(_DIGITS)))
        self._entities[name] = _entity(name, prefix, _fields("Name OwnerId:reference"), {})
        self._lower[name.lower()] = name


def fingerprint(name: str, fields: Iterable[str]) -> str:
    """Return the id of an event's schema: 22 characters, the length of an unpadded MD5 in base64url."""
    digest = hashlib.md5(f"{name} {sorted(fields)}".encode(), usedforsecurity=False).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _type_of(value: Any) -> str:
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
        schema_id=fingerprint(name, fields),
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
