"""Subjects: where the schemas of an entity's records are registered, and which topic they belong to."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

import structlog

from streamer.errors import LogMisconfigured
from streamer.events import JsonObject
from streamer.log.kafka.schemas.codecs import AVRO, FRAMED, JSON, SCHEMA_ID, Codec, SchemaReaders, framed
from streamer.log.kafka.schemas.json_schema import following
from streamer.log.kafka.schemas.registry import (
    RegistryUnavailable,
    SchemaFormat,
    SchemaIncompatible,
    SchemaRegistry,
    SchemaText,
)
from streamer.settings import KafkaLogSettings, SchemaRegistrySettings

_MOST_VERSIONS = 100
_log = structlog.get_logger()


class SchemaMissing(Exception):
    """A record needs a schema, or a newer schema, than this process knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitySchema:
    """Registered schema of an entity's records, and the topic of these records.

    `before` is written before each value, and `headers` beside it. `accepted` has the
    names of unknown fields that have no description; `None` means any name.
    """

    topic: str
    codec: Codec
    before: bytes
    headers: dict[str, str | bytes | None]
    accepted: frozenset[str] | None = frozenset()

    def value(self, data: JsonObject, text: bytes | None = None) -> bytes:
        """Return the value of a record; `text` is the JSON of `data`, if the caller has it.

        Raises `SchemaMissing`, and the errors of the codec's writer.
        """
        if text is not None and self.codec.unknown is not None:
            datum, unknown = text, self.codec.unknown(data)
        else:
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
    """Return the topic for records whose schemas are incompatible with those in the topic before."""
    return topic if number == 1 else f"{topic}.v{number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subjects:
    """Registers the schemas of entities in the subjects of their topics.

    `readers` have the registry, and get each schema that is registered. `topic_of`
    returns the first topic of an entity's records by their stem, such as
    `salesforce.cdc.Account`.
    """

    settings: SchemaRegistrySettings
    kind: SchemaFormat
    readers: SchemaReaders
    topic_of: Callable[[str], str]

    @classmethod
    def of(
        cls, settings: KafkaLogSettings, readers: SchemaReaders, topic_of: Callable[[str], str]
    ) -> Self | None:
        """Return the subjects of `settings`; `None` if its format has no schemas."""
        if settings.format == "json" or settings.schema_registry is None:
            return None
        kind: SchemaFormat = "AVRO" if settings.format == "avro" else "JSON"
        return cls(settings=settings.schema_registry, kind=kind, readers=readers, topic_of=topic_of)

    @property
    def registry(self) -> SchemaRegistry:
        """Registry of the schemas."""
        assert self.readers.registry is not None  # noqa: S101 - a format with schemas needs a registry
        return self.readers.registry

    async def registered(
        self, stem: str, codec: Codec, accepted: frozenset[str] | None = frozenset()
    ) -> EntitySchema:
        """Register the schema of `codec`, and return what its records need.

        Raises `RegistryUnavailable`, and a `Stop` if an operator must act.
        """
        try:
            topic, schema_id = await self._registered(stem, codec.schema)
        except RegistryUnavailable as error:
            self.readers.health.failed(error)
            raise
        self.readers.health.answered()
        self.readers.learn(schema_id, codec.schema)
        _log.info("schema.used", entity=entity_of(stem), topic=topic, id=schema_id, format=self.kind)
        is_framed = self.settings.id_in == "value"
        headers: dict[str, str | bytes | None] = {"content-type": content_type(self.kind, self.settings)}
        if not is_framed:
            headers[SCHEMA_ID] = str(schema_id).encode()
        before = framed(schema_id) if is_framed else b""
        return EntitySchema(topic=topic, codec=codec, before=before, headers=headers, accepted=accepted)

    async def latest(self, stem: str) -> SchemaText | None:
        """Return the last schema of an entity's records, in the last topic; `None` if there is no schema.

        Raises `RegistryUnavailable`, and a `Stop` if an operator must act.
        """
        base = self.topic_of(stem)
        try:
            number = await self._last_version(base, stem)
            found = await self.registry.latest(subject_of(self.settings, topic_version(base, number), stem))
        except RegistryUnavailable as error:
            self.readers.health.failed(error)
            raise
        self.readers.health.answered()
        return found

    async def incompatibility(self, stem: str, schema: SchemaText) -> str:
        """Return why the registry would refuse `schema`; empty if it would take it. Registers nothing."""
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

    async def _registered(self, stem: str, schema: SchemaText) -> tuple[str, int]:
        """Return the topic for records of this schema, and the schema's id."""
        base = self.topic_of(stem)
        number = await self._last_version(base, stem)
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
        while self.settings.on_incompatible == "new-topic" and number < _MOST_VERSIONS:
            subject = subject_of(self.settings, topic_version(base, number + 1), stem)
            if await self.registry.latest(subject) is None:
                break
            number += 1
        return number

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


def _following(schema: SchemaText, latest: SchemaText | None) -> SchemaText:
    if latest is None or not schema.format == latest.format == "JSON":
        return schema
    return SchemaText("JSON", following(schema.text, latest.text))


def entity_of(stem: str) -> str:
    """Return the entity of a stem: `Account` of `salesforce.cdc.Account`."""
    return stem.rpartition(".")[2]


def _unregistered(subject: str) -> str:
    return (
        f"the subject {subject} does not have the schema of the org's present fields: register the schema, "
        "or set log.kafka.schema_registry.register_schemas"
    )


def _remedy(topic: str, subject: str, reason: str) -> str:
    return (
        f"consumers of topic {topic} can't read records with the org's new types of fields ({reason}): undo "
        f"the change in the org, set log.kafka.schema_registry.on_incompatible: new-topic, or set the "
        f"compatibility of the subject {subject} to NONE in the registry until the new schema is registered"
    )
