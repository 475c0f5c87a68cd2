"""Ends of the topics of changes, and a subscriber's progress in them."""

from collections.abc import Collection, Mapping

from confluent_kafka import Consumer, TopicPartition

from streamer.events import Partition, SubscriberName
from streamer.log.kafka.cluster.bounded_reader import checked
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.topics.admin import KafkaAdmin

_CALL_S = 10.0


class ChangeProgress:
    """Looks up offsets; one thread uses it. Its consumers are members of no group, and read nothing."""

    def __init__(self, clients: Clients, admin: KafkaAdmin) -> None:
        """Prepare; the first call connects."""
        self._clients = clients
        self._admin = admin
        self._names = Names.of(clients.settings)
        self._errors = KafkaErrors(clients.settings)
        self._consumers: dict[SubscriberName, Consumer] = {}

    def ends(self, entity: str) -> Mapping[Partition, int]:
        """Return an offset above all committed changes of an entity, by partition.

        Raises `LogUnavailable`.
        """
        changes = self._names.changes(entity)
        topics = self._admin.cluster().topics
        places = [
            TopicPartition(topic, number)
            for topic in self._names.versions_of(changes, topics)
            for number in topics[topic].partitions
        ]
        with self._errors.explained(doing="reading", subject=f"topic {changes}"):
            ends = self._admin.stable_ends(places)
        # The last offset is the marker of a transaction, which a subscriber passes late.
        return {Partition(each.topic, each.partition): max(0, each.offset - 1) for each in ends}

    def settled(
        self, subscriber: SubscriberName, partitions: Collection[Partition]
    ) -> Mapping[Partition, int]:
        """Return the committed offsets of a subscriber, by partition. Raises `LogUnavailable`."""
        group = self._names.dispatch_group(subscriber)
        places = [TopicPartition(each.topic, each.number) for each in partitions]
        with self._errors.explained(doing="reading", subject=f"the offsets of group {group}"):
            found = checked(self._consumer(subscriber, group).committed(places, timeout=_CALL_S))
        return {Partition(each.topic, each.partition): each.offset for each in found if each.offset >= 0}

    def close(self) -> None:
        """Close the consumers."""
        for consumer in self._consumers.values():
            consumer.close()
        self._consumers.clear()

    def _consumer(self, subscriber: SubscriberName, group: str) -> Consumer:
        if (known := self._consumers.get(subscriber)) is None:
            known = self._consumers[subscriber] = self._clients.checked_consumer(
                self._errors, {"group.id": group}, name=f"{subscriber} offsets"
            )
        return known
