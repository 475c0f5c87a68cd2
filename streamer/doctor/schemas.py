"""Checks of the schema registry: it answers, and takes the schemas of the configured channels' events."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from streamer.configuration.event_types import Carried
from streamer.doctor.check import Area, Check, CheckResult, counted, failed, ok, skipped, warning
from streamer.doctor.org import LOGIN, OrgSession
from streamer.errors import RecordsRefused
from streamer.log.kafka.append.encoder import event_schemas
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.schemas.codecs import SchemaReaders
from streamer.log.kafka.schemas.event_schemas import EntitySchemas
from streamer.log.kafka.schemas.record_types import entity_fields
from streamer.log.kafka.schemas.state_schemas import StateSchemas
from streamer.salesforce.records import RestRecords
from streamer.settings import KafkaLogSettings, Settings

_REGISTRY = "schema registry"
# Each object costs one request to the org.
_MOST_OBJECTS = 50


class SchemaChecks:
    """Checks of the registry, which register nothing."""

    def __init__(self, kafka: KafkaLogSettings, settings: Settings, session: OrgSession) -> None:
        self._settings = settings
        self._session = session
        self._clients = Clients(
            settings=kafka, clock=session.clock, schemas=SchemaReaders.of(kafka, session.clock)
        )

    def checks(self) -> Iterator[Check]:
        """Yield the checks; none without a registry."""
        if self._clients.schemas.registry is None:
            return
        yield Check(area=Area.LOG, name=_REGISTRY, run=self._reached)
        if (schemas := event_schemas(self._clients)) is not None:
            yield Check(area=Area.LOG, name="schemas", run=lambda: self._compared(schemas))

    async def _reached(self) -> CheckResult:
        settings, registry = self._clients.settings.schema_registry, self._clients.schemas.registry
        assert settings is not None  # noqa: S101 - `checks` yields this check only with a registry
        assert registry is not None  # noqa: S101 - as above
        await registry.latest("streamer-doctor")
        return ok(f"the registry answers at {settings.url}")

    async def _compared(self, schemas: EntitySchemas) -> Sequence[CheckResult]:
        await self._session.token.needed(LOGIN)
        stems = await self._stems()
        if not stems:
            return [
                skipped("the configured channels carry no objects yet, so there are no schemas to compare")
            ]
        found: list[CheckResult] = []
        with schemas.described_by(RestRecords(self._session.rest)):
            for stem in stems[:_MOST_OBJECTS]:
                found += await _compared(schemas, stem)
        found += await self._compared_states()
        shown = counted(min(len(stems), _MOST_OBJECTS), "object")
        return found or [ok(f"the registry takes the schemas of the events of {shown}")]

    async def _compared_states(self) -> list[CheckResult]:
        """Compare the schemas of record states with the schemas that the present changes would give them."""
        kafka, state = self._clients.settings, self._settings.state
        names = Names.of(kafka)
        schemas = StateSchemas.of(
            kafka, self._clients.schemas, changes_of=names.changes, states_of=names.state
        )
        if schemas is None or state is None:
            return []
        records = RestRecords(self._session.rest)
        reasons: list[str] = []
        for entity in state.objects[:_MOST_OBJECTS]:
            # An object that the org does not describe has a finding of its own.
            with suppress(RecordsRefused):
                describe = await records.describe(entity)
                fields = entity_fields(f"salesforce.cdc.{entity}", describe, schemas.changes.settings.numbers)
                reasons.append(await schemas.incompatibility(entity, fields))
        return [failed(reason) for reason in reasons if reason]

    async def _stems(self) -> Sequence[str]:
        """Return the stems of the event types that the channels carry, such as `salesforce.cdc.Account`."""
        setup = await self._session.setup()
        found: set[str] = set()
        for path in self._settings.paths:
            carried = Carried.by(path)
            if carried.kind not in {"cdc", "event"}:
                continue
            names = [carried.name] if carried.name else sorted(setup.carried(path))
            found |= {f"salesforce.{'event' if name.endswith('__e') else 'cdc'}.{name}" for name in names}
        return sorted(found)


async def _compared(schemas: EntitySchemas, stem: str) -> list[CheckResult]:
    entity = stem.rpartition(".")[2]
    try:
        reason = await schemas.incompatibility(stem)
    except RecordsRefused as error:
        return [
            warning(
                f"the org does not describe {entity} to this user ({error}), so its schema has no fields",
                f"grant the user the permission to read {entity}",
            )
        ]
    return [failed(reason)] if reason else []
