"""Schemas with which this process writes events, resolved when an entity's first event arrives."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from streamer.errors import LogMisconfigured, LogUnavailable, RecordsRefused, RetryLater
from streamer.events import Event, JsonObject
from streamer.log.kafka.schemas.codecs import AVRO, FRAMED, JSON, SCHEMA_ID, Codec, SchemaReaders, framed
from streamer.log.kafka.schemas.json_schema import following
from streamer.log.kafka.schemas.record_types import event_record, event_stem, is_described
from streamer.log.kafka.schemas.registry import (
    RegistryUnavailable,
    SchemaFormat,
    SchemaIncompatible,
    SchemaRegistry,
    SchemaText,
)
from streamer.ports import Describer
from streamer.settings import SchemaRegistrySettings

_MOST_VERSIONS = 100
_TYPES_REMEMBERED = 4096
_log = structlog.get_logger()


class SchemaMissing(Exception):
    """An event needs a schema, or a newer schema, than this process knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitySchema:
    """Registered schema of an entity's events, and the topic of these events.

    `before` is written before each value, and `headers` beside it. `accepted` has the
    names of unknown fields that the org does not describe; `None` means any name.
    """

    topic: str
    codec: Codec
    before: bytes
    headers: dict[str, str | bytes | None]
    accepted: frozenset[str] | None = frozenset()

    def value(self, data: JsonObject) -> bytes:
        """Return the value of a record. Raises `SchemaMissing`, and the errors of the codec's writer."""
        datum, unknown = self.codec.write(data)
        if unknown and self.refused(unknown):
            raise SchemaMissing
        return self.before + datum

    def refused(self, unknown: Iterable[str]) -> list[str]:
        """Return the unknown fields that can be in a new description."""
        return [] if self.accepted is None else [name for name in unknown if name not in self.accepted]


def content_type(kind: SchemaFormat, settings: SchemaRegistrySettings) -> bytes:
    """Return the content type of values with a schema."""
    name = AVRO if kind == "AVRO" else JSON
    return name + FRAMED if settings.id_in == "value" else name


def subject_of(settings: SchemaRegistrySettings, topic: str, stem: str) -> str:
    """Return the subject of the schemas of a topic, whose records have the full name `stem`."""
    match settings.subjects:
        case "topic":
            return f"{topic}-value"
        case "record":
            return stem
        case "topic-record":
            return f"{topic}-{stem}"


def topic_version(topic: str, number: int) -> str:
    """Return the topic for events whose schemas are incompatible with those in the topic before."""
    return topic if number == 1 else f"{topic}.v{number}"


@dataclass(slots=True, kw_only=True)
class EntitySchemas:
    """Schemas of the entities whose events this process writes; used by one event loop.

    `readers` have the registry, and get each schema that is written. `topic_of` returns
    the topic of an event type.
    """

    settings: SchemaRegistrySettings
    kind: SchemaFormat
    readers: SchemaReaders
    topic_of: Callable[[str], str]
    _describer: Describer | None = field(default=None, init=False)
    _by_stem: dict[str, EntitySchema] = field(default_factory=dict, init=False)
    _by_type: dict[str, EntitySchema | None] = field(default_factory=dict, init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    @property
    def registry(self) -> SchemaRegistry:
        """Registry of the schemas."""
        assert self.readers.registry is not None  # noqa: S101 - a format with schemas needs a registry
        return self.readers.registry

    @contextmanager
    def described_by(self, describer: Describer) -> Iterator[None]:
        """Read the descriptions of entities with `describer` inside the context."""
        self._describer = describer
        try:
            yield
        finally:
            self._describer = None

    def of(self, event_type: str) -> EntitySchema | None:
        """Return the schema of an event type, or `None` if such events are always JSON.

        Raises `SchemaMissing` if the schema is not known yet.
        """
        try:
            return self._by_type[event_type]
        except KeyError:
            known = self._by_stem.get(event_stem(event_type))
            if known is None and is_described(event_type):
                raise SchemaMissing from None
            if len(self._by_type) >= _TYPES_REMEMBERED:
                self._by_type.clear()
            self._by_type[event_type] = known
            return known

    async def resolve(self, event: Event) -> None:
        """Make sure that `event` can be encoded, or is refused for another reason than its schema.

        Raises `LogUnavailable` if the org or the registry does not answer, and a `Stop`
        if an operator must act. Cached schemas stay in use.
        """
        async with self._lock:
            known = self._by_stem.get(event_stem(event.type))
            if known is None or known.refused(_unknown(known.codec, event)):
                await self._learn(event_stem(event.type), event, known)

    async def _learn(self, stem: str, event: Event, known: EntitySchema | None) -> None:
        describe = await self._described(stem)
        record = event_record(stem, describe, self.settings.numbers)
        codec = Codec.of(self.kind, record)
        before = (known.accepted if known else None) or frozenset()
        # The description is new, so the org describes none of these fields.
        undescribed = before.union(_unknown(codec, event))
        if self.kind == "JSON":
            codec = Codec.of(self.kind, record, sorted(undescribed))
        try:
            topic, schema_id = await self._registered(stem, codec.schema)
        except RegistryUnavailable as error:
            self.readers.health.failed(error)
            raise
        self.readers.health.answered()
        self.readers.learn(schema_id, codec.schema)
        # In Avro, an entity without a description needs no further schema.
        accepted = None if describe is None and self.kind == "AVRO" else undescribed
        self._by_type.clear()
        self._by_stem[stem] = self._entity_schema(topic, codec, schema_id, accepted)
        _log.info("schema.used", entity=_entity(stem), topic=topic, id=schema_id, format=self.kind)

    def _entity_schema(
        self, topic: str, codec: Codec, schema_id: int, accepted: frozenset[str] | None
    ) -> EntitySchema:
        is_framed = self.settings.id_in == "value"
        headers: dict[str, str | bytes | None] = {"content-type": content_type(self.kind, self.settings)}
        if not is_framed:
            headers[SCHEMA_ID] = str(schema_id).encode()
        before = framed(schema_id) if is_framed else b""
        return EntitySchema(topic=topic, codec=codec, before=before, headers=headers, accepted=accepted)

    async def _described(self, stem: str) -> JsonObject | None:
        try:
            return await self._asked(stem)
        except RecordsRefused as error:
            _log.warning("schema.not_described", entity=_entity(stem), reason=str(error))
            return None

    async def _asked(self, stem: str) -> JsonObject:
        if self._describer is None:
            raise LogUnavailable(f"the schema of {stem} needs a description from the org: no login yet")
        try:
            return await self._describer.describe(_entity(stem))
        except RetryLater as error:
            raise LogUnavailable(
                f"the schema of {stem} needs a description from the org: {error}", after_s=error.after_s
            ) from error

    async def _registered(self, stem: str, schema: SchemaText) -> tuple[str, int]:
        """Return the topic for events of this schema, and the schema's id."""
        base = self.topic_of(stem)
        number = await self._last_version(base, stem) if self.settings.on_incompatible == "new-topic" else 1
        while True:
            topic = topic_version(base, number)
            subject = subject_of(self.settings, topic, stem)
            try:
                return topic, await self._register(subject, schema)
            except SchemaIncompatible as error:
                if self.settings.on_incompatible == "stop" or number >= _MOST_VERSIONS:
                    raise SchemaIncompatible(_remedy(topic, subject, str(error))) from error
                number += 1
                _log.warning("schema.new_topic", topic=topic_version(base, number), reason=str(error))

    async def _last_version(self, base: str, stem: str) -> int:
        number = 1
        while number < _MOST_VERSIONS:
            subject = subject_of(self.settings, topic_version(base, number + 1), stem)
            if await self.registry.latest(subject) is None:
                break
            number += 1
        return number

    async def incompatibility(self, stem: str) -> str:
        """Return why the registry would refuse the present schema of `stem`; empty if it would take it.

        Registers nothing. Raises `RecordsRefused` if the org does not describe the
        entity, and the errors of `resolve`.
        """
        describe = await self._asked(stem)
        schema = Codec.of(self.kind, event_record(stem, describe, self.settings.numbers)).schema
        if self.settings.on_incompatible == "new-topic":
            return ""
        topic = self.topic_of(stem)
        subject = subject_of(self.settings, topic, stem)
        schema = _following(schema, await self.registry.latest(subject))
        if await self.registry.lookup(subject, schema) is not None:
            return ""
        if not self.settings.register_schemas:
            return _unregistered(subject)
        reason = await self.registry.incompatibility(subject, schema)
        return _remedy(topic, subject, reason) if reason else ""

    async def _register(self, subject: str, schema: SchemaText) -> int:
        latest = await self.registry.latest(subject)
        schema = _following(schema, latest)
        if (known := await self.registry.lookup(subject, schema)) is not None:
            return known
        if not self.settings.register_schemas:
            raise LogMisconfigured(_unregistered(subject))
        schema_id = await self.registry.register(subject, schema)
        if latest is None and self.settings.compatibility != "registry":
            # Some registries have no settings for a subject without a schema.
            await self.registry.require(subject, self.settings.compatibility.upper().replace("-", "_"))
        return schema_id


def _unknown(codec: Codec, event: Event) -> Sequence[str]:
    """Return the fields of an event that the codec's type does not have."""
    try:
        return codec.write(event.data)[1]
    except (TypeError, ValueError):
        # The event is refused for another reason.
        return ()


def _following(schema: SchemaText, latest: SchemaText | None) -> SchemaText:
    if latest is None or not schema.format == latest.format == "JSON":
        return schema
    return SchemaText("JSON", following(schema.text, latest.text))


def _entity(stem: str) -> str:
    return stem.rpartition(".")[2]


def _unregistered(subject: str) -> str:
    return (
        f"the subject {subject} does not have the schema of the org's present fields: register the schema, "
        "or set log.kafka.schema_registry.register_schemas"
    )


def _remedy(topic: str, subject: str, reason: str) -> str:
    return (
        f"consumers of topic {topic} can't read events with the org's new types of fields ({reason}): undo "
        f"the change in the org, set log.kafka.schema_registry.on_incompatible: new-topic, or set the "
        f"compatibility of the subject {subject} to NONE in the registry until the new schema is registered"
    )
