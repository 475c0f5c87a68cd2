"""Appends whose events need schemas, with a registry in memory and a described org."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest

from streamer.errors import (
    EventsRefused,
    LogMisconfigured,
    LogUnavailable,
    RecordsRefused,
    SalesforceUnavailable,
)
from streamer.events import Event, JsonObject
from streamer.log.kafka.append.encoder import AppendEncoder, AppendRequest, Checkpoints
from streamer.log.kafka.append.growing_append import KafkaAppend, SchemaWaits
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.producer import ProducerRecord
from streamer.log.kafka.records.events import decode
from streamer.log.kafka.schemas.codecs import SchemaReaders
from streamer.log.kafka.schemas.registry import MemoryRegistry, RegistryUnavailable, SchemaIncompatible
from streamer.settings import KafkaLogSettings
from tests.contracts.values import a_checkpoint, an_event
from tests.unit.log.kafka.schemas.described import a_change


class Org:
    """An org that describes accounts; a test changes its fields."""

    def __init__(self) -> None:
        """Describe one field."""
        self.types = {"Name": "string"}
        self.failure: Exception | None = None
        self.asked = 0

    async def describe(self, entity: str, /) -> JsonObject:
        """Return the description."""
        self.asked += 1
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return {"name": entity, "fields": [{"name": each, "type": kind} for each, kind in self.types.items()]}


class World:
    """An encoder, its registry and its org, and what was written."""

    def __init__(self, **settings: Any) -> None:
        """Begin without any schema."""
        self.registry, self.org = MemoryRegistry(), Org()
        about = {"bootstrap_servers": "localhost:1", "format": "avro", **settings}
        about["schema_registry"] = {"url": "http://registry", **about.get("schema_registry", {})}
        self.clients = Clients(
            settings=KafkaLogSettings.model_validate(about), schemas=SchemaReaders(registry=self.registry)
        )
        self.encoder = AppendEncoder(self.clients, Checkpoints(self.clients))
        self.waits = SchemaWaits()
        self.written: list[ProducerRecord] = []

    def begin(self) -> KafkaAppend:
        """Return a new append."""
        return KafkaAppend(self.encoder, self._write, self.waits)

    async def append(self, *events: Event) -> None:
        """Append events in one go."""
        growing = self.begin()
        growing.add(events)
        await growing.commit(a_checkpoint(1))

    async def _write(self, append: AppendRequest) -> None:
        self.written += append.events

    @property
    def read(self) -> list[Event]:
        """Events as a reader of the same process reads them."""
        return [
            decode(each.key, each.value, each.read_headers, self.clients.schemas) for each in self.written
        ]


def a_change_of(name: str, fields: JsonObject) -> Event:
    """Return a change event of an account."""
    return replace(an_event(name, key=name), data=a_change(fields))


@pytest.fixture
def world() -> Iterator[World]:
    """A world whose log has a login."""
    world = World()
    assert world.encoder.schemas is not None
    with world.encoder.schemas.described_by(world.org):
        yield world


async def test_events_are_written_in_avro_with_a_frame(world: World) -> None:
    """The zero byte and the id are what Confluent's consumers look for; the headers tell the format."""
    await world.append(event := a_change_of("a", {"Name": "Acme"}))

    (record,) = world.written
    assert record.value[:5] == b"\0\0\0\0\1"
    assert record.topic == "salesforce.cdc.Account"
    assert record.headers["content-type"] == b"application/avro; framing=schema-id"
    assert record.headers["ce_id"] == "a"
    assert len(record.value) < len(orjson.dumps(event.data))
    assert world.read == [event]


async def test_id_can_be_in_a_header() -> None:
    """Then the value is plain Avro."""
    world = World(schema_registry={"id_in": "header"})
    assert world.encoder.schemas is not None
    with world.encoder.schemas.described_by(world.org):
        await world.append(event := a_change_of("a", {"Name": "Acme"}))

    (record,) = world.written
    assert (record.headers["schema-id"], record.headers["content-type"]) == (b"1", b"application/avro")
    assert record.value[0] != 0
    assert world.read == [event]


async def test_json_schema_has_the_same_frame() -> None:
    """The value after the frame is the event's own JSON, which needs no registry to be read."""
    world = World(format="json-schema")
    assert world.encoder.schemas is not None
    with world.encoder.schemas.described_by(world.org):
        await world.append(
            event := a_change_of("a", {"Name": "Acme", "New__c": Decimal("0.12345678901234567890")})
        )

    (record,) = world.written
    assert record.value[:5] == b"\0\0\0\0\1"
    assert record.headers["content-type"] == b"application/json; framing=schema-id"
    assert [decode(record.key, record.value, record.read_headers)] == [event]


async def test_schema_is_resolved_once(world: World) -> None:
    """Later events of the entity need no request, and are encoded at once."""
    await world.append(a_change_of("a", {"Name": "Acme"}))
    world.registry.outage = "down"
    world.org.failure = AssertionError("not asked again")

    await world.append(
        a_change_of("b", {"Name": "Bolt"}), replace(an_event("c"), type="salesforce.generic.x")
    )

    assert [event.id for event in world.read] == ["a", "b", "c"]


async def test_order_is_kept_around_an_event_without_a_schema(world: World) -> None:
    """An event behind it has a schema already, but must not overtake it."""
    await world.append(a_change_of("a", {"Name": "Acme"}))
    order = replace(
        an_event("b"), type="salesforce.event.Order__e", data={"entity": "Order__e", "fields": {}}
    )

    await world.append(a_change_of("c", {}), order, a_change_of("d", {}))

    assert [event.id for event in world.read] == ["a", "c", "b", "d"]


async def test_commits_of_a_channel_keep_their_order(world: World) -> None:
    """The second commit needs no schema, and waits for the first one, which does."""
    first, second = world.begin(), world.begin()
    first.add([a_change_of("a", {"Name": "Acme"})])
    second.add([replace(an_event("b"), type="salesforce.generic.x")])

    await asyncio.gather(first.commit(a_checkpoint(1)), second.commit(a_checkpoint(2)))

    assert [event.id for event in world.read] == ["a", "b"]


async def test_commit_behind_a_failed_one_fails(world: World) -> None:
    """It would move the checkpoint past events that were never written."""
    world.registry.outage = "down"
    first, second = world.begin(), world.begin()
    first.add([a_change_of("a", {"Name": "Acme"})])
    second.add([replace(an_event("b"), type="salesforce.generic.x")])

    failures = await asyncio.gather(
        first.commit(a_checkpoint(1)), second.commit(a_checkpoint(2)), return_exceptions=True
    )

    assert [type(each) for each in failures] == [RegistryUnavailable, LogUnavailable]
    assert world.written == []


async def test_registry_outage_is_a_failed_append_that_can_be_repeated(world: World) -> None:
    """The channel retries from its checkpoint, as it does while Kafka is down, and nothing is lost."""
    world.registry.outage = "the registry is down"
    with pytest.raises(LogUnavailable, match="down"):
        await world.append(a_change_of("a", {"Name": "Acme"}))
    health = world.clients.schemas.health
    assert (health.outage, health.failures) == ("the registry is down", 1)

    world.registry.outage = ""
    await world.append(a_change_of("a", {"Name": "Acme"}))

    assert (health.outage, health.failures) == ("", 1)
    assert [event.id for event in world.read] == ["a"]


async def test_org_outage_is_a_failed_append(world: World) -> None:
    """Without a description, there is no schema; without a login, there is no description."""
    world.org.failure = SalesforceUnavailable("busy", after_s=3.0)

    with pytest.raises(LogUnavailable, match="busy") as raised:
        await world.append(a_change_of("a", {}))

    assert raised.value.after_s == 3.0
    with pytest.raises(LogUnavailable, match="no login yet"):
        await World().append(a_change_of("a", {}))


async def test_new_field_gets_a_new_version(world: World) -> None:
    """The event that carries the field first makes Streamer describe the entity again."""
    await world.append(a_change_of("a", {"Name": "Acme"}))
    world.org.types["Phone"] = "phone"

    await world.append(a_change_of("b", {"Phone": "1"}), a_change_of("c", {"Name": "Bolt"}))

    assert [each.value[4] for each in world.written] == [1, 2, 2]
    assert [event.data["fields"] for event in world.read] == [
        {"Name": "Acme"},
        {"Phone": "1"},
        {"Name": "Bolt"},
    ]
    assert world.org.asked == 2


async def test_field_that_the_org_does_not_describe_is_asked_for_once(world: World) -> None:
    """A deleted field's last events must not cost a request each."""
    for number in range(3):
        await world.append(a_change_of(str(number), {"Gone__c": 1.5}))

    assert world.org.asked == 1
    assert [event.data["fields"] for event in world.read] == [{"Gone__c": 1.5}] * 3


async def test_undescribed_entity_is_written_without_fields(world: World) -> None:
    """The user can't read the object's definition; its events are not lost."""
    world.org.failure = RecordsRefused("no access", code="NOT_FOUND")

    await world.append(event := a_change_of("a", {"Name": "Acme", "Phone": None}))

    assert world.read == [event]


async def test_changed_type_stops_the_channel_with_the_remedy(world: World) -> None:
    """Consumers of the earlier schema could not read the new events."""
    await world.append(a_change_of("a", {"Name": "Acme"}))
    world.org.types = {"Name": "boolean", "Phone": "phone"}

    with pytest.raises(SchemaIncompatible, match=r"on_incompatible: new-topic"):
        await world.append(a_change_of("b", {"Phone": "1"}))


async def test_number_that_the_schema_can_not_hold_is_refused(world: World) -> None:
    """Such an event becomes a dead letter with the remedy, and the others are written."""
    world.org.types = {"Amount": "currency"}
    growing = world.begin()
    events = [a_change_of("a", {"Amount": 1}), a_change_of("b", {"Amount": 2**53 + 1}), a_change_of("c", {})]
    growing.add(events)

    with pytest.raises(EventsRefused, match="numbers to decimal or string") as refused:
        await growing.commit(a_checkpoint(1))

    assert refused.value.events == (events[1],)
    await growing.commit(a_checkpoint(1))
    assert world.read == [events[0], events[2]]


async def test_size_grows_before_the_schema_is_known(world: World) -> None:
    """A large answer is committed in parts, whether or not its schemas are known."""
    growing = world.begin()
    growing.add([event := a_change_of("a", {"Name": "Acme"})])
    assert growing.size == len(orjson.dumps(event.data))

    await growing.commit(a_checkpoint(1))

    assert growing.size == len(world.written[0].value)


async def test_schema_can_only_be_looked_up() -> None:
    """Where operators register schemas, Streamer registers none."""
    world = World(schema_registry={"register_schemas": False})
    assert world.encoder.schemas is not None
    refused = pytest.raises(
        LogMisconfigured, match="does not have the schema of the org's present fields: register"
    )
    with world.encoder.schemas.described_by(world.org), refused:
        await world.append(a_change_of("a", {}))

    assert "register" not in world.registry.calls
