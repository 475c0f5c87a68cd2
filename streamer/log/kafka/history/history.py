"""History of the events in Kafka, read without a consumer group."""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Mapping,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, closing
from functools import partial
from typing import ParamSpec, Self, TypeVar

from confluent_kafka import Message, TopicPartition

from streamer.clock import CLOCKS_DIFFER_S, SystemClock
from streamer.errors import LogUnavailable, UnreadableEvent
from streamer.events import Channel, Checkpoint, Event, Partition, SubscriberName
from streamer.log.foreign_records import ForeignRecords
from streamer.log.kafka.append.encoder import checkpoint_of
from streamer.log.kafka.cluster.bounded_reader import BoundedReader, look_up
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.threads import iterate_in_thread
from streamer.log.kafka.cluster.topic_naming import matching
from streamer.log.kafka.history.appended import AppendedReader
from streamer.log.kafka.history.event_topics import EventTopics, PlaceReader, places_of
from streamer.log.kafka.history.own_topics import ReceiptReader
from streamer.log.kafka.records.events import decode, event_type
from streamer.log.kafka.schemas.codecs import SchemaReaders
from streamer.log.kafka.schemas.registry import SchemaRegistry
from streamer.log.kafka.topics.admin import KafkaAdmin
from streamer.log.patterns import change_type_stem
from streamer.log.search import search
from streamer.ports import (
    MOST_RECEIPTS,
    AppendedPage,
    EventSearch,
    FoundEvents,
    FoundReceipts,
    HistoryPage,
    HistoryStart,
    LoggedEvent,
    StoredCheckpoint,
    SubscriberPlace,
)
from streamer.settings import KafkaLogSettings

_AT_ONCE = 500
_POLL_S = 0.5
_SEARCHES_AT_ONCE = 2

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


class KafkaHistory:
    """`EventHistory` of the topics in one cluster. Creates, checks and commits nothing."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._admin = KafkaAdmin(clients)
        self._errors = KafkaErrors(clients.settings)
        self._names = Names.of(clients.settings)
        self._retry = clients.retry()
        self._is_closed = False
        # Asyncio's own threads must stay free, because they resolve host names for ingest and
        # dispatch.
        self._threads = ThreadPoolExecutor(_SEARCHES_AT_ONCE, "kafka-search")

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: KafkaLogSettings, registry: SchemaRegistry | None = None
    ) -> AsyncIterator[Self]:
        """Yield the history; its clients connect at the first read.

        The settings name the schema registry, unless `registry` replaces it.
        """
        clock = SystemClock()
        history = cls(
            Clients(settings=settings, clock=clock, schemas=SchemaReaders.of(settings, clock, registry))
        )
        try:
            yield history
        finally:
            history.close()

    def close(self) -> None:
        """Let running reads finish, and allow no new reads."""
        self._is_closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._admin.close()

    async def checkpoints(self) -> Sequence[Checkpoint]:
        """Return the committed checkpoints of all channels."""
        return [each.checkpoint for each in await self._in_thread(self._stored_without_owners)]

    async def stored_checkpoints(self) -> Sequence[StoredCheckpoint]:
        """Return the committed checkpoints, each with its time and the member that owns its partition."""
        return await self._in_thread(self._stored)

    async def appended_since(self, patterns: Sequence[str], at: float, /) -> int:
        """Return how many records, and transaction markers, the topics of these types hold since `at`."""
        return await self._in_thread(self._count, patterns, at)

    async def start(self, entity: str, at: float, /) -> HistoryStart:
        """Return the offset of each partition's first record since `at`, by the records' own times."""
        return await self._in_thread(self._start, self._topic(entity), at - CLOCKS_DIFFER_S)

    async def changes(self, entity: str, start: HistoryStart, /) -> AsyncGenerator[HistoryPage, None]:
        """Yield the committed events from `start` on, a page at a time."""
        pages = iterate_in_thread(self._pages(entity, start), thread="kafka-history")
        async with aclosing(pages) as entries:
            async for page in entries:
                yield page

    async def find(self, asked: EventSearch, /) -> FoundEvents:
        """Return the events that a search matches.

        The events of a key are in one partition of each topic. If the id of an event
        contains the event's key, the partition of this key is searched first.
        """
        for keys in places_of(asked):
            found = await search(asked, EventTopics(self._clients, self._admin, asked, keys, self._in_thread))
            if found.events or asked.cursor:
                return found
        return found

    async def at(self, partition: Partition, offset: int, /) -> LoggedEvent | None:
        """Return the event at a position in an event topic or a topic of forwarded events."""
        return await self._in_thread(PlaceReader(self._clients, self._admin).event, partition, offset)

    async def receipts(
        self, events: Sequence[Event], since: float, /, *, most: int = MOST_RECEIPTS
    ) -> FoundReceipts:
        """Return the receipts of events since `since`, from the partitions of their keys."""
        reader = ReceiptReader(self._clients, self._admin)
        return await self._in_thread(reader.receipts, events, since - CLOCKS_DIFFER_S, most)

    async def place(
        self, subscriber: SubscriberName, partition: Partition, offset: int, /
    ) -> SubscriberPlace:
        """Return a subscriber's progress in a partition, and the parked lane that holds `offset`."""
        reader = PlaceReader(self._clients, self._admin)
        return await self._in_thread(reader.place, subscriber, partition, offset)

    async def appended(self) -> AsyncGenerator[AppendedPage, None]:
        """Yield the events that are committed from now on."""
        reader = AppendedReader(self._clients, self._admin)
        async with aclosing(iterate_in_thread(reader.pages(), thread="kafka-tail")) as pages:
            async for page in pages:
                yield page

    def _in_thread(
        self, call: Callable[_Arguments, _Answer], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> Awaitable[_Answer]:
        """Make a blocking call in one of a few threads, and return its result."""
        if self._is_closed:
            raise LogUnavailable("the log is closed")
        return asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *args, **kwargs))

    def _topic(self, entity: str) -> str:
        return self._names.event_topic(f"{change_type_stem(entity)}updated")

    def _stored(self) -> list[StoredCheckpoint]:
        with self._errors.explained(doing="asking", subject=f"group {self._names.ingest_group}"):
            owners = self._retry.call(self._admin.owners, self._names.ingest_group, self._names.checkpoints)
        return self._stored_without_owners(owners)

    def _stored_without_owners(self, owners: Mapping[int, str] | None = None) -> list[StoredCheckpoint]:
        topic, newest = self._names.checkpoints, dict[Channel, StoredCheckpoint]()
        with self._errors.explained(doing="reading", subject=f"topic {topic}"):
            bounds = self._bounds(topic)
            with BoundedReader(self._clients, self._errors, topic, bounds, over_holes=True) as reader:
                while not reader.is_over:
                    found = (
                        _stored(each, owners or {}, self._clients.foreign)
                        for each in reader.read(_AT_ONCE, _POLL_S)
                    )
                    newest |= {each.checkpoint.channel: each for each in found if each is not None}
        return list(newest.values())

    def _count(self, patterns: Sequence[str], at: float) -> int:
        with self._errors.explained(doing="listing", subject="topics"):
            expressions = self._names.naming.expressions(patterns)
            topics = [each for each in self._admin.cluster().topics if not self._names.is_internal(each)]
            return sum(self._count_in(topic, at) for topic in matching(topics, expressions))

    def _count_in(self, topic: str, at: float) -> int:
        bounds = self._bounds(topic)
        begins = self._offsets_at(topic, bounds, at) if bounds else {}
        return sum(bounds[number][1] - begin for number, begin in begins.items())

    def _bounds(self, topic: str) -> Mapping[int, tuple[int, int]]:
        """Return the first and the end offset of each partition; empty if the topic does not exist."""
        known = self._admin.cluster().topics.get(topic)
        if known is None or not known.partitions:
            return {}
        return self._retry.call(self._admin.bounds, topic, known.partitions.keys())

    def _start(self, first: str, at: float) -> HistoryStart:
        found: dict[Partition, int] = {}
        begins: list[float] = []
        for topic in self._versions(first):
            with self._errors.explained(doing="reading", subject=f"topic {topic}"):
                bounds = self._bounds(topic)
                offsets = self._offsets_at(topic, bounds, at)
                # In these partitions, earlier records existed and were deleted.
                cut = {each: bounds[each] for each in offsets if offsets[each] == bounds[each][0] > 0}
                begins += self._first_times(topic, cut).values()
            found |= {Partition(topic=topic, number=number): offset for number, offset in offsets.items()}
        return HistoryStart(offsets=found, begins_at=max(begins, default=None))

    def _versions(self, topic: str) -> list[str]:
        with self._errors.explained(doing="listing", subject="topics"):
            return self._names.versions_of(topic, self._admin.cluster().topics)

    def _offsets_at(self, topic: str, bounds: Mapping[int, tuple[int, int]], at: float) -> dict[int, int]:
        configuration = {"group.id": self._names.ingest_group, "enable.auto.commit": False}
        places = [TopicPartition(topic, number) for number in bounds]
        with closing(self._clients.consumer(self._errors, configuration)) as consumer:
            found = self._retry.call(look_up, consumer, places, round(at * 1000))
        # If a partition has no record since this time, there is nothing to read.
        return {
            each.partition: each.offset if each.offset >= 0 else bounds[each.partition][1] for each in found
        }

    def _first_times(self, topic: str, bounds: Mapping[int, tuple[int, int]]) -> dict[int, float]:
        """Return the time of each partition's first record, if there is one."""
        found: dict[int, float] = {}
        with BoundedReader(self._clients, self._errors, topic, bounds, over_holes=True) as reader:
            while not (reader.is_over or found.keys() >= bounds.keys()):
                for message in reader.read(_AT_ONCE, _POLL_S):
                    found.setdefault(message.partition() or 0, message.timestamp()[1] / 1000)
        return found

    def _pages(self, entity: str, start: HistoryStart) -> Generator[list[HistoryPage], None, None]:
        stem = change_type_stem(entity)
        left: dict[tuple[str, int], int] = {}
        read_ranges: dict[str, dict[int, tuple[int, int]]] = {}
        for topic in self._versions(self._topic(entity)):
            with self._errors.explained(doing="reading", subject=f"topic {topic}"):
                bounds = self._bounds(topic)
            begins = {each.number: offset for each, offset in start.offsets.items() if each.topic == topic}
            ranges = {number: (begins.get(number, first), last) for number, (first, last) in bounds.items()}
            read_ranges[topic] = ranges
            left |= {(topic, number): last - first for number, (first, last) in ranges.items()}
        for topic, ranges in read_ranges.items():
            with (
                self._errors.explained(doing="reading", subject=f"topic {topic}"),
                BoundedReader(self._clients, self._errors, topic, ranges, over_holes=True) as reader,
            ):
                while not reader.is_over:
                    messages = reader.read(_AT_ONCE, _POLL_S)
                    for message in messages:
                        number = message.partition() or 0
                        left[topic, number] = ranges[number][1] - (message.offset() or 0) - 1
                    schemas = self._clients.schemas
                    events = [
                        event for each in messages if (event := _event(each, stem, schemas)) is not None
                    ]
                    yield [HistoryPage(events=events, left=sum(left.values()))]
        yield [HistoryPage(events=[])]


def _stored(
    message: Message, owners: Mapping[int, str], foreign_records: ForeignRecords
) -> StoredCheckpoint | None:
    checkpoint = checkpoint_of(message, foreign_records)
    if checkpoint is None:
        return None
    owner = owners.get(message.partition() or 0, "")
    stored_at = message.timestamp()[1] / 1000
    return StoredCheckpoint(checkpoint=checkpoint, stored_at=stored_at, owner=owner)


def _event(message: Message, stem: str, schemas: SchemaReaders) -> Event | None:
    """Return a record's event, or `None` if it has another type or can't be read."""
    value = message.value()
    headers = message.headers()
    type_ = event_type(headers)  # type: ignore[arg-type] # a header's value is bytes in a consumed message
    if value is None or (type_ and not type_.startswith(stem)):
        return None
    try:
        event = decode(message.key(), value, headers, schemas)  # type: ignore[arg-type] # as above
    except UnreadableEvent:
        return None
    return event if event.type.startswith(stem) else None
