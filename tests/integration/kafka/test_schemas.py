"""Events with schemas, in a real Kafka and a real Apicurio, read by Streamer and by others."""

import asyncio
import io
import json
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import fastavro
import pytest
from aiohttp import ClientSession

from streamer.clock import SystemClock
from streamer.errors import LogUnavailable
from streamer.events import Event, JsonObject, Start
from streamer.log.kafka.history.history import KafkaHistory
from streamer.log.kafka.log import KafkaLog
from streamer.log.kafka.schemas.registry import MemoryRegistry, SchemaIncompatible, SchemaRegistry
from streamer.normalise.malformed import as_event_time
from streamer.ports import EventSearch, Subscription
from streamer.settings import KafkaLogSettings
from tests.contracts.follower import Follower
from tests.contracts.kafka_world import read_committed
from tests.contracts.values import CHANGES, an_append, an_event, append_to
from tests.integration.kafka.cluster import TARGET
from tests.unit.log.kafka.schemas.described import a_change
from tests.waiting import limited, until
from tools.registry.go_consumer import consumed


@dataclass
class Org:
    """An org that describes accounts by the types of their fields."""

    types: dict[str, str] = field(default_factory=lambda: {"Name": "string", "AnnualRevenue": "currency"})

    async def describe(self, entity: str, /) -> JsonObject:
        """Return the description."""
        return {"name": entity, "fields": [{"name": each, "type": kind} for each, kind in self.types.items()]}


@dataclass
class Topics:
    """Topics of one test, and the registry of their schemas."""

    kafka: str
    url: str
    prefix: str = field(default_factory=lambda: f"schemas{time.time_ns()}")
    org: Org = field(default_factory=Org)
    registry: SchemaRegistry | None = None

    @property
    def topic(self) -> str:
        """The topic of accounts."""
        return f"{self.prefix}.cdc.Account"

    def settings(self, form: str, **registry: Any) -> KafkaLogSettings:
        """Return settings for a format."""
        return KafkaLogSettings.model_validate(
            {
                "bootstrap_servers": self.kafka,
                "prefix": self.prefix,
                "topic": f"{self.prefix}.{{kind}}.{{name}}",
                "partitions": 2,
                "format": form,
                "schema_registry": {"url": self.url, **registry},
                "options": {"topic.metadata.refresh.interval.ms": 250},
            }
        )

    @asynccontextmanager
    async def open(self, form: str, **registry: Any) -> AsyncIterator[KafkaLog]:
        """Open the log with a login."""
        settings = self.settings(form, **registry)
        async with KafkaLog.open(settings, SystemClock(), registry=self.registry) as log:
            with log.described_by(self.org):
                await log.checkpoint(CHANGES)
                yield log


@pytest.fixture
def topics(kafka: str, registry_url: str) -> Topics:
    """Topics and subjects of their own on the shared broker and registry."""
    return Topics(kafka, registry_url)


def a_change_of(name: str, fields: JsonObject, key: str = "") -> Event:
    """Return a change event of an account, which happened now."""
    now = as_event_time(datetime.now(UTC))
    return replace(an_event(name, key=key or name), time=now, data=a_change(fields))


async def followed(log: KafkaLog, *ids: str) -> list[Event]:
    """Return what a new subscriber reads, until it has read the events `ids`."""
    subscription = Subscription(subscriber=TARGET, patterns=("salesforce.*",), start=Start.EARLIEST)
    async with log.follow(subscription) as feed:
        follower = Follower(feed)
        await follower.read_until(*ids)
        return follower.events


async def test_every_reader_reads_a_topic_whose_format_was_switched(topics: Topics) -> None:
    """Records in JSON before the switch, and in all three formats behind it, are the same events."""
    events = [a_change_of(str(number), {"Name": "Åcme", "AnnualRevenue": 12.5}, "one") for number in range(4)]
    switches: Sequence[tuple[str, Mapping[str, str]]] = (
        *(("json", {}), ("avro", {}), ("json-schema", {"subjects": "topic-record"})),
        ("avro", {"id_in": "header"}),
    )
    for number, (form, registry) in enumerate(switches):
        async with topics.open(form, **registry) as log:
            await append_to(log, an_append(events[number], at=number))

    async with topics.open("json") as log:
        assert await followed(log, "3") == events
        found = await log.history.find(EventSearch(record="one", oldest_first=True))
        assert [each.entry.event for each in found.events] == events
        entry = found.events[1].entry
        at = await log.history.at(entry.partition, entry.offset)
        assert at is not None
        assert at.entry.event == events[1]
    async with KafkaHistory.open(topics.settings("json")) as history:
        start = await history.start("Account", time.time() - 3_600)
        pages = [page async for page in history.changes("Account", start)]
        assert [event for page in pages for event in page.events] == events


async def test_live_tail_shows_events_in_avro(topics: Topics) -> None:
    """A process that has written nothing fetches the schemas that it reads."""
    async with topics.open("avro") as log:
        await append_to(log, an_append(a_change_of("0", {"Name": "first"}), at=0))
        async with KafkaHistory.open(topics.settings("avro")) as history:
            pages = history.appended()
            await anext(pages)
            await append_to(log, an_append(event := a_change_of("1", {"Name": "second"}), at=1))
            async with limited("the event in the tail"):
                while not (found := (await anext(pages)).events):
                    pass
            await pages.aclose()
    assert [each.entry.event for each in found] == [event]


async def test_independent_reader_decodes_by_the_registry(topics: Topics) -> None:
    """The library fastavro and the registry's answers are enough; the subject has its compatibility."""
    async with topics.open("avro") as log:
        await append_to(log, an_append(a_change_of("a", {"AnnualRevenue": None}), at=1))

    (message,) = read_committed(topics.kafka, topics.topic, 2)
    value = message.value() or b""
    about, versions, level = [
        await asked(f"{topics.url}/{path}")
        for path in (
            f"schemas/ids/{int.from_bytes(value[1:5], 'big')}",
            f"subjects/{topics.topic}-value/versions",
            f"config/{topics.topic}-value",
        )
    ]
    schema = fastavro.parse_schema(json.loads(about["schema"]))
    found: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)
    assert found["fields"] == {"Name": None, "AnnualRevenue": None}
    assert found["null_fields"] == ["AnnualRevenue"]
    assert versions == [1]
    assert level == {"compatibilityLevel": "BACKWARD"}


async def test_go_client_reads_every_version(topics: Topics) -> None:
    """A consumer in another language, with its own clients of Kafka and of the registry, gets the types."""
    async with topics.open("avro") as log:
        await append_to(
            log, an_append(a_change_of("a", {"Name": "Åcme", "AnnualRevenue": 12.5}, "one"), at=1)
        )
        topics.org.types |= {"Active__c": "boolean", "LastModifiedDate": "datetime"}
        fields = {"Active__c": True, "LastModifiedDate": "2026-12-01T00:00:00.250Z", "AnnualRevenue": None}
        await append_to(log, an_append(a_change_of("b", fields, "one"), at=2))

    first, second = await asyncio.to_thread(consumed, topics.kafka, topics.url, topics.topic, 2)

    assert (first["key"], first["data"]["fields"]) == ("one", {"Name": "Åcme", "AnnualRevenue": 12.5})
    assert second["data"]["fields"] == {
        "Active__c": True,
        "AnnualRevenue": None,
        "LastModifiedDate": "2026-12-01T00:00:00.25Z",
        "Name": None,
    }
    assert second["data"]["null_fields"] == {"array": ["AnnualRevenue"]}


async def test_incompatible_type_is_refused_by_the_real_registry(topics: Topics) -> None:
    """The registry's own check decides, before anything is written."""
    async with topics.open("avro") as log:
        await append_to(log, an_append(a_change_of("a", {"Name": "Acme"}), at=1))
    topics.org.types["Name"] = "double"

    async with topics.open("avro") as log:
        with pytest.raises(SchemaIncompatible, match="set the compatibility of the subject"):
            await append_to(log, an_append(a_change_of("b", {"Name": 1.5}), at=2))

    assert len(read_committed(topics.kafka, topics.topic, 2)) == 1


async def test_incompatible_type_can_go_on_in_a_new_topic(topics: Topics) -> None:
    """Consumers of the first topic keep its schema, and Streamer's own readers read both topics."""
    options = {"on_incompatible": "new-topic"}
    events = [
        a_change_of("a", {"Name": "Acme"}),
        a_change_of("b", {"Name": 1.5}),
        a_change_of("c", {"Name": 2.5}),
    ]
    async with topics.open("avro", **options) as log:
        await append_to(log, an_append(events[0], at=1))
    topics.org.types["Name"] = "double"
    for number in (1, 2):
        async with topics.open("avro", **options) as log:
            await append_to(log, an_append(events[number], at=number + 1))

    assert len(read_committed(topics.kafka, topics.topic, 2)) == 1
    assert len(read_committed(topics.kafka, f"{topics.topic}.v2", 2)) == 2
    async with topics.open("avro") as log:
        assert await followed(log, "a", "b", "c") == events
        found = await log.history.find(EventSearch(oldest_first=True))
        assert {each.entry.event.id for each in found.events} == {"a", "b", "c"}
        start = await log.history.start("Account", time.time() - 3_600)
        pages = [page async for page in log.history.changes("Account", start)]
        assert [event.id for page in pages for event in page.events] == ["a", "b", "c"]
        assert await log.appended_since(["salesforce.cdc.*"], time.time() - 3_600) >= 3


async def test_reader_waits_for_the_registry_in_its_group(topics: Topics) -> None:
    """It waits as for Kafka itself: no event becomes a dead letter, and no partition moves."""
    topics.registry = registry = MemoryRegistry()
    async with topics.open("avro") as log:
        await append_to(log, an_append(event := a_change_of("a", {"Name": "Acme"}), at=1))
    registry.outage = "the registry is down"

    async with topics.open("avro") as log:
        reading = asyncio.create_task(followed(log, "a"))
        await until(lambda: log.schema_outage)
        with pytest.raises(LogUnavailable, match="down"):
            await log.history.find(EventSearch(record="a"))
        registry.outage = ""
        assert await reading == [event]
        assert log.schema_outage == ""


@pytest.mark.parametrize("form", ["avro", "json-schema"])
async def test_thirty_changes_of_the_schema_stop_no_reader(topics: Topics, form: str) -> None:
    """Fields come and go while events flow; a reader with the newest schema reads all of them."""
    drawn = random.Random(1)  # noqa: S311 - draws a test
    names, events = [f"F{number}__c" for number in range(12)], list[Event]()
    # A field that comes back has its former type; other types are another test.
    kinds: dict[str, str] = {}
    async with topics.open(form) as log:
        for number in range(31):
            types = topics.org.types
            events.append(
                a_change_of(str(number), {name: _value(types[name], number) for name in types}, "one")
            )
            await append_to(log, an_append(events[-1], at=number))
            name = drawn.choice(names)
            if name in types and drawn.random() < 0.5:
                del types[name]
            else:
                kind = kinds.setdefault(
                    name, drawn.choice(["string", "double", "boolean", "date", "picklist"])
                )
                types[name] = kind
        assert await followed(log, "30") == events
    messages = read_committed(topics.kafka, topics.topic, 2)
    ids = {int.from_bytes((each.value() or b"")[1:5], "big") for each in messages}
    assert len(ids) > 1
    if form == "avro":
        await _check_upgraded_reader(topics, [each.value() or b"" for each in messages])


def _value(kind: str, number: int) -> Any:
    values = {"double": number + 0.5, "currency": float(number), "boolean": True, "date": "2026-12-01"}
    return values.get(kind, f"text {number}")


async def asked(url: str) -> Any:
    """Return the JSON that the registry answers."""
    async with ClientSession() as http, http.get(url) as answer:
        return await answer.json(content_type=None)


async def _check_upgraded_reader(topics: Topics, values: Sequence[bytes]) -> None:
    """Read every value with the newest schema, as a consumer does that was upgraded first."""
    ids = {int.from_bytes(value[1:5], "big") for value in values}
    about = {each: await asked(f"{topics.url}/schemas/ids/{each}") for each in ids}
    schemas = {each: fastavro.parse_schema(json.loads(found["schema"])) for each, found in about.items()}
    for value in values:
        writer = schemas[int.from_bytes(value[1:5], "big")]
        found: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), writer, schemas[max(schemas)])
        assert found["entity"] == "Account"
