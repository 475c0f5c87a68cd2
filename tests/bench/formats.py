"""The formats of events: Avro beside JSON, in the whole daemon and in its append alone."""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from streamer.clock import SystemClock
from streamer.events import Event, JsonObject
from streamer.log.kafka.log import KafkaLog
from streamer.log.kafka.schemas.registry import MemoryRegistry
from streamer.settings import KafkaLogSettings
from tests.bench.events import CHANNEL, a_change, append, record_id
from tests.bench.ingest.pubsub_measuring import PubSubBench
from tests.bench.results import Part, Ratio, Row, measured
from tools.registry.apicurio import Apicurio

_BATCH = 1_000
_WARM_UP = 2
_TYPES = ("string", "picklist", "double", "datetime", "boolean", "date")
# An object of a medium-sized org has about this many fields, and a change carries some of them.
_FIELDS = 60
_CHANGED = 8

Format = Literal["json", "avro"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Formats(Part):
    """CPU of an event in microseconds, one of each in each round, and bytes of its value.

    `way` is the daemon's whole work, from the Pub/Sub API to the commit in Kafka. The
    other figures are of the append alone.
    """

    way_json_us: Sequence[float]
    way_avro_us: Sequence[float]
    json_us: Sequence[float]
    avro_us: Sequence[float]
    json_bytes: float
    avro_bytes: float

    @property
    def complete(self) -> bool:
        """True: an append that fails ends the bench."""
        return True

    def ratios(self) -> Sequence[Ratio]:
        """Return Avro divided by JSON."""
        way = [avro / json for avro, json in zip(self.way_avro_us, self.way_json_us, strict=True)]
        cpu = [avro / json for avro, json in zip(self.avro_us, self.json_us, strict=True)]
        return [
            Ratio(what="Pub/Sub into Kafka, CPU of an event: Avro ÷ JSON", each=way, aim="1.2 or less"),
            Ratio(what="append alone, CPU of an event: Avro ÷ JSON", each=cpu),
            Ratio(
                what="append, bytes of a value: Avro ÷ JSON",
                each=[self.avro_bytes / self.json_bytes],
                aim="less than 1",
            ),
        ]

    def figures(self) -> Sequence[Row]:
        """Return the figures of both formats."""
        return [
            Row("Pub/Sub into Kafka in JSON, CPU of an event", measured(self.way_json_us, "{:.1f} µs")),
            Row("Pub/Sub into Kafka in Avro, CPU of an event", measured(self.way_avro_us, "{:.1f} µs")),
            Row("append in JSON, CPU of an event", measured(self.json_us, "{:.1f} µs")),
            Row("append in Avro, CPU of an event", measured(self.avro_us, "{:.1f} µs")),
            Row("append in JSON, a value", f"{self.json_bytes:.0f} bytes"),
            Row("append in Avro, a value", f"{self.avro_bytes:.0f} bytes"),
        ]


class _Org:
    """An org that describes one object."""

    async def describe(self, entity: str, /) -> JsonObject:
        """Return the description."""
        fields = [{"name": f"Field{each}__c", "type": _TYPES[each % len(_TYPES)]} for each in range(_FIELDS)]
        return {"name": entity, "fields": [*fields, {"name": "LastModifiedDate", "type": "datetime"}]}


def _event(number: int) -> Event:
    changed = {
        f"Field{each}__c": _value(each, number) for each in range(number % 7, _FIELDS, _FIELDS // _CHANGED)
    }
    fields = {**changed, "LastModifiedDate": "2026-11-01T00:00:00.000Z"}
    event = a_change(number, record_id(number, 5_000))
    transaction = {
        "key": f"0004d3a1-7b0e-{number:012d}",
        "sequence": 1,
        "commit_number": 1_000_000_000 + number,
        "user": "005000000000001AAA",
        "origin": "com/salesforce/api/soap/64.0;client=Workbench",
    }
    data = {
        "record_id": event.key,
        "entity": "Account",
        "change": "UPDATE",
        "fields": fields,
        "changed_fields": list(fields),
        "nulled_fields": [],
        "transaction": transaction,
    }
    return replace(event, data=data)


def _value(each: int, number: int) -> Any:
    match _TYPES[each % len(_TYPES)]:
        case "double":
            return number * 0.25
        case "datetime":
            return f"2026-11-01T00:{number % 60:02d}:00.000Z"
        case "boolean":
            return number % 2 == 0
        case "date":
            return f"2026-11-{number % 28 + 1:02d}"
        case _:
            return f"{number * 7919 % 100_003} and some words"


async def formats_of(
    bench: PubSubBench, *, backlog: int, events: int, rounds: int, progress: Callable[[int], object]
) -> Formats:
    """Carry the org's `backlog` and append so many `events` in each format, in turn, `rounds` times.

    A registry runs as a process of its own, whose CPU does not count.
    """
    made = [_event(number) for number in range(events)]
    way: dict[Format, list[float]] = {"json": [], "avro": []}
    alone: dict[Format, list[float]] = {"json": [], "avro": []}
    size: dict[Format, float] = {}
    with Apicurio() as registry:
        for name, each in rounds * [*way.items()]:
            log = {"format": name, "schema_registry": {"url": registry.url}}
            _, drain = await bench.carried(backlog, progress, log)
            each.append(drain.cpu_us_per_event)
            us, size[name] = await _appended(bench.kafka, name, made)
            alone[name].append(us)
            progress(events)
    return Formats(
        way_json_us=way["json"],
        way_avro_us=way["avro"],
        json_us=alone["json"],
        avro_us=alone["avro"],
        json_bytes=size["json"],
        avro_bytes=size["avro"],
    )


async def _appended(kafka: str, name: Format, events: Sequence[Event]) -> tuple[float, float]:
    """Append the events; return the CPU of one in microseconds, and the bytes of its value."""
    unique = f"bench-{uuid.uuid4().hex[:8]}"
    settings = KafkaLogSettings.model_validate(
        {
            "bootstrap_servers": kafka,
            "prefix": unique,
            "topic": f"{unique}.{{kind}}.{{name}}",
            "format": name,
            "schema_registry": {"url": "http://localhost"},
        }
    )
    parts = [events[begin : begin + _BATCH] for begin in range(0, len(events), _BATCH)]
    async with KafkaLog.open(settings, SystemClock(), registry=MemoryRegistry()) as log:
        with log.described_by(_Org()):
            await log.checkpoint(CHANNEL)
            for part in parts[:_WARM_UP]:
                await append(log, part)
            began = time.process_time()
            for part in parts:
                await append(log, part)
            took = time.process_time() - began
            growing = log.begin(CHANNEL)
            growing.add(events)
    return took / len(events) * 1e6, growing.size / len(events)
