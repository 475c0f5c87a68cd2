"""An independent reader of committed records, and their comparison."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from tests.bench.results import Unequal

_DEADLINE_S = 120.0
_QUIET_S = 1.0
_LOOK_S = 0.02
# Enough to see every kind of change in every partition.
_EVERY = 499
_SHOWN = 300

Place = tuple[int, int]
"""A partition, and which of its records."""


class Written(NamedTuple):
    """Everything that a producer decides of a record but its topic."""

    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]
    timestamp_ms: int


@dataclass(slots=True)
class Committed:
    """The committed records of one topic: how many there are, and some of them."""

    count: int = 0
    sample: dict[Place, Written] = field(default_factory=dict)


async def committed(
    kafka: str, events: str, checkpoints: str, *, expected: int
) -> tuple[Committed, Committed]:
    """Return what is committed to the topics of events, `expected` records or not, and of checkpoints.

    Of the checkpoints the newest is kept, without the moment in it and of it.
    """
    found, newest = Committed(), Committed()
    counts: dict[int, int] = defaultdict(int)
    async for record in _records(kafka, events, checkpoints, expected):
        if record.topic == checkpoints:
            fields = orjson.loads(record.value or b"")
            del fields["verified_at"]
            kept = _written(record)._replace(value=orjson.dumps(fields), timestamp_ms=0)
            newest.sample = {(record.partition, 0): kept}
            newest.count += 1
            continue
        number = counts[record.partition]
        if number % _EVERY == 0:
            found.sample[record.partition, number] = _written(record)
        counts[record.partition] += 1
        found.count += 1
    return found, newest


async def transactions(kafka: str, checkpoints: str) -> int:
    """Return how many transactions moved the checkpoint of a single channel."""
    async with AIOKafkaConsumer(bootstrap_servers=kafka, isolation_level="read_committed") as consumer:
        # The checkpoint, and the marker that ends the transaction.
        return await _end(consumer, checkpoints) // 2


async def last_commit(kafka: str, checkpoints: str) -> float:
    """Return the moment (monotonic) of the last transaction, once none has followed it for a second.

    An append grows for a quarter of a second at most.
    """
    last, at = 0, time.monotonic()
    async with (
        asyncio.timeout(_DEADLINE_S),
        AIOKafkaConsumer(bootstrap_servers=kafka, isolation_level="read_committed") as consumer,
    ):
        while not last or time.monotonic() - at < _QUIET_S:
            end = await _end(consumer, checkpoints)
            if end != last:
                last, at = end, time.monotonic()
            await asyncio.sleep(_LOOK_S)
    return at


async def _end(consumer: AIOKafkaConsumer, checkpoints: str) -> int:
    ends = await consumer.end_offsets([TopicPartition(checkpoints, number) for number in range(8)])
    return sum(ends.values())


def check_equal(streamer: Committed, probe: Committed) -> None:
    """Compare what both wrote; raises `Unequal` for the first difference."""
    for place in sorted(streamer.sample.keys() | probe.sample.keys()):
        ours, bare = streamer.sample.get(place), probe.sample.get(place)
        if ours == bare:
            continue
        if ours is None or bare is None:
            raise Unequal(
                f"{_named(place)} is missing where {'Streamer' if ours is None else 'the probe'} wrote"
            )
        part = next(name for name in Written._fields if getattr(ours, name) != getattr(bare, name))
        raise Unequal(
            f"the bare probe does not write what Streamer writes: in {_named(place)} the {part} differs:\n"
            f"  Streamer {_shown(getattr(ours, part))}\n  probe    {_shown(getattr(bare, part))}"
        )


def _named(place: Place) -> str:
    partition, number = place
    return f"record {number} of partition {partition}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _written(record: "ConsumerRecord[bytes, bytes]") -> Written:
    return Written(record.key, record.value, dict(record.headers), record.timestamp)


async def _records(
    kafka: str, events: str, checkpoints: str, expected: int
) -> AsyncIterator["ConsumerRecord[bytes, bytes]"]:
    count = 0
    end = time.monotonic() + _DEADLINE_S
    async with AIOKafkaConsumer(
        events,
        checkpoints,
        bootstrap_servers=kafka,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    ) as consumer:
        while (found := await consumer.getmany(timeout_ms=500)) or (
            count < expected and time.monotonic() < end
        ):
            for partition, records in found.items():
                count += len(records) if partition.topic == events else 0
                for record in records:
                    yield record
