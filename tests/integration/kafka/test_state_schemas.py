"""Record states with schemas, in a real Kafka and a real Apicurio, kept by processes without a login."""

import asyncio
import random
import shutil
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from streamer.clock import SystemClock
from streamer.events import Event, JsonObject
from streamer.log.kafka.log import KafkaLog
from streamer.log.kafka.schemas.registry import MemoryRegistry, SchemaRegistry
from tests.contracts.test_record_states import ACCOUNT, append_changes
from tests.contracts.values import an_event
from tests.integration.kafka.state_world import StateWorld, recent
from tests.integration.kafka.test_schemas import Org, asked
from tests.integration.kafka.test_state_keeper import kept
from tests.waiting import until
from tools.registry.go_consumer import consumed

_FORMS: Sequence[JsonObject] = (
    {"format": "json"},
    {"format": "avro"},
    {"format": "json-schema", "schema_registry": {"subjects": "topic-record"}},
    {"format": "avro", "schema_registry": {"id_in": "header"}},
)


class FormatWorld:
    """Topics of one test, and the processes that write and keep them; only ingest has a login."""

    def __init__(self, kafka: str, url: str, folder: Path) -> None:
        """Begin with a prefix of the test's own."""
        self.org = Org({"Name": "string", "AnnualRevenue": "currency", "Opened__c": "date"})
        self.registry: SchemaRegistry | None = None
        self.url = url
        self._kafka = kafka
        self._folder = folder
        self._unique = f"f{uuid.uuid4().hex[:8]}"
        self._number = 0

    def states(self, about: JsonObject) -> StateWorld:
        """Return the world with a format."""
        registry = {"url": self.url, **about.get("schema_registry", {})}
        names = {"prefix": self._unique, "topic": f"{self._unique}.{{kind}}.{{name}}"}
        settings: JsonObject = {**names, **about, "schema_registry": registry}
        world = StateWorld(self._kafka, self._folder, **settings)
        world.states = f"{self._unique}.state.Account"
        world.settings = world.settings.model_copy(update={"state_topic": f"{self._unique}.state.{{name}}"})
        return world

    @asynccontextmanager
    async def open(self, about: JsonObject) -> AsyncIterator[KafkaLog]:
        """Open the log of a process without a login."""
        settings = self.states(about).settings
        async with KafkaLog.open(settings, SystemClock(), registry=self.registry) as log:
            yield log

    async def change(self, about: JsonObject, kind: str, **fields: Any) -> None:
        """Append a change of the account, as ingest does."""
        self._number += 1
        async with self.open(about) as log:
            with log.described_by(self.org):
                await append_changes(log, event(self._number, kind, fields))


@pytest.fixture
def world(kafka: str, registry_url: str, tmp_path: Path) -> FormatWorld:
    """A world without records."""
    return FormatWorld(kafka, registry_url, tmp_path)


def event(number: int, kind: str, fields: JsonObject) -> Event:
    """Return a change of the account."""
    data: JsonObject = {
        "entity": "Account",
        "record_id": ACCOUNT,
        "change": kind,
        "changed_fields": list(fields),
        "nulled_fields": [name for name, value in fields.items() if value is None],
        "fields": fields,
        "transaction": {"key": str(number), "commit_number": number, "sequence": 1},
    }
    what = f"salesforce.cdc.Account.{kind}"
    return an_event(number, what=what, key=ACCOUNT, time=recent(number), data=data)


async def test_states_survive_each_switch_of_the_format_and_the_loss_of_their_copies(
    world: FormatWorld,
) -> None:
    """Each next state is made from one in another format, read by a process that has lost its copies."""
    expected: JsonObject = {"Name": "Åcme", "AnnualRevenue": 0.5, "Opened__c": "2026-12-01"}
    for number, about in enumerate(_FORMS):
        changed = {"AnnualRevenue": number + 0.5} if number else dict(expected)
        expected |= changed
        async with world.open(about) as log, kept(log):
            await world.change(about, "updated" if number else "created", **changed)
            await until(partial(has_records, world, about, number + 1))
            await until(partial(has_fields, log, expected))
        shutil.rmtree(world.states(about).folder / "0")

    async with world.open(_FORMS[0] | {"schema_registry": {}}) as log, kept(log):
        assert (await log.states.of("Account", [ACCOUNT]))[ACCOUNT].fields == expected
        assert sum(each.records for each in log.states.rebuilds) == 4
    types = [dict(each.headers)["content-type"] for each in await world.states(_FORMS[0]).records()]
    assert types == [
        b"application/json",
        b"application/avro; framing=schema-id",
        b"application/json; framing=schema-id",
        b"application/avro",
    ]


async def test_consumer_in_go_reads_states_with_their_types(world: FormatWorld) -> None:
    """It shares nothing with Streamer but the registry and the broker."""
    about = _FORMS[1]
    async with world.open(about) as log, kept(log):
        await world.change(about, "created", Name="Åcme", AnnualRevenue=12.5)
        await until(lambda: has_records(world, about, 1))

    states = world.states(about)
    (found,) = await asyncio.to_thread(consumed, states.address, world.url, states.states, 1)

    assert found["key"] == ACCOUNT
    assert found["data"]["fields"] == {"Name": "Åcme", "AnnualRevenue": 12.5, "Opened__c": None}
    versions = await asked(f"{world.url}/subjects/{states.states}-value/versions")
    level = await asked(f"{world.url}/config/{states.states}-value")
    assert (versions, level) == ([1], {"compatibilityLevel": "BACKWARD"})


async def test_new_schema_waits_for_the_registry_and_nothing_is_lost(world: FormatWorld) -> None:
    """The keeper stays a member of its group, and writes all states once the registry answers."""
    world.registry = registry = MemoryRegistry()
    about = _FORMS[1]
    async with world.open(about) as log, kept(log):
        await world.change(about, "created", Name="a")
        await until(lambda: has_records(world, about, 1))
    world.org.types["Phone"] = "phone"
    await world.change(about, "updated", Phone="1")
    await world.change(about, "updated", Name="b")
    registry.outage = "the registry is down"

    async with world.open(about) as log, kept(log):
        await until(lambda: log.schema_outage)
        registry.outage = ""
        await until(lambda: has_records(world, about, 3))
        await until(lambda: has_fields(log, {"Name": "b", "Phone": "1"}))
        assert log.schema_outage == ""


async def test_lost_copy_waits_for_the_registry_in_its_group(world: FormatWorld) -> None:
    """No state is skipped: the next one is made from the one that could not be read at first."""
    world.registry = registry = MemoryRegistry()
    about = _FORMS[1]
    async with world.open(about) as log, kept(log):
        await world.change(about, "created", Name="a", AnnualRevenue=1.5)
        await until(lambda: has_records(world, about, 1))
    await world.change(about, "updated", Name="b")
    shutil.rmtree(world.states(about).folder / "0")
    registry.outage = "the registry is down"

    async with world.open(about) as log, kept(log):
        await until(lambda: log.schema_outage)
        registry.outage = ""
        await until(lambda: has_records(world, about, 2))
        await until(lambda: has_fields(log, {"Name": "b", "AnnualRevenue": 1.5}))


async def test_incompatible_type_waits_until_an_operator_allows_it(world: FormatWorld) -> None:
    """The real registry refuses the states, and the problem names the subject and the remedy."""
    world.registry = registry = MemoryRegistry()
    about = _FORMS[1] | {"schema_registry": {"compatibility": "backward"}}
    async with world.open(about) as log, kept(log):
        await world.change(about, "created", Name="a")
        await until(lambda: has_records(world, about, 1))
    states = world.states(about)
    await registry.require(f"{states.changes}-value", "NONE")
    world.org.types["Name"] = "double"
    await world.change(about, "updated", Name=1.5)
    await world.change(about, "updated", AnnualRevenue=2.5)

    async with world.open(about) as log, kept(log):
        await until(lambda: f"{states.states}-value" in log.schema_outage)
        assert "undo the change in the org" in log.schema_outage
        await registry.require(f"{states.states}-value", "NONE")
        await until(lambda: has_records(world, about, 3))
        await until(lambda: has_fields(log, {"Name": 1.5, "AnnualRevenue": 2.5}))
        assert log.schema_outage == ""


async def has_records(world: FormatWorld, about: JsonObject, number: int) -> bool:
    """Return true once the state topic has so many records."""
    return len(await world.states(about).records()) >= number


async def has_fields(log: KafkaLog, fields: JsonObject) -> bool:
    """Return true once the copy has the account's fields; it gets a state after the topic."""
    found = await log.states.of("Account", [ACCOUNT])
    return ACCOUNT in found and found[ACCOUNT].fields == fields


async def test_keeper_turns_to_avro_with_the_first_change_in_avro(world: FormatWorld) -> None:
    """A running keeper looks for the schema again with each settlement, until the changes have one."""
    json, avro = _FORMS[:2]
    async with world.open(avro) as log, kept(log):
        await world.change(json, "created", Name="a")
        await until(lambda: has_records(world, avro, 1))
        await world.change(avro, "updated", Name="b")
        await until(lambda: has_records(world, avro, 2))

    first, second = await world.states(avro).records()
    assert ((first.value or b"")[:1], (second.value or b"")[:1]) == (b"{", b"\0")


@pytest.mark.parametrize(
    ("form", "envelope"),
    [("avro", "streamer"), ("avro", "debezium"), ("json-schema", "streamer"), ("json-schema", "flat")],
)
async def test_states_survive_thirty_changes_of_the_schema(
    world: FormatWorld, form: str, envelope: str
) -> None:
    """Fields come and go while states are kept, and a copy that is built again has the same state."""
    about: JsonObject = {"format": form, "state_envelope": envelope}
    world.registry = MemoryRegistry()
    drawn, kinds, expected = random.Random(2), dict[str, str](), JsonObject()  # noqa: S311 - draws a test
    async with world.open(about) as log, kept(log):
        with log.described_by(world.org):
            for number in range(31):
                types = world.org.types
                fields = {name: value_of(kind, number) for name, kind in types.items()}
                expected |= fields
                await append_changes(log, event(number + 1, "updated" if number else "created", fields))
                name = f"F{drawn.randrange(12)}__c"
                if name in types and drawn.random() < 0.5:
                    del types[name]
                else:
                    types[name] = kinds.setdefault(
                        name, drawn.choice(["string", "double", "boolean", "date"])
                    )
                if number % 10 == 0:
                    # The states of one page share a schema.
                    await until(partial(has_records, world, about, number + 1))
        await until(lambda: has_fields(log, expected))
    shutil.rmtree(world.states(about).folder / "0")

    async with world.open(about) as log, kept(log):
        rebuilt = (await log.states.of("Account", [ACCOUNT]))[ACCOUNT].fields
    assert rebuilt == expected
    ids = {(each.value or b"")[1:5] for each in await world.states(about).records()}
    assert len(ids) > 1


def value_of(kind: str, number: int) -> Any:
    """Return a value of a type."""
    values = {"double": number + 0.5, "currency": float(number), "boolean": True, "date": "2026-12-01"}
    return values.get(kind, f"text {number}")
