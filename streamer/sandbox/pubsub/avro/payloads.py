"""Payloads that clients publish: Avro data, decoded with the schema that the client names."""

from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import fastavro

from streamer.sandbox.org.definitions.event_schemas import EventSchemas
from streamer.sandbox.org.field_values import timestamp
from streamer.sandbox.org.schema import READ_ONLY, PlatformEvent

_MOST_KEPT = 1_000
_MS_PER_S = 1_000


class Unpublishable(ValueError):
    """An event can't be published, for a reason that its result states."""


class Payloads:
    """Decodes payloads of platform events."""

    def __init__(self, schemas: EventSchemas) -> None:
        self._schemas = schemas
        self._parsed: dict[str, Any] = {}

    def read(
        self, event: PlatformEvent, schema_id: str, payload: bytes
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the stamps and the fields of a payload in CometD's form; empty fields are left out.

        Raises `Unpublishable` for a schema that the event never had, and for bytes that
        do not fit the schema.
        """
        datum = self._datum(event.name, schema_id, payload)
        fields = {
            name: _text_of_time(event, name, value) for name, value in datum.items() if value is not None
        }
        stamps = {name: fields.pop(name) for name in READ_ONLY & fields.keys()}
        return stamps, fields

    def _datum(self, event_name: str, schema_id: str, payload: bytes) -> Mapping[str, Any]:
        schema = self._schema(event_name, schema_id)
        stream = BytesIO(payload)
        try:
            datum = fastavro.schemaless_reader(stream, schema, None)
        except Exception as error:
            # Any bytes can arrive, and fastavro can raise any exception.
            raise Unpublishable(f"The payload does not fit the schema {schema_id}: {error}"[:500]) from error
        if stream.read(1):
            raise Unpublishable(f"The payload is longer than the schema {schema_id} describes.")
        if not isinstance(datum, dict):
            raise Unpublishable(f"The payload does not fit the schema {schema_id}.")
        return datum

    def _schema(self, event_name: str, schema_id: str) -> Any:
        known = self._parsed.get(schema_id)
        if known is None:
            schema = self._schemas.get(schema_id)
            if schema is None:
                raise Unpublishable(f"There is no schema {schema_id[:80]!r}.")
            if len(self._parsed) >= _MOST_KEPT:
                self._parsed.clear()
            known = self._parsed[schema_id] = (schema["name"], fastavro.parse_schema(schema))
        name, parsed = known
        if name != event_name:
            raise Unpublishable(f"The schema {schema_id} belongs to {name}, not to {event_name}.")
        return parsed


def _text_of_time(event: PlatformEvent, name: str, value: Any) -> Any:
    """Return a date or time, which is a number of milliseconds in Avro, as text.

    Return any other value unchanged.
    """
    field = event.fields.get(name)
    kind = "datetime" if name == "CreatedDate" else (field.type if field else "")
    if kind not in {"date", "datetime"} or not isinstance(value, int):
        return value
    try:
        if kind == "datetime":
            return timestamp(value / _MS_PER_S)
        return f"{datetime.fromtimestamp(value / _MS_PER_S, UTC):%Y-%m-%d}"
    except (ValueError, OverflowError, OSError) as error:
        raise Unpublishable(f"{name}: {value} is not a valid time in milliseconds.") from error
