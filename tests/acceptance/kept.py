"""A log's contents, read with other projects' tools."""

import asyncio
import sqlite3
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, Protocol

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from streamer.events import JsonObject
from tests.acceptance.sent import Seen
from tests.schemas import RECORDS, CheckedTopics
from tests.waiting import until

_READ_S = 2.0
_STILL_S = 30.0


class Kept(Protocol):
    """A log in use, and who reads along."""

    @property
    def configuration(self) -> dict[str, Any]:
        """The section `log` of a daemon that writes it."""
        ...

    async def events(self) -> list[Seen]:
        """Return every committed event so far, those of a key in their order."""
        ...

    async def receipts(self) -> list[JsonObject]:
        """Return every committed receipt so far, as it lies there."""
        ...

    async def parked(self, subscriber: str) -> dict[str, JsonObject]:
        """Return how the head of each lane has failed that a subscriber has parked."""
        ...


class KeptInSqlite:
    """A file, read with nothing but the standard library."""

    def __init__(self, directory: Path) -> None:
        """Keep it in `directory`."""
        self.path = directory / "log.db"
        self.configuration: dict[str, Any] = {"sqlite": {"path": str(self.path)}}

    async def events(self) -> list[Seen]:
        """Return what was committed."""
        return [Seen(body["key"], body["id"]) for body in self.rows("events")]

    def events_after(self, count: int) -> list[Seen]:
        """Return what was committed after the first `count` events."""
        query = "SELECT body FROM events ORDER BY seq LIMIT -1 OFFSET ?"
        found = [orjson.loads(body) for (body,) in self._found(query, count)]
        return [Seen(body["key"], body["id"]) for body in found]

    async def receipts(self) -> list[JsonObject]:
        """Return what was committed."""
        return self.rows("receipts")

    async def parked(self, subscriber: str) -> dict[str, JsonObject]:
        """Return what was committed."""
        query = "SELECT lane, setback FROM parked_lanes WHERE subscriber = ?"
        return {lane: orjson.loads(setback) for lane, setback in self._found(query, subscriber)}

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return the decoded records of `table`; none before the file is there."""
        order = "rowid" if table == "dead_letters" else "seq"
        query = f"SELECT body FROM {table} ORDER BY {order}"  # noqa: S608 - names of ours
        return [orjson.loads(body) for (body,) in self._found(query)]

    def _found(self, query: str, *values: str | int) -> list[tuple[Any, ...]]:
        if not self.path.exists():
            return []
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
            try:
                return connection.execute(query, values).fetchall()
            except sqlite3.OperationalError:
                # Killed before the tables were made.
                return []


class KeptInKafka:
    """Topics of their own on a real broker, read by aiokafka as any service downstream would.

    Their records must keep the published schemas.
    """

    def __init__(self, address: str, *, unique: str = "") -> None:
        """Keep it at `address`: apart from every other test, or in the topics of the test `unique`."""
        self._address = address
        self.unique = unique or uuid.uuid4().hex[:8]
        self._prefix = f"streamer-{self.unique}"
        self.configuration: dict[str, Any] = {
            "kafka": {
                "bootstrap_servers": address,
                "prefix": self._prefix,
                "topic": f"t{self.unique}.{{kind}}.{{name}}",
                "partitions": 3,
                # A killed member's share is free this soon.
                "session_timeout_s": 1,
            }
        }
        self._events: list[Seen] = []
        self._beside: dict[str, list[ConsumerRecord[bytes, bytes]]] = defaultdict(list)
        self._next: dict[TopicPartition, int] = defaultdict(int)
        self._consumer: Any = None
        self._checked = CheckedTopics()

    @asynccontextmanager
    async def read_whole(self) -> AsyncIterator["KeptInKafka"]:
        """Let a new consumer read everything, and yield what it has read.

        A consumer can stand still for good when brokers and connections fail around it.
        """
        anew = KeptInKafka(self._address, unique=self.unique)
        async with anew.reading():
            # An open transaction can hide the end; then the caller finds that records are missing.
            with suppress(AssertionError):
                await until(anew._is_read, progress=lambda: anew.counts, limit_s=_STILL_S)
            yield anew

    async def _is_read(self) -> bool:
        await self._read_on()
        partitions = self._consumer.assignment()
        ends = await self._consumer.end_offsets(partitions)
        return bool(partitions) and all(
            [await self._consumer.position(partition) >= end for partition, end in ends.items()]
        )

    @asynccontextmanager
    async def reading(self) -> AsyncIterator["KeptInKafka"]:
        """Read along inside the context."""
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self.configuration["kafka"]["bootstrap_servers"],
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            metadata_max_age_ms=250,
        )
        beside = "|".join(("parked", *RECORDS))
        self._consumer.subscribe(pattern=rf"^(t{self.unique}|{self._prefix}\.({beside}))(\..*)?$")
        await self._consumer.start()
        try:
            yield self
            await self._read_on()
        finally:
            await self._consumer.stop()
        assert self._checked.mistakes == []

    async def events(self) -> list[Seen]:
        """Return what was committed."""
        await self._read_on()
        return self._events

    @property
    def counts(self) -> tuple[int, int]:
        """Return how many events and receipts have been read so far."""
        return len(self._events), len(self._beside["receipts"])

    async def receipts(self) -> list[JsonObject]:
        """Return what was committed."""
        await self._read_on()
        return [orjson.loads(record.value or b"") for record in self._beside["receipts"]]

    async def parked(self, subscriber: str) -> dict[str, JsonObject]:
        """Return what was committed, the latest of each lane.

        The keys of other records name an event or a part of it as well.
        """
        await self._read_on()
        lanes: dict[str, JsonObject] = {}
        for record in self._beside[f"parked.{subscriber}"]:
            _, _, lane, *part = orjson.loads(record.key or b"")
            if not part and record.value is None:
                del lanes[lane]
            elif not part:
                lanes[lane] = orjson.loads(record.value or b"")
        return lanes

    async def _read_on(self) -> None:
        # Where somebody goes on writing, there is no end to wait for.
        enough_at = time.monotonic() + _READ_S
        while time.monotonic() < enough_at and (batches := await self._consumer.getmany(timeout_ms=100)):
            for partition, records in batches.items():
                self._note(partition, records)
            await asyncio.sleep(0)

    def _note(self, partition: TopicPartition, records: Iterable["ConsumerRecord[bytes, bytes]"]) -> None:
        # aiokafka begins every partition again when a topic joins the pattern.
        for record in records:
            if record.offset >= self._next[partition]:
                self._next[partition] = record.offset + 1
                if record.topic.startswith(f"{self._prefix}."):
                    name = record.topic.removeprefix(f"{self._prefix}.")
                    self._beside[name].append(record)
                    self._checked.record_of(name, record.value, record.headers)
                else:
                    self._events.append(_seen(record))
                    self._checked.event_of(record.value, record.headers)

    async def reached(self, count: int) -> bool:
        """Tell whether as many events are committed."""
        return len(await self.events()) >= count


def _seen(record: "ConsumerRecord[bytes, bytes]") -> Seen:
    return Seen((record.key or b"").decode(), dict(record.headers)["ce_id"].decode())
