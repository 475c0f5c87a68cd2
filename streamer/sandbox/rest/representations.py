"""Representations of records and results in REST bodies."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from streamer.sandbox.org.field_values import rest_value
from streamer.sandbox.org.records import Record, read_field
from streamer.sandbox.org.refusals import Refused, no_such_column
from streamer.sandbox.org.schema import Entity
from streamer.sandbox.rest.call import RestCall


def without_attributes(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a record in a body, without its `attributes`."""
    return {name: value for name, value in body.items() if name != "attributes"}


def record_type(record: Mapping[str, Any]) -> str:
    """Return the type that a record in a body names; raises `Refused` if the record names no type."""
    attributes = record.get("attributes")
    name = attributes.get("type") if isinstance(attributes, Mapping) else None
    if not isinstance(name, str):
        raise Refused("INVALID_TYPE", "Each record needs attributes with its type")
    return name


def record_body(call: RestCall, entity: Entity, record: Record, asked: Iterable[str] = ()) -> dict[str, Any]:
    """Return a record with the `asked` fields, or with all fields; raises `Refused` for unknown fields."""
    names = [_field_name(call, entity, name) for name in asked]
    names = names or [*entity.fields, *(each for each in entity.compounds if each not in entity.fields)]
    body: dict[str, Any] = {
        "attributes": {"type": entity.name, "url": f"{call.base}/sobjects/{entity.name}/{record['Id']}"}
    }
    for name in names:
        body[name] = rest_value(entity.fields.get(name), read_field(entity, record, name))
    body.setdefault("Id", record["Id"])
    return body


def saved(record_id: str) -> dict[str, Any]:
    """Return the result of a successful save."""
    return {"id": record_id, "success": True, "errors": []}


def not_saved(refused: Refused) -> dict[str, Any]:
    """Return the result of a refused save."""
    return {"success": False, "errors": [refused.as_save_error()]}


def publish(call: RestCall, name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Publish a platform event, and return the result, whose only "error" contains the EventUuid.

    The id in the result has no meaning (Platform Events guide, publishing).
    """
    call.schema.check(name, "create")
    event_uuid = call.org.publish_platform_event(name, fields, user=call.session.user_id)
    queued = {"statusCode": "OPERATION_ENQUEUED", "message": event_uuid, "fields": []}
    return {"id": "e01xx0000000001AAA", "success": True, "errors": [queued]}


def field_list(text: str | None) -> list[str]:
    """Return the names in a `fields` parameter."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def chosen(body: Mapping[str, Any], key: str, choices: Collection[str], default: str | None = None) -> str:
    """Return the value of a key that accepts only `choices`; raises `Refused` for any other value."""
    value = body.get(key, default)
    if not isinstance(value, str) or value not in choices:
        raise Refused("JSON_PARSER_ERROR", f"{key} must be one of {', '.join(choices)}")
    return value


def _field_name(call: RestCall, entity: Entity, name: str) -> str:
    proper = call.schema.readable(entity, name)
    if proper is None:
        raise no_such_column(name, entity.name)
    return proper
