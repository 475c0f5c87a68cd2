"""Schemas with which this process writes events, resolved when an entity's first event arrives."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from streamer.errors import LogUnavailable, RecordsRefused, RetryLater
from streamer.events import Event, JsonObject
from streamer.log.kafka.schemas.codecs import Codec
from streamer.log.kafka.schemas.record_types import event_record, event_stem, is_described
from streamer.log.kafka.schemas.subjects import EntitySchema, SchemaMissing, Subjects, entity_of
from streamer.ports import Describer

_TYPES_REMEMBERED = 4096
_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class EntitySchemas:
    """Schemas of the entities whose events this process writes; used by one event loop."""

    subjects: Subjects
    _describer: Describer | None = field(default=None, init=False)
    _by_stem: dict[str, EntitySchema] = field(default_factory=dict, init=False)
    _by_type: dict[str, EntitySchema | None] = field(default_factory=dict, init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

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
        kind = self.subjects.kind
        describe = await self._described(stem)
        record = event_record(stem, describe, self.subjects.settings.numbers)
        codec = Codec.of(kind, record)
        before = (known.accepted if known else None) or frozenset()
        # The description is new, so the org describes none of these fields.
        undescribed = before.union(_unknown(codec, event))
        if kind == "JSON":
            codec = Codec.of(kind, record, sorted(undescribed))
        # In Avro, an entity without a description needs no further schema.
        accepted = None if describe is None and kind == "AVRO" else undescribed
        schema = await self.subjects.registered(stem, codec, accepted)
        self._by_type.clear()
        self._by_stem[stem] = schema

    async def _described(self, stem: str) -> JsonObject | None:
        try:
            return await self._asked(stem)
        except RecordsRefused as error:
            _log.warning("schema.not_described", entity=entity_of(stem), reason=str(error))
            return None

    async def _asked(self, stem: str) -> JsonObject:
        if self._describer is None:
            raise LogUnavailable(f"the schema of {stem} needs a description from the org: no login yet")
        try:
            return await self._describer.describe(entity_of(stem))
        except RetryLater as error:
            raise LogUnavailable(
                f"the schema of {stem} needs a description from the org: {error}", after_s=error.after_s
            ) from error

    async def incompatibility(self, stem: str) -> str:
        """Return why the registry would refuse the present schema of `stem`; empty if it would take it.

        Registers nothing. Raises `RecordsRefused` if the org does not describe the
        entity, and the errors of `resolve`.
        """
        record = event_record(stem, await self._asked(stem), self.subjects.settings.numbers)
        return await self.subjects.incompatibility(stem, Codec.of(self.subjects.kind, record).schema)


def _unknown(codec: Codec, event: Event) -> Sequence[str]:
    """Return the fields of an event that the codec's type does not have."""
    try:
        return codec.write(event.data)[1]
    except (TypeError, ValueError):
        # The event is refused for another reason.
        return ()
