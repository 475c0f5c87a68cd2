"""Relationships between record types; a reference field of the child stores each relationship."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from streamer.sandbox.org.field_values import from_path
from streamer.sandbox.org.records import RecordStore
from streamer.sandbox.org.refusals import Refused, no_such_column
from streamer.sandbox.org.schema import Entity, Field, Schema

_SAME = "="
_TARGETS = {
    "AccountId": ("Account",),
    "CampaignId": ("Campaign",),
    "ContactId": ("Contact",),
    "ContractId": ("Contract",),
    "ConvertedAccountId": ("Account",),
    "ConvertedContactId": ("Contact",),
    "ConvertedOpportunityId": ("Opportunity",),
    "CreatedById": ("User",),
    "LastModifiedById": ("User",),
    "LeadId": ("Lead",),
    "OpportunityId": ("Opportunity",),
    "OrderId": ("Order",),
    "OwnerId": ("User",),
    "ParentId": (_SAME,),
    "ParentRoleId": ("UserRole",),
    "Pricebook2Id": ("Pricebook2",),
    "Product2Id": ("Product2",),
    "ReportsToId": ("Contact",),
    "WhatId": ("Account", "Asset", "Case", "Contract", "Opportunity", "Order", "Product2"),
    "WhoId": ("Contact", "Lead"),
}
# Other standard relationships to children have no name in the parent's describe.
_CHILDREN = {
    ("Account", "ParentId"): "ChildAccounts",
    ("Asset", "AccountId"): "Assets",
    ("Asset", "ContactId"): "Assets",
    ("Asset", "Product2Id"): "Assets",
    ("CampaignMember", "CampaignId"): "CampaignMembers",
    ("CampaignMember", "ContactId"): "CampaignMembers",
    ("CampaignMember", "LeadId"): "CampaignMembers",
    ("Case", "AccountId"): "Cases",
    ("Case", "ContactId"): "Cases",
    ("Case", "ParentId"): "Cases",
    ("Contact", "AccountId"): "Contacts",
    ("Contract", "AccountId"): "Contracts",
    ("Event", "WhatId"): "Events",
    ("Event", "WhoId"): "Events",
    ("Opportunity", "AccountId"): "Opportunities",
    ("Opportunity", "CampaignId"): "Opportunities",
    ("OpportunityLineItem", "OpportunityId"): "OpportunityLineItems",
    ("Order", "AccountId"): "Orders",
    ("Order", "ContractId"): "Orders",
    ("Order", "OpportunityId"): "Orders",
    ("OrderItem", "OrderId"): "OrderItems",
    ("OrderItem", "Product2Id"): "OrderItems",
    ("PricebookEntry", "Pricebook2Id"): "PricebookEntries",
    ("PricebookEntry", "Product2Id"): "PricebookEntries",
    ("Task", "WhatId"): "Tasks",
    ("Task", "WhoId"): "Tasks",
}
# A record is deleted and restored together with the record to which this reference points.
_CASCADES = frozenset(
    {
        ("CampaignMember", "CampaignId"),
        ("Contact", "AccountId"),
        ("Opportunity", "AccountId"),
        ("OpportunityLineItem", "OpportunityId"),
        ("OrderItem", "OrderId"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A type whose `field` refers to a parent.

    `name` is the relationship's name in the parent, if it has one.

    If the relationship `cascades`, deleting the parent also deletes its children.
    """

    entity: Entity
    field: str
    name: str | None
    cascades: bool


def targets(entity: Entity, field: Field) -> tuple[str, ...]:
    """Return the types to which a reference can point; for other fields, return nothing."""
    if field.targets:
        return field.targets
    if field.type != "reference":
        return ()
    return tuple(entity.name if name == _SAME else name for name in _TARGETS.get(field.name, ()))


def relationship_name(field: Field) -> str | None:
    """Return the name under which a reference leads to the parent: `Account`, `Merchandise__r`."""
    if field.type != "reference" and not field.targets:
        return None
    custom = field.name.endswith("__c")
    return f"{field.name.removesuffix('__c')}__r" if custom else field.name.removesuffix("Id")


def children(entities: Iterable[Entity], parent: Entity) -> Iterable[Child]:
    """Return a `Child` for each field in `entities` that refers to `parent`."""
    for entity in entities:
        for field in entity.fields.values():
            if parent.name in targets(entity, field):
                custom = f"{entity.name.removesuffix('__c')}__r" if field.name.endswith("__c") else None
                name = field.child_relationship or _CHILDREN.get((entity.name, field.name), custom)
                cascades = field.cascades or (entity.name, field.name) in _CASCADES
                yield Child(entity=entity, field=field.name, name=name, cascades=cascades)


def with_parents_found(
    schema: Schema, records: RecordStore, type_name: str, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Return `fields` with the ids of parents that are named by an external id.

    `{"Account": {"Number__c": "7"}}` becomes `{"AccountId": "001…"}`. Raises `Refused`
    for a parent that can't be found.
    """
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            field, parent = _parent_field(schema, type_name, name, value)
            found[field] = _parent_id(schema, records, parent, value)
        else:
            found[name] = value
    return found


def _parent_field(schema: Schema, type_name: str, name: str, value: Mapping[str, Any]) -> tuple[str, Entity]:
    entity = schema.entity(type_name)
    attributes = value.get("attributes")
    named = attributes.get("type") if isinstance(attributes, Mapping) else None
    for field in entity.fields.values():
        if (relationship_name(field) or "").lower() == name.lower():
            possible = targets(entity, field)
            target = named if named in possible else possible[0] if possible else ""
            return field.name, schema.entity(target)
    if not name.lower().endswith("__r"):
        raise no_such_column(name, entity.name)
    field_name = f"{name[:-3]}__c"
    # The first use of an unknown relationship creates it. It points to the type in the request, or to the
    # type with its name.
    target = named if isinstance(named, str) else field_name
    return field_name, schema.create_reference(entity, field_name, target)


def _parent_id(schema: Schema, records: RecordStore, parent: Entity, value: Mapping[str, Any]) -> str:
    keys = [key for key in value if key != "attributes"]
    if len(keys) != 1:
        raise Refused("INVALID_FIELD", f"{parent.name} must be named by one external id field")
    key = schema.identifying(parent, keys[0])
    if key is None:
        raise no_such_column(keys[0], parent.name)
    given = value[keys[0]]
    wanted = from_path(parent.fields.get(key), given) if isinstance(given, str) else given
    matching = records.find(parent, key, wanted)
    if len(matching) != 1:
        problem = "not found" if not matching else "is not unique"
        place = f"for field {key} in entity {parent.name}"
        message = f"Foreign key external ID: {given} {problem} {place}"
        raise Refused("INVALID_FIELD", message)
    return str(matching[0]["Id"])
