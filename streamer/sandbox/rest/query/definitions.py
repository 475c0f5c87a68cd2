"""Definitions of types and fields as records, made from the schema.

Sources: Tooling API guide, EntityDefinition and FieldDefinition. In orgs, all
definitions have the same id. The DurableId of a standard type or field consists of
names; the DurableId of a custom type or field consists of ids, which begin with `01I`
and `00N`. Fields that describe the user interface are empty or missing.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from streamer.sandbox.org.automatic_fields import name_field
from streamer.sandbox.org.record_ids import lasting_id
from streamer.sandbox.org.records import Record
from streamer.sandbox.org.refusals import not_found
from streamer.sandbox.org.relationships import relationship_name, targets
from streamer.sandbox.org.schema import READ_ONLY, STANDARD, Entity, Field, PlatformEvent, label
from streamer.sandbox.rest.describe import EVENT_FIELDS, MASTER_RECORD_TYPE, compound_fields, plain_field
from streamer.sandbox.rest.query.data_types import data_type
from streamer.sandbox.soql.columns import Scope
from streamer.sandbox.soql.syntax import SelectQuery

ENTITY, FIELD = "EntityDefinition", "FieldDefinition"

_NO_ID = "000000000000000AAA"
_TRUE_OF_RECORDS = ("IsQueryable", "IsRetrieveable", "IsReplicateable", "IsEverUpdatable", "IsEverDeletable")
_NEVER_TRUE = (
    "IsCustomSetting",
    "IsDeprecatedAndHidden",
    "IsSearchable",
    "IsLayoutable",
    "IsFeedEnabled",
    "IsWorkflowEnabled",
)
_EMPTY = ("NamespacePrefix", "Description", "DetailUrl", "EditUrl", "EditDefinitionUrl", "NewUrl")
_NEVER_TRUE_OF_FIELDS = ("IsCalculated", "IsFieldHistoryTracked", "IsHighScaleNumber", "IsHtmlFormatted")
_EMPTY_OF_FIELDS = (
    "NamespacePrefix",
    "Description",
    "BusinessOwnerId",
    "BusinessStatus",
    "ComplianceGroup",
    "ControllingFieldDefinitionId",
    "ReferenceTargetField",
    "SecurityClassification",
)
# Fields with an index (Best Practices for Deployments with Large Data Volumes, indexes). Ids and references
# also have an index.
_INDEXED = frozenset({"CreatedDate", "LastModifiedDate", "Name", "SystemModstamp"})


class DefinedSchema(Protocol):
    """The part of a schema that a user can see."""

    @property
    def entities(self) -> tuple[Entity, ...]:
        """The types."""
        ...

    @property
    def platform_events(self) -> tuple[str, ...]:
        """Names of the platform events."""
        ...

    def event(self, name: str) -> PlatformEvent | None:
        """Return the fields of a platform event, or `None` if they are not declared."""
        ...


def is_query_of_definitions(query: SelectQuery) -> bool:
    """Return whether a query reads definitions of types or fields."""
    return query.source.text.lower() in {ENTITY.lower(), FIELD.lower()}


def definition_scope(schema: DefinedSchema) -> Scope:
    """Return the scope of a query of definitions: the definitions of a schema."""
    return Scope(schema=_DefinitionTypes(), records=_Definitions(schema))


class _DefinitionTypes:
    """The two types of definitions, in the form that queries read."""

    @property
    def entities(self) -> tuple[Entity, ...]:
        return _TYPES

    def entity(self, name: str) -> Entity:
        found = next((each for each in _TYPES if each.name.lower() == name.lower()), None)
        if found is None:
            raise not_found()
        return found

    def entity_of_id(self, _record_id: str) -> Entity | None:
        # Only one reference exists: from a field to its type.
        return _TYPES[0]

    def readable(self, entity: Entity, name: str) -> str | None:
        return entity.field_name(name)


class _Definitions:
    """The definitions of a schema, by their DurableId."""

    def __init__(self, schema: DefinedSchema) -> None:
        self._schema = schema
        self._entities = {record["DurableId"]: record for record in _entity_records(schema)}

    def all(self, entity: Entity) -> Iterable[Record]:
        return self._entities.values() if entity.name == ENTITY else _field_records(self._schema)

    def get(self, _entity: Entity, record_id: str) -> Record | None:
        return self._entities.get(record_id)


def _entity_records(schema: DefinedSchema) -> Iterator[Record]:
    for entity in schema.entities:
        shown = entity.label or label(entity.name)
        yield _entity_record(entity.name, shown, stored=True, customizable=entity.announced) | {
            "KeyPrefix": entity.prefix
        }
    for entity in schema.entities:
        if entity.announced:
            yield _entity_record(entity.change_event, label(entity.change_event), customizable=False)
    for name in schema.platform_events:
        event = schema.event(name)
        yield _entity_record(name, (event.label if event else None) or label(name), customizable=True)


def _entity_record(name: str, shown: str, *, customizable: bool, stored: bool = False) -> Record:
    announces = not stored and not name.endswith("__e")
    return {
        **_common(_durable_id(name), name, shown, "CDC" if announces else None),
        **dict.fromkeys(_TRUE_OF_RECORDS, stored),
        **dict.fromkeys(_NEVER_TRUE, False),
        **dict.fromkeys(_EMPTY),
        "DeveloperName": name.partition("__")[0],
        "PluralLabel": shown,
        "KeyPrefix": None,
        "IsApexTriggerable": True,
        "IsTriggerable": True,
        "IsCustomizable": customizable,
        "IsEverCreatable": not announces,
        "IsFlsEnabled": customizable,
        "RecordTypesSupported": {"recordTypeInfos": [MASTER_RECORD_TYPE] if stored else []},
    }


def _field_records(schema: DefinedSchema) -> Iterator[Record]:
    for entity in (*schema.entities, *_declared_events(schema)):
        # An address or a name consists of parts, which are EntityParticles without a FieldDefinition.
        for field in entity.fields.values():
            if field.name not in entity.parts:
                yield _field_record(entity, field)
        for field in compound_fields(entity):
            yield _field_record(entity, field)


def _declared_events(schema: DefinedSchema) -> Iterator[Entity]:
    for name in schema.platform_events:
        event = schema.event(name)
        declared = event.fields if event is not None else {}
        fields = {**{field.name: field for field in EVENT_FIELDS}, **declared}
        yield Entity(name=name, prefix="", fields=fields, parts={}, by_lower_name={})


def _field_record(entity: Entity, field: Field) -> Record:
    about, to = plain_field(field), targets(entity, field)
    compound = field.name in entity.compounds
    custom = field.name.endswith("__c")
    required = field.required or field.name in READ_ONLY
    name = field.name.removesuffix("__c") if custom else relationship_name(field) or field.name
    own = lasting_id("00N", f"{entity.name}.{field.name}") if custom else name
    identifies = field.type in {"id", "reference"} or field.unique or field.external_id
    return {
        **_common(f"{_durable_id(entity.name)}.{own}", field.name, field.title, None),
        **dict.fromkeys(_NEVER_TRUE_OF_FIELDS, False),
        **dict.fromkeys(_EMPTY_OF_FIELDS),
        "DeveloperName": name,
        "EntityDefinitionId": _durable_id(entity.name),
        "DataType": data_type(entity, field),
        "Length": about["length"],
        "Precision": about["precision"],
        "Scale": about["scale"],
        "IsApiFilterable": about["filterable"] and not compound,
        "IsApiGroupable": about["groupable"] and not compound,
        "IsApiSortable": about["sortable"] and not compound,
        "IsCompound": compound,
        "IsEverApiAccessible": True,
        "IsFlsEnabled": not required,
        "IsIndexed": identifies or field.name in _INDEXED,
        "IsNameField": field.name == name_field(entity),
        "IsNillable": not required,
        "IsPolymorphicForeignKey": len(to) > 1,
        "ReferenceTo": {"referenceTo": list(to)},
        "RelationshipName": relationship_name(field),
    }


def _common(durable_id: str, name: str, shown: str, publisher: str | None) -> dict[str, Any]:
    custom = name.endswith(("__c", "__e"))
    return {
        "Id": _NO_ID,
        "IsDeleted": False,
        "DurableId": durable_id,
        "QualifiedApiName": name,
        "Label": shown,
        "MasterLabel": shown,
        "PublisherId": publisher or ("<local>" if custom else "System"),
    }


def _durable_id(type_name: str) -> str:
    return lasting_id("01I", type_name) if type_name.endswith(("__c", "__e")) else type_name


def _type(name: str, example: Record) -> Entity:
    """Return the type whose records look like `example`."""
    fields = {key: Field(name=key, type=_kind(key, value)) for key, value in example.items()}
    del fields["IsDeleted"]
    if "EntityDefinitionId" in fields:
        to_entity = Field(name="EntityDefinitionId", targets=(ENTITY,), child_relationship="Fields")
        fields["EntityDefinitionId"] = to_entity
    by_lower_name = {key.lower(): key for key in fields}
    return Entity(name=name, prefix=_NO_ID[:3], fields=fields, parts={}, by_lower_name=by_lower_name)


def _kind(name: str, value: object) -> str:
    kinds = {bool: "boolean", int: "int", dict: "complexvalue"}
    return "id" if name == "Id" else kinds.get(type(value), "string")


_ACCOUNT = STANDARD["Account"]
_TYPES = (
    _type(ENTITY, _entity_record("Account", "Account", stored=True, customizable=True)),
    _type(FIELD, _field_record(_ACCOUNT, _ACCOUNT.fields["Name"])),
)
