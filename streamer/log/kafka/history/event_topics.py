"""Reads event topics for a search, one chunk at a time, or a single offset."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import ParamSpec, Protocol, TypeVar, cast

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, TIMESTAMP_LOG_APPEND_TIME, Message, TopicPartition

from streamer.clock import CLOCKS_DIFFER_S
from streamer.errors import UnreadableEvent
from streamer.events import Entry, Event, Partition, SubscriberName, record_id_of
from streamer.log.kafka.cluster.bounded_reader import BoundedReader, look_up
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names, partition_of
from streamer.log.kafka.cluster.producer import Headers, as_partition
from streamer.log.kafka.cluster.topic_naming import matching
from streamer.log.kafka.parked_restoration import Restorations
from streamer.log.kafka.progress.commits import CommittedOffsets
from streamer.log.kafka.records.events import decode, event_type
from streamer.log.kafka.records.forwarded import decode_forwarded
from streamer.log.kafka.records.parked import ParkedTopic
from streamer.log.kafka.schemas.codecs import SchemaReaders
from streamer.log.kafka.topics.admin import KafkaAdmin
from streamer.log.patterns import wants
from streamer.log.search_chunks import ANY_TYPE, Chunk, Collector, Room, Span, matcher
from streamer.ports import EventSearch, LoggedEvent, SubscriberPlace

_AT_ONCE = 500
_POLL_S = 0.5

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")

Keys = Sequence[str] | None
"""Keys whose partitions a search reads; `None` means all partitions."""


class InThread(Protocol):
    """Function that makes a blocking call in a thread."""

    def __call__(
        self, call: Callable[_Arguments, _Answer], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> Awaitable[_Answer]:
        """Return the result of `call`."""
        ...


def places_of(asked: EventSearch) -> Iterator[Keys]:
    """Yield the keys to search by: first the likely partitions, and then, if necessary, all partitions."""
    if asked.every_partition:
        yield None
    elif asked.key is not None:
        yield [asked.key]
    else:
        if asked.event_id is not None and not asked.cursor:
            # The key of an event without a record is its id, unless the configuration names a
            # field.
            record = record_id_of(asked.event_id.rpartition(":")[2])
            yield [record or asked.event_id]
        yield None


def event_topics(
    topics: Mapping[str, int],
    names: Names,
    types: Sequence[str],
    *,
    forwarded_to: SubscriberName | None = None,
) -> Iterator[tuple[str, int]]:
    """Yield each topic that can hold events of `types`, with its number of partitions."""
    if forwarded_to is not None:
        name = names.forwarded(forwarded_to)
        if name in topics:
            yield name, topics[name]
        return
    for name in matching(topics, names.naming.expressions(types or ANY_TYPE)):
        if names.event_type_stem(name) is not None:
            yield name, topics[name]


def known_topics(admin: KafkaAdmin) -> dict[str, int]:
    """Return the number of partitions of each topic that this client is allowed to see."""
    return {name: len(each.partitions) for name, each in admin.cluster().topics.items()}


class EventTopics:
    """`ChunkSource` of the topics that can hold the events of a search; `run` makes all blocking calls."""

    def __init__(
        self, clients: Clients, admin: KafkaAdmin, asked: EventSearch, keys: Keys, run: InThread
    ) -> None:
        self._clients = clients
        self._admin = admin
        self._asked = asked
        self._keys = keys
        self._run = run
        self._errors = KafkaErrors(clients.settings)
        self._names = Names.of(clients.settings)
        self._retry = clients.retry()
        self._read_event = EventRecords(asked, clients.schemas)
        self._room = Room(events=asked.limit)

    async def spans(self) -> Mapping[Partition, Span]:
        """Return the range of committed offsets of each partition, from the search's `since` on."""
        spans = await self._run(self._spans)
        self._room = Room.beside(len(spans), self._asked.limit)
        return spans

    async def read(self, spans: Mapping[Partition, Span]) -> Mapping[Partition, Chunk]:
        """Return a chunk for each span."""
        return await self._run(self._read, spans)

    def _spans(self) -> dict[Partition, Span]:
        places = [
            TopicPartition(topic, number)
            for topic, partitions in event_topics(
                known_topics(self._admin),
                self._names,
                self._asked.types,
                forwarded_to=self._asked.forwarded_to,
            )
            for number in self._numbers(partitions)
        ]
        since = self._asked.since
        configuration = {
            "group.id": self._names.ingest_group,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
        with (
            self._errors.explained(doing="searching", subject="the topics of events"),
            closing(self._clients.consumer(self._errors, configuration)) as consumer,
        ):
            ends = self._offsets(self._retry.call(look_up, consumer, places, OFFSET_END))
            if since is None:
                begins = self._offsets(self._retry.call(look_up, consumer, places, OFFSET_BEGINNING))
            else:
                at_ms = max(0, round((since - CLOCKS_DIFFER_S) * 1000))
                begins = self._offsets(self._retry.call(look_up, consumer, places, at_ms))
        # If a partition has no record since this time, there is nothing to read.
        return {each: (begins[each] if begins.get(each, -1) >= 0 else end, end) for each, end in ends.items()}

    def _numbers(self, partitions: int) -> Sequence[int]:
        if self._keys is None or not partitions:
            return range(partitions)
        return sorted({partition_of(key.encode("utf-8", "replace"), partitions) for key in self._keys})

    def _offsets(self, places: Sequence[TopicPartition]) -> dict[Partition, int]:
        return {as_partition(each): each.offset for each in places}

    def _read(self, spans: Mapping[Partition, Span]) -> dict[Partition, Chunk]:
        by_topic: dict[str, dict[int, Collector]] = defaultdict(dict)
        for partition, (begin, end) in spans.items():
            by_topic[partition.topic][partition.number] = Collector(
                begin=begin,
                end=end,
                room=self._room,
                oldest_first=self._asked.oldest_first,
            )
        for topic, collectors in by_topic.items():
            with self._errors.explained(doing="searching", subject=f"topic {topic}"):
                self._read_topic(topic, collectors)
        return {
            Partition(topic=topic, number=number): collector.chunk()
            for topic, collectors in by_topic.items()
            for number, collector in collectors.items()
        }

    def _read_topic(self, topic: str, collectors: Mapping[int, Collector]) -> None:
        ranges = {number: (each.begin, each.end) for number, each in collectors.items()}
        with BoundedReader(self._clients, self._errors, topic, ranges, over_holes=True) as reader:
            while not reader.is_over:
                for message in reader.read(_AT_ONCE, _POLL_S):
                    collector = collectors[message.partition() or 0]
                    collector.saw(message.timestamp()[1] / 1000)
                    logged = None if collector.is_full else self._read_event.matching(message)
                    if logged is not None:
                        collector.add(logged)
                if all(each.is_full for each in collectors.values()):
                    break


class EventRecords:
    """Extracts the events that match a search from records, and avoids parsing other events."""

    def __init__(self, asked: EventSearch, schemas: SchemaReaders) -> None:
        self._schemas = schemas
        self._wanted = wants(asked.types or ANY_TYPE)
        self._matches: Callable[[Event], bool] = matcher(asked)
        self._key = None if asked.key is None else asked.key.encode("utf-8", "replace")
        self._id = None if asked.event_id is None else asked.event_id.encode("utf-8", "replace")
        self._is_forwarded = asked.forwarded_to is not None

    def matching(self, message: Message) -> LoggedEvent | None:
        """Return the event of a record, or `None` if the event does not match or can't be read."""
        value, key = message.value(), message.key()
        headers = cast("Headers | None", message.headers())
        type_ = event_type(headers)
        if value is None or (type_ and not self._wanted(type_)):
            return None
        attributes = dict(headers or ())
        # In structured mode, and in every forwarded event, the value of the record contains the
        # attributes.
        if "ce_id" in attributes and not (
            self._key in {None, key, attributes.get("ce_subject")} and self._id in {None, attributes["ce_id"]}
        ):
            return None
        return logged_event(message, self._schemas, is_forwarded=self._is_forwarded, matches=self._matches)


def logged_event(
    message: Message, schemas: SchemaReaders, *, is_forwarded: bool, matches: Callable[[Event], bool]
) -> LoggedEvent | None:
    """Return the event of a record, or `None` if the event does not match or can't be read."""
    value, headers = message.value() or b"", cast("Headers | None", message.headers())
    try:
        if is_forwarded:
            event = decode_forwarded(message.key(), value, headers)
        else:
            event = decode(message.key(), value, headers, schemas)
    except UnreadableEvent:
        return None
    if not matches(event):
        return None
    kind, at_ms = message.timestamp()
    partition = Partition(topic=message.topic() or "", number=message.partition() or 0)
    return LoggedEvent(
        entry=Entry(partition=partition, offset=message.offset() or 0, event=event, size=len(value)),
        # Without log-append time, a record has the time of its event.
        appended_at=at_ms / 1000 if kind == TIMESTAMP_LOG_APPEND_TIME else None,
    )


class PlaceReader:
    """Reads single offsets of partitions; blocking; raises `LogUnavailable`, `LogMisconfigured`."""

    def __init__(self, clients: Clients, admin: KafkaAdmin) -> None:
        self._clients = clients
        self._admin = admin
        self._errors = KafkaErrors(clients.settings)
        self._names = Names.of(clients.settings)
        self._retry = clients.retry()

    def event(self, partition: Partition, offset: int) -> LoggedEvent | None:
        """Return the event at `offset`; `None` if the event was deleted or the topic holds no events."""
        topic, number = partition.topic, partition.number
        is_forwarded = self._names.is_forwarded(topic)
        if not is_forwarded and self._names.event_type_stem(topic) is None:
            return None
        if number not in range(known_topics(self._admin).get(topic, 0)):
            return None
        with self._errors.explained(doing="reading", subject=f"topic {topic}"):
            first, end = self._retry.call(self._admin.bounds, topic, [number])[number]
            if not first <= offset < end:
                return None
            span = {number: (offset, offset + 1)}
            with BoundedReader(self._clients, self._errors, topic, span, over_holes=True) as reader:
                while not reader.is_over:
                    for message in reader.read(1, _POLL_S):
                        return logged_event(
                            message,
                            self._clients.schemas,
                            is_forwarded=is_forwarded,
                            matches=lambda _: True,
                        )
        return None

    def place(self, subscriber: SubscriberName, partition: Partition, offset: int) -> SubscriberPlace:
        """Return a subscriber's progress in a partition, and the parked lane that holds `offset`."""
        with self._errors.explained(doing="reading", subject=f"the progress of subscriber {subscriber}"):
            committed_offsets = CommittedOffsets(subscriber, self._admin, self._retry)
            progress = committed_offsets.stored_beside(self._clients, self._errors, [partition])
            topic = ParkedTopic.of(self._clients.settings, subscriber)
            restorations = Restorations(self._clients, self._admin, topic, self._retry)
            # A subscriber with progress has a topic of parked events.
            lanes = [lane for each in restorations.finished(progress) for lane in each.lanes]
        return SubscriberPlace(
            progress=progress.get(partition),
            lane=next((lane for lane in lanes if offset in lane.offsets), None),
        )
