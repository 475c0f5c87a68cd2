"""Notes of the events committed to a log's topics, taken by another project's client."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from tests.waiting import until

_POLL_MS = 20
_NEW_TOPICS_MS = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One event; the moments are epoch seconds, and `read_at` is soon after the commit."""

    topic: str
    key: str
    id: str
    happened_at: float
    read_at: float

    @property
    def waited_s(self) -> float:
        """The time from the commit in Salesforce until it could be read."""
        return self.read_at - self.happened_at


class Arrivals:
    """Reads along, as `read_committed`, whatever is appended to some topics."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        """Use `reading`, which also begins to."""
        self._consumer = consumer
        self._next: dict[TopicPartition, int] = defaultdict(int)
        self.all: list[Arrival] = []
        """Everything so far; that of one key in its order."""

    @classmethod
    @asynccontextmanager
    async def reading(cls, kafka: str, *, prefix: str) -> AsyncIterator["Arrivals"]:
        """Read all topics whose names begin with `prefix` and a dot, also those that are made later."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            metadata_max_age_ms=_NEW_TOPICS_MS,
        )
        consumer.subscribe(pattern=rf"^{prefix}\..*")
        async with consumer:
            arrivals = cls(consumer)
            reading = asyncio.create_task(arrivals._read(), name="arrivals")
            try:
                yield arrivals
            finally:
                reading.cancel()
                await asyncio.wait([reading])

    async def longest_wait_s(self, *, topics: int, since: float) -> float:
        """Wait until what happens now arrives in so many topics; return how long any since `since` waited."""
        return max((await self.longest_waits_s(topics=topics, since=since)).values())

    async def longest_waits_s(self, *, topics: int, since: float) -> dict[str, float]:
        """Return the same for each topic."""
        now = time.time()

        async def flowing() -> bool:
            return len({each.topic for each in self._since(now)}) == topics

        await until(flowing)
        longest: dict[str, float] = {}
        for each in self._since(since):
            longest[each.topic] = max(each.waited_s, longest.get(each.topic, 0.0))
        return longest

    def _since(self, moment: float) -> list[Arrival]:
        return [each for each in self.all if each.happened_at > moment]

    async def _read(self) -> None:
        while True:
            found = await self._consumer.getmany(timeout_ms=_POLL_MS)
            now = time.time()
            for partition, records in found.items():
                self.all += [_arrival(record, now) for record in self._new(partition, records)]

    def _new(
        self, partition: TopicPartition, records: Iterable["ConsumerRecord[bytes, bytes]"]
    ) -> Iterable["ConsumerRecord[bytes, bytes]"]:
        # aiokafka begins every partition again when a topic joins the pattern.
        for record in records:
            if record.offset >= self._next[partition]:
                self._next[partition] = record.offset + 1
                yield record


def _arrival(record: "ConsumerRecord[bytes, bytes]", now: float) -> Arrival:
    headers = dict(record.headers)
    return Arrival(
        topic=record.topic,
        key=(record.key or b"").decode(),
        id=headers["ce_id"].decode(),
        happened_at=datetime.fromisoformat(headers["ce_time"].decode()).timestamp(),
        read_at=now,
    )
