"""A real Kafka for a test to write, read and join groups beside us."""

import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager
from datetime import datetime

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from streamer.errors import StreamerError
from streamer.events import DeadLetter, Event, Receipt, Start, SubscriberName
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.feed.context import LogContext
from streamer.log.kafka.feed.feed import follow
from streamer.log.kafka.progress.assignment import AssignedPartition
from streamer.log.kafka.progress.commits import OffsetCommitter, send_at_once
from streamer.log.kafka.progress.settler import KafkaSettler, NotYet
from streamer.log.kafka.records.events import EventEncoder
from streamer.log.kafka.states.states import KafkaStates
from streamer.log.kafka.topics.admin import KafkaAdmin, TopicState
from streamer.log.kafka.topics.provisioner import TopicProvisioner
from streamer.log.kafka.topics.specs import TopicSpecs
from streamer.log.records import decode_receipt
from streamer.observe.process import Pulses
from streamer.ports import Recorded, Settlement, Subscription
from streamer.settings import KafkaLogSettings
from tests.contracts.follower import Follower
from tests.contracts.kafka_world import read_committed, read_dead_letters
from tests.contracts.values import an_event
from tests.waiting import LIMIT_S

_DEADLINE_S = 60.0
# In the year 2033: later than what tests write.
_NOW_MS = 2_000_000_000_000
TARGET = SubscriberName("target")


class Cluster:
    """A prefix of the test's own on the real broker, and a test's actions there."""

    def __init__(
        self, address: str, *, session_timeout_s: float = 15, dotted: bool = False, receipts: bool = False
    ) -> None:
        """Create the internal topics; `dotted` names match the template of event topics."""
        self._keeps_receipts = receipts
        unique = uuid.uuid4().hex[:8]
        self.settings = KafkaLogSettings(
            bootstrap_servers=address,
            prefix=f"t{unique}" if dotted else f"test-{unique}",
            topic=f"t{unique}.{{kind}}.{{name}}",
            session_timeout_s=session_timeout_s,
            # A new topic is found this fast.
            options={"topic.metadata.refresh.interval.ms": 250},
        )
        self.names = Names.of(self.settings)
        self.admin = AdminClient({"bootstrap.servers": address})
        self._producer: Producer | None = None
        self._encoder = EventEncoder(self.names, "binary")
        specs = TopicSpecs(settings=self.settings)
        self.parked = self.names.parked(TARGET)
        internal = specs.internal()
        self._make(internal[self.names.dead_letters], internal[self.names.receipts], specs.parked(TARGET))

    def create(self, topic: str, partitions: int) -> None:
        """Create a topic."""
        self._make(NewTopic(topic, partitions))

    def _make(self, *topics: NewTopic) -> None:
        for outcome in self.admin.create_topics(list(topics)).values():
            outcome.result()

    def create_for(self, event_type: str = "salesforce.cdc.Account.updated", partitions: int = 1) -> str:
        """Create the topic of an event type and return its name."""
        topic = self.names.event_topic(event_type)
        self.create(topic, partitions)
        return topic

    def create_forwarded(self, name: str = "downstream") -> SubscriberName:
        """Create the topic of what is forwarded to the subscriber `name`; return the subscriber."""
        subscriber = SubscriberName(name)
        self._make(TopicSpecs(settings=self.settings).forwarded(subscriber))
        return subscriber

    def write(self, *events: Event, partition: int = 0, at_ms: int = 0) -> None:
        """Write events in one transaction, stamped with `at_ms` or the present."""
        records = [self._encoder.encode(event, _NOW_MS) for event in events]
        with self.transaction() as producer:
            for record in records:
                producer.produce(
                    record.topic,
                    record.value,
                    record.key,
                    partition,
                    timestamp=at_ms,
                    headers=record.headers,
                )

    def write_large(self, event: Event) -> None:
        """Write an event that is larger than brokers take by default, to a topic that takes it."""
        record = self._encoder.encode(event, _NOW_MS)
        self._make(TopicSpecs(settings=self.settings).events(record.topic))
        producer = Clients(settings=self.settings).producer(KafkaErrors(self.settings), {})
        producer.produce(record.topic, record.value, record.key, 0, headers=record.headers)
        producer.flush(_DEADLINE_S)

    def delete(self, topic: str) -> None:
        """Delete a topic, and return when the broker has forgotten it."""
        self.admin.delete_topics([topic])[topic].result()
        while KafkaAdmin(Clients(settings=self.settings)).states([topic]):
            time.sleep(0.05)

    def state(self, topic: str) -> TopicState:
        """Return the broker's description of a topic."""
        return KafkaAdmin(Clients(settings=self.settings)).states([topic])[topic]

    @contextmanager
    def transaction(self) -> Iterator[Producer]:
        """Open a transaction, and commit it at the end."""
        producer = self._producer or self._new_producer()
        producer.begin_transaction()
        yield producer
        producer.commit_transaction(_DEADLINE_S)

    def _new_producer(self) -> Producer:
        self._producer = Producer(
            {"bootstrap.servers": self.settings.bootstrap_servers, "transactional.id": self.settings.prefix}
        )
        self._producer.init_transactions(_DEADLINE_S)
        return self._producer

    def fence(self, transactional_id: str) -> None:
        """Take over a transactional id from its present producer, whose open transaction is aborted."""
        thief = Producer(
            {"bootstrap.servers": self.settings.bootstrap_servers, "transactional.id": transactional_id}
        )
        thief.init_transactions(_DEADLINE_S)

    def grow(self, topic: str, partitions: int) -> None:
        """Add partitions to a topic."""
        self.admin.create_partitions([NewPartitions(topic, partitions)])[topic].result()
        # A new producer knows of them at once.
        self._producer = None

    def committed(self, topic: str, partition: int = 0) -> TopicPartition:
        """Return the committed offsets of the subscriber's group."""
        with self._outsider() as consumer:
            return consumer.committed([TopicPartition(topic, partition)], timeout=LIMIT_S)[0]

    def commit(self, place: TopicPartition) -> None:
        """Move the subscriber's offset, as an operator's tool would."""
        with self._outsider() as consumer:
            consumer.commit(offsets=[place], asynchronous=False)

    def _outsider(self) -> AbstractContextManager[Consumer]:
        return closing(
            Consumer(
                {
                    "bootstrap.servers": self.settings.bootstrap_servers,
                    "group.id": self.names.dispatch_group(TARGET),
                    "enable.auto.commit": False,
                    "topic.metadata.refresh.interval.ms": 250,
                }
            )
        )

    def dead_letters(self) -> list[DeadLetter]:
        """Return the committed dead letters."""
        return read_dead_letters(self.settings.bootstrap_servers, self.names.dead_letters)

    def receipts(self) -> list[Receipt]:
        """Return the committed receipts."""
        found = read_committed(self.settings.bootstrap_servers, self.names.receipts, self.settings.partitions)
        return [decode_receipt(message.value() or b"") for message in found]

    def parked_records(self) -> list[Message]:
        """Return the committed records of the parked topic."""
        return read_committed(self.settings.bootstrap_servers, self.parked, self.settings.parked_partitions)

    def forwarded_records(self, subscriber: SubscriberName) -> list[Message]:
        """Return the committed records of what was forwarded to `subscriber`."""
        topic = self.names.forwarded(subscriber)
        return read_committed(self.settings.bootstrap_servers, topic, self.settings.partitions)

    def nobody(self) -> bytes:
        """Return the group metadata of a process that has not joined a group."""
        with self._outsider() as consumer:
            metadata: bytes = consumer.consumer_group_metadata()
            return metadata

    def former_member(self) -> bytes:
        """Return the group metadata of a process that is no longer a member."""
        with self._outsider() as consumer:
            consumer.subscribe([self.names.event_topic(an_event(0).type)])
            while not consumer.assignment():
                consumer.poll(0.1)
            metadata: bytes = consumer.consumer_group_metadata()
            return metadata

    def settle_as(self, generation: bytes, settlement: Settlement) -> Recorded | StreamerError:
        """Settle as a process that believes in an assignment; return the result."""
        assigned = {
            partition: AssignedPartition(
                partition=partition, assignment=settlement.assignment, settled_above=frozenset()
            )
            for partition in settlement.progress
        }
        settler = KafkaSettler(Clients(settings=self.settings), TARGET, receipts=self._keeps_receipts)
        settler.enter(generation)
        came_of_it: list[Recorded | StreamerError] = []
        with closing(settler), self._outsider() as consumer:
            offsets = OffsetCommitter(consumer=consumer, send=send_at_once)
            try:
                settler.settle(settlement, assigned, offsets, came_of_it.append)
            except NotYet as error:
                return error
        return came_of_it.pop()

    @asynccontextmanager
    async def following(
        self, *patterns: str, start: Start | datetime = Start.EARLIEST
    ) -> AsyncIterator[Follower]:
        """Follow as one more process of the subscriber."""
        subscription = Subscription(
            subscriber=TARGET,
            patterns=patterns or ("salesforce.*",),
            start=start,
            receipts=self._keeps_receipts,
        )
        clients = Clients(settings=self.settings)
        pulses = Pulses(clients.clock)
        topics = TopicProvisioner(clients)
        states = KafkaStates(clients, topics)
        log_context = LogContext(clients=clients, topics=topics, pulses=pulses, states=states)
        async with follow(log_context, subscription) as feed:
            yield Follower(feed)
