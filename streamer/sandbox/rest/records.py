"""REST resources of single records and platform events."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from streamer.sandbox.org.field_values import from_path
from streamer.sandbox.org.record_ids import normal_id
from streamer.sandbox.org.records import Record
from streamer.sandbox.org.refusals import external_field_missing, field_in_body, not_found
from streamer.sandbox.org.relationships import children, relationship_name
from streamer.sandbox.org.schema import Entity
from streamer.sandbox.rest.call import NO_CONTENT, RestCall, SandboxResponse
from streamer.sandbox.rest.conditions import early_answer, validators
from streamer.sandbox.rest.representations import field_list, publish, record_body, saved, without_attributes
from streamer.sandbox.rest.resources import Resources

# Older versions answer an update with 204, and a creation without `created`.
_UPDATES_ANSWERED_SINCE = 46.0


def add_records(resources: Resources) -> None:
    """Serve the creation, read, update and deletion of a record, and the upsert by an external id."""
    resources.add("/sobjects/{type}/Id", post=_create_by_id)
    resources.add("/sobjects/{type}/{id}", get=_retrieve, patch=_update, delete=_delete)
    resources.add(
        "/sobjects/{type}/{field}/{value}",
        get=_retrieve_external,
        patch=_upsert,
        delete=_delete_external,
    )


def create(call: RestCall) -> SandboxResponse:
    """Create a record, or publish a platform event."""
    fields = _fields(call)
    if call.schema.is_platform_event(call["type"]):
        return SandboxResponse(body=publish(call, call["type"], fields), status=201)
    with call.transaction() as transaction:
        record_id = transaction.create(call["type"], fields)
    location = f"{call.base}/sobjects/{call['type']}/{record_id}"
    return SandboxResponse(body=saved(record_id), status=201, headers={"Location": location})


def _create_by_id(call: RestCall) -> SandboxResponse:
    # An upsert by `Id` without a value creates a record; its address is the same for every new record.
    answer = create(call)
    return replace(answer, body={**answer.body, "created": True})


def _retrieve(call: RestCall) -> SandboxResponse:
    return _record_answer(call, call.retrieve(call["type"], call["id"]))


def _update(call: RestCall) -> SandboxResponse:
    record = call.retrieve(call["type"], call["id"])
    early = early_answer(call, validators(call.schema.entity(call["type"]).name, record))
    if early is not None:
        return early
    with call.transaction() as transaction:
        transaction.update(call["type"], call["id"], _fields(call))
    return NO_CONTENT


def _delete(call: RestCall) -> SandboxResponse:
    with call.transaction() as transaction:
        transaction.delete(call["type"], call["id"])
    return NO_CONTENT


def _retrieve_external(call: RestCall) -> SandboxResponse:
    if (record := _beginning(call)) is not None:
        return _related(call, call.schema.entity(call["type"]), record, call["value"])
    found = _external(call)
    if len(found) > 1:
        return _choices(call, found)
    return _record_answer(call, found[0])


def _beginning(call: RestCall) -> Record | None:
    """Return the record with which an address by relationship begins; `None` for other addresses."""
    entity = call.schema.entity(call["type"])
    is_id = (normal_id(call["field"]) or "").startswith(entity.prefix)
    return call.retrieve(entity.name, call["field"]) if is_id else None


def _related(call: RestCall, entity: Entity, record: Record, name: str) -> SandboxResponse:
    """Return the parent of a record, or its children, by the name of the relationship.

    Children have the form of a query's answer (REST API guide, SObject Relationships).
    Raises `Refused` if the relationship or the parent does not exist.
    """
    asked = field_list(call.query.get("fields"))
    for child in children(call.schema.entities, entity):
        if child.name is not None and child.name.lower() == name.lower():
            found = call.org.records.find(child.entity, child.field, record["Id"])
            rows = [record_body(call, child.entity, each, asked) for each in found]
            return SandboxResponse(body={"totalSize": len(rows), "done": True, "records": rows})
    parent, parent_id = _parent(call, entity, record, name)
    return SandboxResponse(body=record_body(call, parent, call.retrieve(parent.name, parent_id), asked))


def _parent(call: RestCall, entity: Entity, record: Record, name: str) -> tuple[Entity, str]:
    """Return the parent of a record by the name of the relationship, and its id. Raises `Refused`."""
    for field in entity.fields.values():
        if (relationship_name(field) or "").lower() == name.lower() and record.get(field.name):
            parent_id = str(record[field.name])
            if (parent := call.schema.entity_of_id(parent_id)) is not None:
                return parent, parent_id
    raise not_found()


def _update_parent(call: RestCall, record: Record) -> SandboxResponse:
    """Update the parent of a record by the name of the relationship (REST API guide, SObject Relationships).

    Updates and deletions by relationship work only from a child to its parent, and
    their answer has no body.
    """
    parent, parent_id = _parent(call, call.schema.entity(call["type"]), record, call["value"])
    with call.transaction() as transaction:
        transaction.update(parent.name, parent_id, _fields(call))
    return NO_CONTENT


def _delete_parent(call: RestCall, record: Record) -> SandboxResponse:
    parent, parent_id = _parent(call, call.schema.entity(call["type"]), record, call["value"])
    with call.transaction() as transaction:
        transaction.delete(parent.name, parent_id)
    return NO_CONTENT


def _delete_external(call: RestCall) -> SandboxResponse:
    if (record := _beginning(call)) is not None:
        return _delete_parent(call, record)
    found = _external(call)
    if len(found) > 1:
        return _choices(call, found)
    with call.transaction() as transaction:
        transaction.delete(call["type"], found[0]["Id"])
    return NO_CONTENT


def _upsert(call: RestCall) -> SandboxResponse:
    if (record := _beginning(call)) is not None:
        return _update_parent(call, record)
    found = _matching(call)
    if len(found) > 1:
        return _choices(call, found)
    if not found and call.query.get("updateOnly") == "true":
        raise not_found()
    fields = _fields(call, but=call["field"])
    fields[call["field"]] = _key(call)
    with call.transaction() as transaction:
        record_id, created = transaction.upsert(call["type"], call["field"], fields)
    version = float(call.version)
    if not created and version < _UPDATES_ANSWERED_SINCE:
        return NO_CONTENT
    told = {"created": created} if version >= _UPDATES_ANSWERED_SINCE else {}
    return SandboxResponse(body={**saved(record_id), **told}, status=201 if created else 200)


def _fields(call: RestCall, *, but: str = "Id") -> dict[str, Any]:
    """Return the fields in the body; raises `Refused` for the field in the address, and for `Id`."""
    fields = without_attributes(call.json_object())
    for name in fields:
        if name.lower() in {"id", but.lower()}:
            raise field_in_body(name)
    return fields


def _external(call: RestCall) -> list[Record]:
    found = _matching(call)
    if not found:
        raise not_found()
    return found


def _matching(call: RestCall) -> list[Record]:
    entity = call.schema.entity(call["type"])
    field = call.schema.identifying(entity, call["field"])
    if field is None:
        raise external_field_missing(call["field"])
    return call.org.records.find(entity, field, _key(call))


def _key(call: RestCall) -> str | float:
    entity = call.schema.entity(call["type"])
    return from_path(entity.fields.get(entity.field_name(call["field"]) or ""), call["value"])


def _choices(call: RestCall, records: Iterable[Record]) -> SandboxResponse:
    """Return the answer that lists all records with this external id; no record is changed."""
    name = call.schema.entity(call["type"]).name
    return SandboxResponse(
        status=300, body=[f"{call.base}/sobjects/{name}/{record['Id']}" for record in records]
    )


def _record_answer(call: RestCall, record: Record) -> SandboxResponse:
    entity = call.schema.entity(call["type"])
    headers = validators(entity.name, record)
    early = early_answer(call, headers)
    if early is not None:
        return early
    asked = field_list(call.query.get("fields"))
    return SandboxResponse(body=record_body(call, entity, record, asked), headers=headers)
