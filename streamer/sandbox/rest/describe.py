"""Describes: descriptions of types, their fields and their relationships, for clients."""

from collections.abc import Iterable, Iterator
from typing import Any

from streamer.sandbox.access.user import ObjectPermission
from streamer.sandbox.org.automatic_fields import STAGES
from streamer.sandbox.org.definitions.constraints import DEFAULT_PRECISION, DEFAULT_SCALE, length
from streamer.sandbox.org.relationships import children, relationship_name, targets
from streamer.sandbox.org.schema import READ_ONLY, Entity, Field, PlatformEvent, label
from streamer.sandbox.rest.call import RestCall, SandboxResponse
from streamer.sandbox.rest.conditions import early_answer, modified
from streamer.sandbox.rest.resources import Resources

_MASTER = "012000000000000AAA"
MASTER_RECORD_TYPE = {
    "available": True,
    "defaultRecordTypeMapping": True,
    "developerName": "Master",
    "master": True,
    "name": "Master",
    "recordTypeId": _MASTER,
}
"""The record type of a record without a record type of its own."""

_XSD = {"boolean": "boolean", "int": "int", "date": "date", "datetime": "dateTime"}
_NUMBERS = frozenset({"double", "currency", "percent"})
_NO_LENGTH = _NUMBERS | _XSD.keys() | {"address"}
EVENT_FIELDS = (
    Field(name="ReplayId"),
    Field(name="CreatedDate", type="datetime"),
    Field(name="CreatedById", type="reference"),
    Field(name="EventUuid"),
)
"""Fields that every platform event has."""

_NEVER_IN_EVENT = frozenset({"IsDeleted", "SystemModstamp"})


def describe_all(call: RestCall) -> SandboxResponse:
    """Return a summary of every type, of its change event, and of every declared platform event."""
    schema = call.schema
    types = [_summary(call, entity.name, entity) for entity in schema.entities]
    events = [_summary(call, entity.change_event) for entity in schema.entities if entity.announced]
    events += [_summary(call, name) for name in schema.platform_events]
    return _unless_known(call, {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": [*types, *events]})


def describe_basic(call: RestCall) -> SandboxResponse:
    """Return the summary of one type."""
    entity = call.schema.entity(call["type"])
    return SandboxResponse(body={"objectDescribe": _summary(call, entity.name, entity), "recentItems": []})


def add_describe(resources: Resources) -> None:
    """Serve `describe` of types, change events and platform events."""
    resources.add("/sobjects/{type}/describe", get=_describe)


def _describe(call: RestCall) -> SandboxResponse:
    schema, name = call.schema, call["type"]
    changing = next((each for each in schema.entities if each.announced and each.change_event == name), None)
    if schema.is_platform_event(name):
        return _unless_known(call, _event(call, name, _fields_of_event(schema.event(name))))
    if changing is not None:
        return _unless_known(call, _event(call, name, _event_fields(call, changing)))
    entity = schema.entity(name)
    body = {
        **_summary(call, entity.name, entity),
        "fields": list(_fields(call, entity)),
        "childRelationships": [
            {
                "cascadeDelete": child.cascades,
                "childSObject": child.entity.name,
                "deprecatedAndHidden": False,
                "field": child.field,
                "junctionIdListNames": [],
                "junctionReferenceTo": [],
                "relationshipName": child.name,
                "restrictedDelete": False,
            }
            for child in children(schema.entities, entity)
        ],
        "recordTypeInfos": [_master_record_type(call, entity)],
    }
    return _unless_known(call, body)


def _unless_known(call: RestCall, body: dict[str, Any]) -> SandboxResponse:
    headers = modified(call.schema.changed_at)
    return early_answer(call, headers) or SandboxResponse(body=body, headers=headers)


def _summary(call: RestCall, name: str, entity: Entity | None = None) -> dict[str, Any]:
    """Return the properties that every describe states about a type.

    Without an `entity`, the type is an event.
    """
    url = f"{call.base}/sobjects/{name}"
    urls = {"sobject": url, "describe": f"{url}/describe", "rowTemplate": f"{url}/{{ID}}"}
    may = call.schema.user.may
    stored = entity is not None
    published = name.endswith("__e")
    defined = entity or call.schema.event(name)
    shown = (defined.label if defined is not None else None) or label(name)
    return {
        "name": name,
        "label": shown,
        "labelPlural": shown,
        "keyPrefix": entity.prefix if entity is not None else None,
        "custom": name.endswith(("__c", "__e")),
        "customSetting": False,
        "deprecatedAndHidden": False,
        "createable": (stored or published) and may(name, ObjectPermission.CREATE),
        "updateable": stored and may(name, ObjectPermission.EDIT),
        "deletable": stored and may(name, ObjectPermission.DELETE),
        "undeletable": stored and may(name, ObjectPermission.DELETE),
        "queryable": stored,
        "retrieveable": stored,
        "replicateable": stored,
        "searchable": False,
        "layoutable": False,
        "mergeable": False,
        "triggerable": True,
        "feedEnabled": False,
        "urls": urls,
    }


def _fields_of_event(event: PlatformEvent | None) -> Iterator[dict[str, Any]]:
    yield from map(plain_field, EVENT_FIELDS)
    for field in event.fields.values() if event is not None else ():
        yield {**plain_field(field), "nillable": not field.required, "createable": True}


def _event(call: RestCall, name: str, fields: Iterable[dict[str, Any]]) -> dict[str, Any]:
    summary = _summary(call, name)
    return {**summary, "fields": list(fields), "childRelationships": [], "recordTypeInfos": []}


def _event_fields(call: RestCall, entity: Entity) -> Iterator[dict[str, Any]]:
    yield plain_field(Field(name="Id", type="id"))
    yield plain_field(Field(name="ReplayId"))
    yield plain_field(Field(name="ChangeEventHeader", type="complexvalue"))
    yield from (each for each in _fields(call, entity) if each["name"] not in {"Id", *_NEVER_IN_EVENT})


def _fields(call: RestCall, entity: Entity) -> Iterator[dict[str, Any]]:
    for field in entity.fields.values():
        yield _field(call, entity, field)
    for field in compound_fields(entity):
        yield {**plain_field(field), "createable": False, "updateable": False}


def compound_fields(entity: Entity) -> Iterator[Field]:
    """Iterate over the compound fields of a type, which the org composes from their parts."""
    for name in sorted(entity.compounds - entity.fields.keys()):
        yield Field(name=name, type="address" if name.endswith("Address") else "string")


def _field(call: RestCall, entity: Entity, field: Field) -> dict[str, Any]:
    writable = field.name not in READ_ONLY
    permitted = writable and call.schema.user.writes(entity.name, field.name)
    compound, _ = entity.parts.get(field.name, (None, ""))
    to = targets(entity, field)
    return {
        **plain_field(field),
        "nillable": writable and not field.required,
        "createable": permitted,
        "updateable": permitted,
        "compoundFieldName": compound,
        "referenceTo": list(to),
        "relationshipName": relationship_name(field),
        "polymorphicForeignKey": len(to) > 1,
        "picklistValues": _picklist(entity, field),
    }


def plain_field(field: Field) -> dict[str, Any]:
    """Return the describe of a field as if it had no targets or values, and no user could write it."""
    custom = field.name.endswith("__c")
    number = field.type in _NUMBERS
    longest = 0 if field.type in _NO_LENGTH else length(field)
    # Like an external id, every undeclared custom field can identify records.
    identifies = custom and field.identifies
    return {
        "name": field.name,
        "label": field.title,
        "type": field.type,
        "soapType": _soap_type(field),
        "length": longest,
        "byteLength": 3 * longest,
        "precision": (field.precision or DEFAULT_PRECISION) if number else 0,
        "scale": (DEFAULT_SCALE if field.scale is None else field.scale) if number else 0,
        "digits": 9 if field.type == "int" else 0,
        "custom": custom,
        "externalId": identifies or field.external_id,
        "idLookup": identifies or field.external_id or field.name == "Id",
        "nameField": field.name == "Name",
        "unique": field.unique,
        "nillable": True,
        "createable": False,
        "updateable": False,
        "filterable": field.type not in {"textarea", "address"},
        "sortable": field.type not in {"textarea", "address"},
        "groupable": field.type not in {"textarea", "address"} and not number,
        "calculated": False,
        "calculatedFormula": None,
        "autoNumber": False,
        "caseSensitive": field.case_sensitive,
        "defaultValue": False if field.type == "boolean" else None,
        "defaultedOnCreate": field.type == "boolean",
        "dependentPicklist": False,
        "restrictedPicklist": field.restricted,
        "encrypted": False,
        "deprecatedAndHidden": False,
        "htmlFormatted": False,
        "inlineHelpText": None,
        "compoundFieldName": None,
        "referenceTo": [],
        "relationshipName": None,
        "polymorphicForeignKey": False,
        "picklistValues": [],
    }


def _picklist(entity: Entity, field: Field) -> list[dict[str, Any]]:
    # The values of other picklists differ from org to org, so the sandbox accepts any text.
    stages = STAGES if (entity.name, field.name) == ("Opportunity", "StageName") else ()
    return [
        {"active": True, "defaultValue": False, "label": value, "validFor": None, "value": value}
        for value in field.values or stages
    ]


def _master_record_type(call: RestCall, entity: Entity) -> dict[str, Any]:
    return {
        **MASTER_RECORD_TYPE,
        "active": True,
        "urls": {"layout": f"{call.base}/sobjects/{entity.name}/describe/layouts/{_MASTER}"},
    }


def _soap_type(field: Field) -> str:
    if field.type in {"id", "reference"}:
        return "tns:ID"
    if field.type in _NUMBERS:
        return "xsd:double"
    if field.type == "address":
        return "urn:address"
    return f"xsd:{_XSD.get(field.type, 'string')}"
