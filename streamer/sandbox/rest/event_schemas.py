"""REST resources of the schemas of platform events and change events.

The source is the REST API guide, platform event schema by event name and by schema id.
"""

from streamer.sandbox.org.definitions.avro import Avro, expanded
from streamer.sandbox.org.refusals import Refused, not_found
from streamer.sandbox.org.schema import Entity, PlatformEvent
from streamer.sandbox.rest.call import RestCall, SandboxResponse
from streamer.sandbox.rest.resources import Resources

_FORMATS = ("EXPANDED", "COMPACT")
_CHANGE_EVENT = "ChangeEvent"


def add_event_schemas(resources: Resources) -> None:
    """Serve `eventSchema` by name and by id; call this before the resources of single records are added."""
    resources.add("/sobjects/{type}/eventSchema", get=_by_name)
    resources.add("/event/eventSchema/{id}", get=_by_id)


def _by_name(call: RestCall) -> SandboxResponse:
    definition = _definition(call, call["type"])
    if definition is None:
        raise not_found()
    identifier = call.org.event_schemas.id_of(definition)
    return _answer(call, identifier, call.org.event_schemas.get(identifier))


def _by_id(call: RestCall) -> SandboxResponse:
    schema = call.org.event_schemas.get(call["id"])
    # A user who can't read an event can't read its earlier schemas either.
    if schema is None or _definition(call, schema["name"]) is None:
        raise not_found()
    return _answer(call, call["id"], schema)


def _definition(call: RestCall, name: str) -> Entity | PlatformEvent | None:
    """Return the definition of an event that the user can read, or `None`."""
    if name.endswith(_CHANGE_EVENT):
        seen = any(entity.announced and entity.change_event == name for entity in call.schema.entities)
        entities = call.org.schema.entities if seen else ()
        # Hidden fields are missing in events, but not in their schemas.
        return next((entity for entity in entities if entity.change_event == name), None)
    return call.schema.event(name)


def _answer(call: RestCall, identifier: str, schema: Avro | None) -> SandboxResponse:
    if schema is None:
        raise not_found()
    wanted = call.query.get("payloadFormat", _FORMATS[0])
    if wanted not in _FORMATS:
        message = f"payloadFormat must be {' or '.join(_FORMATS)}, and not {wanted}"
        raise Refused("INVALID_PARAMETER", message)
    body = schema if wanted == "COMPACT" else expanded(schema)
    return SandboxResponse(body={**body, "uuid": identifier})
