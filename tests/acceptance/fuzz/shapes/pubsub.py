"""Hostile answers of the Pub/Sub API, and hostile schemas."""

import asyncio
from typing import Any

import orjson

from streamer.eventbus import ConsumerEvent, FetchResponse, ProducerEvent
from tests.acceptance.fuzz.besieged import Besieged
from tests.acceptance.fuzz.shapes.shape import MB, many, shape
from tests.pubsub_server import order, replay_id, uuid
from tests.waiting import until

_SCHEMA_FIELDS = 16_170
_GOOD = 2
# A longer schema is refused for its length.
_SCHEMA_CHARACTERS = 1_048_576


async def _raw(besieged: Besieged, *raw: bytes) -> None:
    besieged.bus.answer_with(*raw)

    async def were_given() -> bool:
        return not besieged.bus.raw

    await until(were_given)
    await besieged.settled()


@shape("pubsub: a million empty events")
async def _(besieged: Besieged, size: float) -> None:
    await _raw(besieged, b"\x0a\x00" * many(size, 1_000_000))


@shape("pubsub: eight million empty events")
async def _(besieged: Besieged, size: float) -> None:
    await _raw(besieged, b"\x0a\x00" * many(size, 8_000_000))


@shape("pubsub: unknown fields by the million")
async def _(besieged: Besieged, size: float) -> None:
    # Field 15, which the protocol does not define.
    await _raw(besieged, b"\x78\x01" * many(size, 4_000_000))


@shape("pubsub: an event of 30 MB")
async def _(besieged: Besieged, size: float) -> None:
    event = ConsumerEvent(
        event=ProducerEvent(id=uuid(1), schema_id="s", payload=bytes(many(size, 30 * MB))),
        replay_id=replay_id(1),
    )
    await _raw(besieged, FetchResponse(events=[event]).SerializeToString())


@shape("pubsub: a replay id of 16 MB")
async def _(besieged: Besieged, size: float) -> None:
    await _raw(besieged, FetchResponse(latest_replay_id=b"x" * many(size, 16 * MB)).SerializeToString())


async def _schemas(besieged: Besieged, schemas: list[str], payload: bytes) -> None:
    for schema in schemas:
        besieged.number += 1
        name = f"hostile-{besieged.number}"
        besieged.bus.schemas[name] = schema
        event = ProducerEvent(id=uuid(besieged.number), schema_id=name, payload=payload)
        besieged.bus.publish(ConsumerEvent(event=event, replay_id=replay_id(besieged.number)))
        for _ in range(_GOOD):
            # A channel most of whose events can't be read is stopped, and rightly so.
            besieged.number += 1
            besieged.bus.publish(order(besieged.number, at=besieged.clock.now()))
        await asyncio.sleep(0.05)
    await besieged.settled()


def _record(fields: list[Any], name: str = "Order_Placed__e") -> str:
    return orjson.dumps({"type": "record", "name": name, "fields": fields}).decode()


@shape("pubsub: schemas of 1 MB with 16,170 fields")
async def _(besieged: Besieged, size: float) -> None:
    fields = [
        {"name": f"F{number}__c", "type": ["null", "string"], "default": None}
        for number in range(_SCHEMA_FIELDS)
    ]
    # None is the same as another.
    schemas = [_record(fields, f"Order_{number}__e") for number in range(many(size, 30))]
    assert len(schemas[0]) < _SCHEMA_CHARACTERS
    await _schemas(besieged, schemas, b"\x00" * _SCHEMA_FIELDS)


@shape("pubsub: a schema of arrays within arrays")
async def _(besieged: Besieged, size: float) -> None:
    depth = many(size, 40_000)
    deep = '{"type":"array","items":' * depth + '"null"' + "}" * depth
    await _schemas(besieged, [_record([{"name": "N", "type": "@"}]).replace('"@"', deep)], b"\x02" * depth)


@shape("pubsub: a schema that contains itself")
async def _(besieged: Besieged, size: float) -> None:
    schema = _record([{"name": "next", "type": ["null", "Order_Placed__e"]}])
    await _schemas(besieged, [schema], b"\x02" * many(size, 2 * MB) + b"\x00")


@shape("pubsub: an array of nothing, very often")
async def _(besieged: Besieged, size: float) -> None:
    schema = _record([{"name": "N", "type": {"type": "array", "items": "null"}}])
    # Two thousand million items without a byte.
    count = b"\x80\x80\x80\x80\x10" if size >= 1 else b"\x80\x80\x80\x01"
    await _schemas(besieged, [schema], count + b"\x00")


@shape("pubsub: a schema of brackets")
async def _(besieged: Besieged, size: float) -> None:
    await _schemas(besieged, ["[" * many(size, MB)], b"")
