"""REST resources of sObject Collections: many records in one call and one transaction."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from streamer.sandbox.faults.armed import RECORD, InjectionPoint
from streamer.sandbox.org.record_ids import normal_id
from streamer.sandbox.org.refusals import Refused, external_field_missing, no_such_column
from streamer.sandbox.org.schema import Entity
from streamer.sandbox.org.transaction import Transaction
from streamer.sandbox.rest.call import RestCall, SandboxResponse
from streamer.sandbox.rest.representations import (
    field_list,
    not_saved,
    publish,
    record_body,
    record_type,
    saved,
    without_attributes,
)
from streamer.sandbox.rest.resources import Resources

_MAX_WRITTEN, _MAX_READ = 200, 2000
# Most updates of one record in one call (Apex guide, DML statements; answers of orgs state the limit 12).
_MAX_UPDATES = 12
# If a value does not fit the type of its field, the whole body counts as malformed, and nothing is written.
_OF_THE_CALL = "JSON_PARSER_ERROR"

Save = Callable[[Transaction, Any], dict[str, Any]]


class _RolledBack(Exception):
    """A record of an all-or-none call was refused."""


def add_collections(resources: Resources) -> None:
    """Serve `composite/sobjects`: a call writes up to 200 records, or reads up to 2,000 records."""
    resources.add("/composite/sobjects", post=_create, patch=_update, delete=_delete)
    resources.add("/composite/sobjects/{type}", get=_retrieve_by_query, post=_retrieve_by_body)
    resources.add("/composite/sobjects/{type}/{field}", patch=_upsert)


def _create(call: RestCall) -> SandboxResponse:
    def create(transaction: Transaction, record: Any) -> dict[str, Any]:
        name, fields = record_type(record), without_attributes(record)
        if call.schema.is_platform_event(name):
            return publish(call, name, fields)
        return saved(transaction.create(name, fields))

    return _save_body(call, create)


def _update(call: RestCall) -> SandboxResponse:
    updates: Counter[str] = Counter()

    def update(transaction: Transaction, record: Any) -> dict[str, Any]:
        fields = without_attributes(record)
        record_id = str(fields.pop("id", None) or fields.pop("Id", ""))
        updates[normal_id(record_id) or record_id] += 1
        if updates[normal_id(record_id) or record_id] > _MAX_UPDATES:
            message = (
                f"Maximum number of duplicate updates in one batch ({_MAX_UPDATES} allowed). "
                f"Attempt to update Id more than once in this Api call: {record_id}"
            )
            raise Refused("DUPLICATE_VALUE", message, fields=["Id"])
        transaction.update(record_type(record), record_id, fields)
        return saved(record_id)

    return _save_body(call, update)


def _upsert(call: RestCall) -> SandboxResponse:
    key, entity = call["field"], call.schema.entity(call["type"])
    if call.schema.identifying(entity, key) is None:
        raise external_field_missing(key)

    keys = Counter(str(record.get(key)).casefold() for record in _records(call))

    def upsert(transaction: Transaction, record: Any) -> dict[str, Any]:
        fields = without_attributes(record)
        if fields.get(key) is None:
            raise Refused("MISSING_ARGUMENT", f"{key} not specified")
        if keys[str(fields[key]).casefold()] > 1:
            message = f"Duplicate external id specified: {fields[key]}"
            raise Refused("DUPLICATE_VALUE", message, fields=[key])
        record_id, created = transaction.upsert(entity.name, key, fields)
        return {**saved(record_id), "created": created}

    return _save_body(call, upsert)


def _delete(call: RestCall) -> SandboxResponse:
    def delete(transaction: Transaction, record_id: Any) -> dict[str, Any]:
        entity = call.schema.entity_of_id(record_id)
        if entity is None:
            raise Refused("MALFORMED_ID", f"malformed id {record_id}")
        transaction.delete(entity.name, record_id)
        return saved(record_id)

    ids = field_list(call.query.get("ids"))
    all_or_none = call.query.get("allOrNone", "false").lower() == "true"
    return SandboxResponse(body=_save(call, ids, delete, all_or_none=all_or_none))


def _retrieve_by_query(call: RestCall) -> SandboxResponse:
    query = call.query
    return _retrieve(call, field_list(query.get("ids")), field_list(query.get("fields")))


def _retrieve_by_body(call: RestCall) -> SandboxResponse:
    body = call.json_object()
    return _retrieve(call, _texts(body, "ids"), _texts(body, "fields"))


def _save_body(call: RestCall, save: Save) -> SandboxResponse:
    all_or_none = call.json_object().get("allOrNone") is True
    return SandboxResponse(body=_save(call, _records(call), save, all_or_none=all_or_none))


def _records(call: RestCall) -> list[dict[str, Any]]:
    records = call.json_object().get("records")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise Refused("JSON_PARSER_ERROR", "The body needs a list of records")
    return records


def _save(call: RestCall, items: Sequence[Any], save: Save, *, all_or_none: bool) -> list[dict[str, Any]]:
    if len(items) > _MAX_WRITTEN:
        raise Refused(
            "EXCEEDED_ID_LIMIT", f"record limit reached. cannot submit more than {_MAX_WRITTEN} records"
        )
    results: list[dict[str, Any]] = []
    try:
        with call.transaction() as transaction:
            results += (_attempt(call, transaction, item, save) for item in items)
            _require_all(results, all_or_none=all_or_none)
    except _RolledBack:
        message = "Record rolled back because not all records were valid and the request was using AllOrNone"
        undone = not_saved(Refused("ALL_OR_NONE_OPERATION_ROLLED_BACK", f"{message} header"))
        return [undone if result["success"] else result for result in results]
    return results


def _require_all(results: Sequence[dict[str, Any]], *, all_or_none: bool) -> None:
    if all_or_none and not all(result["success"] for result in results):
        raise _RolledBack


def _attempt(call: RestCall, transaction: Transaction, item: Any, save: Save) -> dict[str, Any]:
    try:
        _strike(call, item)
        return save(transaction, item)
    except Refused as refused:
        if refused.code == _OF_THE_CALL:
            raise
        return not_saved(refused)


def _strike(call: RestCall, item: Any) -> None:
    entity = None if isinstance(item, dict) else call.schema.entity_of_id(item)
    name = record_type(item) if isinstance(item, dict) else entity.name if entity else None
    if fault := call.faults.strike("refuse_record", InjectionPoint(on=RECORD, path=name)):
        raise Refused(fault.settings["code"], fault.settings["message"])


def _retrieve(call: RestCall, ids: Sequence[str], fields: Sequence[str]) -> SandboxResponse:
    if len(ids) > _MAX_READ:
        raise Refused("EXCEEDED_ID_LIMIT", f"You can't retrieve more than {_MAX_READ} records at once")
    for name, given in (("ids", ids), ("fields", fields)):
        if not given:
            raise Refused("MISSING_ARGUMENT", f"{name} not specified")
    entity = call.schema.entity(call["type"])
    for name in fields:
        if call.schema.readable(entity, name) is None:
            raise no_such_column(name, entity.name)
    return SandboxResponse(body=[_found(call, entity, record_id, fields) for record_id in ids])


def _found(call: RestCall, entity: Entity, record_id: str, fields: Sequence[str]) -> dict[str, Any] | None:
    try:
        record = call.org.retrieve(entity.name, record_id)
    except Refused:
        # A missing or deleted record is null at its index in the list.
        return None
    return record_body(call, entity, record, fields)


def _texts(body: dict[str, Any], key: str) -> list[str]:
    value = body.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Refused("JSON_PARSER_ERROR", f"{key} must be a list of texts")
    return value
