"""Events from Kafka to an HTTP target, in order per key: what a good engineer writes in a day.

`python -m tests.bench.deliveries.plain_script KAFKA TOPIC GROUP URL` delivers until interrupted.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Collection
from contextlib import suppress

import aiohttp
import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition

_LANES = 32
_WAITING_IN_A_LANE = 100
_COMMIT_EVERY_S = 1.0
TIMEOUT_S = 10.0
_PAUSES_S = (0.1, 0.5, 2.0, 10.0)
HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}

Record = ConsumerRecord[bytes, bytes]
Lane = asyncio.Queue[tuple[TopicPartition, Record]]


class Offsets:
    """Which records are finished: offsets are committed up to the first that is not."""

    def __init__(self) -> None:
        """Begin without partitions."""
        self._begun: dict[TopicPartition, deque[int]] = {}
        self._finished: dict[TopicPartition, set[int]] = {}

    def begin(self, partition: TopicPartition, offset: int) -> None:
        """Note that a record was read; they come in order."""
        self._begun.setdefault(partition, deque()).append(offset)
        self._finished.setdefault(partition, set())

    def finish(self, partition: TopicPartition, offset: int) -> None:
        """Note that a record was delivered."""
        if partition in self._finished:
            self._finished[partition].add(offset)

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Drop partitions that are another's now."""
        for partition in partitions:
            self._begun.pop(partition, None)
            self._finished.pop(partition, None)

    def advance(self) -> dict[TopicPartition, int]:
        """Return what can be committed and was not before."""
        found = {}
        for partition, begun in self._begun.items():
            finished = self._finished[partition]
            while begun and begun[0] in finished:
                offset = begun.popleft()
                finished.remove(offset)
                found[partition] = offset + 1
        return found


class Relay(ConsumerRebalanceListener):
    """Reads, delivers and commits."""

    def __init__(self, consumer: AIOKafkaConsumer, http: aiohttp.ClientSession, url: str) -> None:
        """Deliver what `consumer` reads to `url`."""
        self._consumer = consumer
        self._http = http
        self._url = f"{url}/shipments"
        self._offsets = Offsets()
        self._lanes: list[Lane] = [asyncio.Queue(_WAITING_IN_A_LANE) for _ in range(_LANES)]

    async def run(self) -> None:
        """Deliver until cancelled, and commit what is finished then."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for number, lane in enumerate(self._lanes):
                    tasks.create_task(self._deliver(lane), name=f"lane {number}")
                tasks.create_task(self._commit_now_and_then(), name="commit")
                await self._read()
        finally:
            await self._commit()

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Finish what is under way before another process begins with it."""
        for lane in self._lanes:
            await lane.join()
        await self._commit()
        self._offsets.forget(revoked)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Begin where the last commit was."""

    async def _read(self) -> None:
        while True:
            for partition, records in (await self._consumer.getmany(timeout_ms=1000)).items():
                for record in records:
                    self._offsets.begin(partition, record.offset)
                    await self._lanes[hash(record.key) % _LANES].put((partition, record))

    async def _deliver(self, lane: Lane) -> None:
        while True:
            partition, record = await lane.get()
            await self.post(record)
            self._offsets.finish(partition, record.offset)
            lane.task_done()

    async def post(self, record: Record) -> None:
        """Deliver one record, with retries."""
        event_id = dict(record.headers)["ce_id"].decode()
        body = orjson.dumps({"order": event_id, "data": orjson.loads(record.value or b"")})
        key = f"{event_id}:target"
        headers = {"Content-Type": "application/json", "Idempotency-Key": key, "webhook-id": key}
        for pause_s in _PAUSES_S:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with self._http.post(self._url, data=body, headers=headers) as response:
                    await response.read()
                    if response.ok:
                        return
            await asyncio.sleep(pause_s)
        raise RuntimeError(f"the target does not take {event_id}")

    async def _commit_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_COMMIT_EVERY_S)
            await self._commit()

    async def _commit(self) -> None:
        if offsets := self._offsets.advance():
            await self._consumer.commit(offsets)


async def relay(kafka: str, topic: str, group: str, url: str) -> None:
    """Deliver what is in `topic` from its beginning, as the consumer group `group`."""
    async with (
        AIOKafkaConsumer(
            bootstrap_servers=kafka,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        ) as consumer,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_LANES),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            headers=HEADERS,
        ) as http,
    ):
        relay = Relay(consumer, http, url)
        consumer.subscribe([topic], listener=relay)
        await relay.run()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(relay(*sys.argv[1:]))
