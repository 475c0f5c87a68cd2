"""REST resources of single records and platform events."""

from streamer.sandbox.org.field_values import from_path
from streamer.sandbox.org.records import Record
from streamer.sandbox.org.refusals import external_field_missing, not_found
from streamer.sandbox.rest.call import NO_CONTENT, Answer, Call
from streamer.sandbox.rest.conditions import early_answer, validators
from streamer.sandbox.rest.representations import field_list, publish, record_body, saved, without_attributes
from streamer.sandbox.rest.resources import Resources


def add_records(resources: Resources) -> None:
    """Serve create, read, update, delete and upsert by an external id."""
    resources.add("/sobjects/{type}/{id}", get=_retrieve, patch=_update, delete=_delete)
    resources.add(
        "/sobjects/{type}/{field}/{value}",
        get=_retrieve_external,
        patch=_upsert,
        delete=_delete_external,
    )


def create(call: Call) -> Answer:
    """Create a record, or publish a platform event."""
    fields = without_attributes(call.json_object())
    if call.org.schema.is_platform_event(call["type"]):
        return Answer(body=publish(call, call["type"], fields), status=201)
    with call.transaction() as transaction:
        record_id = transaction.create(call["type"], fields)
    location = f"{call.base}/sobjects/{call['type']}/{record_id}"
    return Answer(body=saved(record_id), status=201, headers={"Location": location})


def _retrieve(call: Call) -> Answer:
    return _record_answer(call, call.org.retrieve(call["type"], call["id"]))


def _update(call: Call) -> Answer:
    record = call.org.retrieve(call["type"], call["id"])
    early = early_answer(call, validators(call.org.schema.entity(call["type"]).name, record))
    if early is not None:
        return early
    with call.transaction() as transaction:
        transaction.update(call["type"], call["id"], without_attributes(call.json_object()))
    return NO_CONTENT


def _delete(call: Call) -> Answer:
    with call.transaction() as transaction:
        transaction.delete(call["type"], call["id"])
    return NO_CONTENT


def _retrieve_external(call: Call) -> Answer:
    return _record_answer(call, _external(call))


def _delete_external(call: Call) -> Answer:
    with call.transaction() as transaction:
        transaction.delete(call["type"], _external(call)["Id"])
    return NO_CONTENT


def _upsert(call: Call) -> Answer:
    entity = call.org.schema.entity(call["type"])
    key = entity.fields.get(entity.field_name(call["field"]) or "")
    fields = without_attributes(call.json_object())
    fields[call["field"]] = from_path(key, call["value"])
    with call.transaction() as transaction:
        record_id, created = transaction.upsert(call["type"], call["field"], fields)
    return Answer(body={**saved(record_id), "created": created}, status=201 if created else 200)


def _external(call: Call) -> Record:
    entity = call.org.schema.entity(call["type"])
    field = call.org.schema.readable(entity, call["field"])
    if field is None:
        raise external_field_missing(call["field"])
    found = call.org.records.find(entity, field, call["value"])
    if not found:
        raise not_found()
    return found[0]


def _record_answer(call: Call, record: Record) -> Answer:
    entity = call.org.schema.entity(call["type"])
    headers = validators(entity.name, record)
    early = early_answer(call, headers)
    if early is not None:
        return early
    asked = field_list(call.query.get("fields"))
    return Answer(body=record_body(call, entity, record, asked), headers=headers)
