"""States of accounts, and what a process that keeps states does with their schemas; no broker is needed."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Message

from streamer.events import EventId, JsonObject, LastChange, Partition, RecordState
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import ProducerRecord, Tombstone
from streamer.log.kafka.records.envelopes import StateEnvelope
from streamer.log.kafka.records.states import StateDecoder, StateEncoder, WrittenState
from streamer.log.kafka.schemas.codecs import Codec, SchemaReaders
from streamer.log.kafka.schemas.record_types import EnvelopeForm, event_record
from streamer.log.kafka.schemas.registry import MemoryRegistry
from streamer.log.kafka.schemas.state_schemas import StateSchemaMissing, StateSchemas
from streamer.log.kafka.schemas.subjects import Subjects
from streamer.log.records import decode_record_state
from streamer.settings import KafkaLogSettings
from tests.unit.log.kafka.schemas.described import STEM

RECORD_ID = "001000000000001AAA"
TOPIC = "salesforce.state.Account"
_NOW_MS = 2_000_000_000_000
_PLACE = Partition(topic=TOPIC, number=0)


def a_state(fields: JsonObject | None, **last: Any) -> RecordState:
    """Return the state of an account."""
    about = {
        "event_id": EventId("0004-17:1:001"),
        "time": "2026-12-01T00:20:57.442Z",
        "commit_number": 92233720368547758,
        "sequence": 1,
        "partition": Partition(topic=STEM, number=1),
    }
    return RecordState(
        entity="Account", record_id=RECORD_ID, fields=fields, last=LastChange(**{**about, **last})
    )


def described(types: Mapping[str, str]) -> JsonObject:
    """Return the description of an object whose fields have these types."""
    return {
        "name": "Account",
        "fields": [{"name": name, "type": kind, "precision": 18, "scale": 2} for name, kind in types.items()],
    }


@dataclass
class Process:
    """A process that keeps states, or the ingest process that registers the schemas of changes."""

    form: str = "avro"
    registry: MemoryRegistry = field(default_factory=MemoryRegistry)
    options: Mapping[str, Any] = field(default_factory=dict)
    envelope: EnvelopeForm = "streamer"

    def __post_init__(self) -> None:
        """Begin with no schema in memory."""
        about = {
            "bootstrap_servers": "localhost:1",
            "format": self.form,
            "state_envelope": self.envelope,
            "schema_registry": {"url": "http://registry", **self.options},
        }
        self.settings = KafkaLogSettings.model_validate(about)
        self.readers = SchemaReaders(registry=self.registry)
        self.names = Names.of(self.settings)
        self.schemas = StateSchemas.of(
            self.settings, self.readers, changes_of=self.names.changes, states_of=self.names.state
        )
        self.encoder = StateEncoder(
            schemas=self.schemas, envelope=StateEnvelope(form=self.envelope, name="streamer", version="1.2")
        )
        self.decoder = StateDecoder(schemas=self.readers, topic=TOPIC, entity="Account")

    async def registers(self, describe: JsonObject) -> None:
        """Register the schema of the changes, as ingest does before it writes the first change."""
        subjects = Subjects.of(self.settings, self.readers, self.names.event_topic)
        assert subjects is not None
        record = event_record(STEM, describe, subjects.settings.numbers)
        await subjects.registered(STEM, Codec.of(subjects.kind, record))

    async def written(self, state: RecordState, before: JsonObject | None = None) -> WrittenState:
        """Return a state with its row and its records, with the schemas that it needs."""
        while True:
            try:
                return self.encoder.encode(state, _PLACE, _NOW_MS, before)
            except StateSchemaMissing as missing:
                assert self.schemas is not None
                await self.schemas.resolve(missing)

    async def read(self, record: ProducerRecord | Tombstone) -> RecordState:
        """Return the state in a record, as a copy has it that is built again."""
        row = await asyncio.to_thread(self.decoder.row, as_read(record))
        return decode_record_state("Account", *row)


def as_read(record: ProducerRecord | Tombstone) -> Message:
    """Return a record as a consumer gets it."""
    value = record.value if isinstance(record, ProducerRecord) else None
    headers: list[tuple[str, str | bytes | None]] = [
        (name, each.encode() if isinstance(each, str) else each or b"")
        for name, each in (record.headers or {}).items()
    ]
    return Message(topic=record.topic, partition=0, offset=0, key=record.key, value=value, headers=headers)
