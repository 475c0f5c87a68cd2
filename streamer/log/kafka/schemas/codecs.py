"""Codecs: the formats of values, the frame with a schema's id, and a cache of readers by id."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from streamer.clock import Clock
from streamer.errors import LogUnavailable, UnreadableEvent
from streamer.events import JsonObject
from streamer.exact_json import exact_value
from streamer.log.kafka.schemas.avro import AvroWriter, Written
from streamer.log.kafka.schemas.avro_reader import AvroReader
from streamer.log.kafka.schemas.avro_schema import avro_schema
from streamer.log.kafka.schemas.json_schema import JsonWriter, json_schema
from streamer.log.kafka.schemas.record_types import RecordType
from streamer.log.kafka.schemas.registry import HttpRegistry, SchemaFormat, SchemaRegistry, SchemaText
from streamer.settings import KafkaLogSettings

AVRO, JSON = b"application/avro", b"application/json"
FRAMED = b"; framing=schema-id"
"""Parameter of a content type: a zero byte and the schema's id in four bytes are before the value."""
SCHEMA_ID = "schema-id"
"""Header with the id of a value's schema in decimal digits, for values without a frame."""

_FRAME_BYTES = 5
_log = structlog.get_logger()


class RegistryHealth:
    """Condition of the registry, as the last calls showed it. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outage = ""
        self.failures = 0
        """Number of calls without an answer."""

    @property
    def outage(self) -> str:
        """Reason why the registry does not answer; empty after a call that was answered."""
        return self._outage

    def failed(self, error: LogUnavailable) -> None:
        """Note a call without an answer; the first one is logged."""
        with self._lock:
            self.failures += 1
            is_first, self._outage = not self._outage, str(error)
        if is_first:
            _log.warning("registry.unavailable", reason=str(error))

    def answered(self) -> None:
        """Note a call that was answered; the end of an outage is logged."""
        with self._lock:
            was_out, self._outage = bool(self._outage), ""
        if was_out:
            _log.info("registry.available")


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """Schema of a record type in one format, and the writer of its records.

    If the records are plain JSON, `unknown` returns the names of a record's unknown
    fields without writing it.
    """

    schema: SchemaText
    write: Callable[[JsonObject], Written]
    unknown: Callable[[JsonObject], Sequence[str]] | None = None

    @classmethod
    def of(
        cls,
        kind: SchemaFormat,
        record: RecordType,
        undescribed: Iterable[str] = (),
        *,
        is_lenient: bool = False,
    ) -> "Codec":
        """Return the codec of a record type.

        `undescribed` has the paths of fields that the records have, but not the type.
        With `is_lenient`, no number is refused.
        """
        if kind == "AVRO":
            write = AvroWriter(record, is_lenient=is_lenient).write
            return cls(schema=SchemaText(kind, avro_schema(record)), write=write)
        json = JsonWriter(record)
        schema = SchemaText(kind, json_schema(record, undescribed))
        return cls(schema=schema, write=json.write, unknown=json.unknown)


def framed(schema_id: int) -> bytes:
    """Return what is before a value with this schema in Confluent's wire format."""
    return b"\0" + schema_id.to_bytes(4, "big")


@dataclass(slots=True, kw_only=True)
class SchemaReaders:
    """Readers of registered schemas, by id; each schema is fetched once. Thread-safe."""

    registry: SchemaRegistry | None = None
    health: RegistryHealth = field(default_factory=RegistryHealth)
    _readers: dict[int, AvroReader] = field(default_factory=dict)

    @classmethod
    def of(
        cls, settings: KafkaLogSettings, clock: Clock, registry: SchemaRegistry | None = None
    ) -> "SchemaReaders":
        """Return the readers of `registry`, or else of the settings' registry, if there is one."""
        named = settings.schema_registry
        return cls(registry=registry or (HttpRegistry(named, clock) if named is not None else None))

    def learn(self, schema_id: int, schema: SchemaText) -> None:
        """Keep the reader of a schema that this process writes."""
        if schema.format == "AVRO" and schema_id not in self._readers:
            self._readers[schema_id] = AvroReader(schema.text)

    def data(self, attributes: Mapping[str, bytes], value: bytes, stem: str) -> JsonObject:
        """Return the data of a record of the entity with the stem `stem`, such as `salesforce.cdc.Account`.

        The first value of a schema needs a request to the registry, so only threads
        without an event loop can call this.

        Raises `UnreadableEvent`, `RegistryUnavailable`, and the other errors of
        `SchemaRegistry`; and `ValueError` for a value that is no JSON.
        """
        content_type, in_header = attributes.get("content-type", b""), attributes.get(SCHEMA_ID)
        is_framed = in_header is None and value[:1] == b"\0"
        datum = value[_FRAME_BYTES:] if is_framed else value
        if not content_type.startswith(AVRO):
            data: JsonObject = exact_value(datum)
            return data
        if not is_framed and in_header is None:
            raise UnreadableEvent("the record is in Avro, but does not name its schema")
        schema_id = int.from_bytes(value[1:_FRAME_BYTES], "big") if in_header is None else int(in_header)
        reader = self._readers.get(schema_id) or self._fetched(schema_id)
        if reader.name != stem:
            # Registries give out the same ids, so the record can come from another registry.
            raise UnreadableEvent(f"the schema {schema_id} describes {reader.name}, and not {stem}")
        return reader.read(datum)

    def _fetched(self, schema_id: int) -> AvroReader:
        if self.registry is None:
            raise UnreadableEvent("the record is in Avro: set log.kafka.schema_registry")
        try:
            schema = asyncio.run(self.registry.schema(schema_id))
        except LogUnavailable as error:
            self.health.failed(error)
            raise
        self.health.answered()
        if schema is None or schema.format != "AVRO":
            raise UnreadableEvent(f"the schema registry has no Avro schema with the id {schema_id}")
        self.learn(schema_id, schema)
        return self._readers[schema_id]
