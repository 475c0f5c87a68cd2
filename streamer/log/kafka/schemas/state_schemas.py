"""Schemas with which this process writes record states, made from the registered schemas of changes."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import structlog

from streamer.errors import LogUnavailable, Stop, UnreadableEvent
from streamer.events import JsonObject
from streamer.log.kafka.schemas.codecs import Codec, SchemaReaders
from streamer.log.kafka.schemas.parsed_types import registered_fields
from streamer.log.kafka.schemas.record_types import (
    EnvelopeForm,
    RecordField,
    own_fields,
    state_record_type,
    state_stem,
)
from streamer.log.kafka.schemas.registry import SchemaIncompatible
from streamer.log.kafka.schemas.subjects import EntitySchema, SchemaMissing, Subjects, entity_of
from streamer.settings import KafkaLogSettings

_CHANGES = "salesforce.cdc."
_log = structlog.get_logger()


class StateSchemaMissing(LogUnavailable):
    """The state `data` of a record of `entity` needs a schema, or a newer schema, than this process knows."""

    def __init__(self, entity: str, data: JsonObject) -> None:
        super().__init__(f"the schema of the states of {entity} is not known yet")
        self.entity = entity
        self.data = data


@dataclass(slots=True, kw_only=True)
class StateSchemas:
    """Schemas of states by entity; the event loop resolves them, and one thread writes with them.

    The fields of an entity have the types that they have in the registered schema of
    its `changes`, so no login to Salesforce is needed. States stay JSON until the
    changes have a schema. `refusal` says why an operator must act before a state can
    be written; it is empty if nothing is refused.
    """

    changes: Subjects
    states: Subjects
    envelope: EnvelopeForm = "streamer"
    refusal: str = field(default="", init=False)
    _by_entity: dict[str, EntitySchema | None] = field(default_factory=dict, init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    @classmethod
    def of(
        cls,
        settings: KafkaLogSettings,
        readers: SchemaReaders,
        *,
        changes_of: Callable[[str], str],
        states_of: Callable[[str], str],
    ) -> Self | None:
        """Return the schemas of states; `None` if the format of the settings has no schemas.

        `changes_of` and `states_of` return the topics of an entity's changes and states.
        """
        changes = Subjects.of(settings, readers, lambda stem: changes_of(entity_of(stem)))
        if changes is None:
            return None
        # A table that continues in another topic would be incomplete in both topics.
        states = replace(
            changes,
            settings=changes.settings.model_copy(update={"on_incompatible": "stop"}),
            topic_of=lambda stem: states_of(entity_of(stem)),
        )
        return cls(changes=changes, states=states, envelope=settings.state_envelope)

    def of_entity(self, entity: str, data: JsonObject) -> EntitySchema | None:
        """Return the schema of the state `data`, or `None` if the state is JSON without a schema.

        Raises `StateSchemaMissing`.
        """
        try:
            return self._by_entity[entity]
        except KeyError:
            raise StateSchemaMissing(entity, data) from None

    def value(self, schema: EntitySchema, entity: str, data: JsonObject, text: bytes) -> bytes:
        """Return the value of the state `data`, whose JSON is `text`. Raises `StateSchemaMissing`."""
        try:
            return schema.value(data, text)
        except SchemaMissing:
            raise StateSchemaMissing(entity, data) from None

    async def resolve(self, missing: StateSchemaMissing) -> None:
        """Make sure that the state in `missing` can be written.

        Raises `LogUnavailable` if the registry does not answer, or if an operator must
        act first. Known schemas stay in use.
        """
        async with self._lock:
            try:
                self._by_entity[missing.entity] = await self._resolved(missing)
            except (Stop, UnreadableEvent) as error:
                self.refusal = str(error)
                raise LogUnavailable(self.refusal) from error
            self.refusal = ""

    def forget_missing(self) -> None:
        """Look for the schemas again of entities whose changes had no schema."""
        for entity in [each for each, schema in self._by_entity.items() if schema is None]:
            del self._by_entity[entity]

    async def incompatibility(self, entity: str, fields: Iterable[RecordField]) -> str:
        """Return why the registry would refuse the states of an entity whose changes have these fields.

        The result is empty if the registry would take them. Registers nothing. Raises
        `RegistryUnavailable`, and a `Stop` if an operator must act.
        """
        stem = state_stem(entity)
        if self._keeps_former_types:
            return ""
        codec = Codec.of(self.states.kind, state_record_type(stem, fields, self.envelope))
        return await self.states.incompatibility(stem, codec.schema)

    @property
    def _keeps_former_types(self) -> bool:
        return self.changes.settings.on_incompatible == "new-topic"

    async def _resolved(self, missing: StateSchemaMissing) -> EntitySchema | None:
        latest = await self.changes.latest(f"{_CHANGES}{missing.entity}")
        if latest is None:
            return None
        fields, known = registered_fields(latest), self._by_entity.get(missing.entity)
        accepted = (known.accepted if known else None) or frozenset()
        try:
            return await self._registered(missing, fields, accepted)
        except SchemaIncompatible as error:
            stem = state_stem(missing.entity)
            former = await self.states.latest(stem)
            if former is None or not self._keeps_former_types:
                raise
            _log.warning("schema.types_kept", entity=missing.entity, reason=str(error))
            kept, dropped = _with_former_types(fields, registered_fields(former))
            if self.states.kind == "JSON":
                # A property of any type can follow a property of one type.
                kept = [each for each in kept if each.name not in dropped]
                places = own_fields(state_record_type(stem, (), self.envelope))
                accepted = accepted.union(
                    f"{place}.{name}".removeprefix(".") for place in places for name in dropped
                )
            return await self._registered(missing, kept, accepted)

    async def _registered(
        self, missing: StateSchemaMissing, fields: Sequence[RecordField], accepted: frozenset[str]
    ) -> EntitySchema:
        kind, stem = self.states.kind, state_stem(missing.entity)
        record = state_record_type(stem, fields, self.envelope)
        codec = Codec.of(kind, record, is_lenient=True)
        # The schema of the changes is the newest, so none of its later versions has these fields.
        undescribed = accepted.union(codec.write(missing.data)[1])
        if kind == "JSON":
            codec = Codec.of(kind, record, sorted(undescribed))
        # In Avro, an entity without described fields needs no further schema.
        return await self.states.registered(
            stem, codec, None if not fields and kind == "AVRO" else undescribed
        )


def _with_former_types(
    fields: Sequence[RecordField], former: Sequence[RecordField]
) -> tuple[list[RecordField], frozenset[str]]:
    """Return `fields` with the types that they have in `former`, and the names of those that differ."""
    known = {each.name: each for each in former}
    kept = list(_kept(fields, known))
    differ = (new.name for new, old in zip(fields, kept, strict=True) if new.type.kind is not old.type.kind)
    return kept, frozenset(differ)


def _kept(fields: Iterable[RecordField], former: dict[str, RecordField]) -> Iterator[RecordField]:
    for each in fields:
        old = former.get(each.name)
        if old is None:
            yield each
        elif each.type.record is not None and old.type.record is not None:
            parts = {part.name: part for part in old.type.record.fields}
            record = replace(old.type.record, fields=tuple(_kept(each.type.record.fields, parts)))
            yield replace(old, type=replace(old.type, record=record))
        else:
            yield old
