"""Partitions, as librdkafka names them."""

from collections.abc import Iterable

from confluent_kafka import TopicPartition

from streamer.events import Partition


def as_partition(place: TopicPartition) -> Partition:
    """Return the partition of a place."""
    return Partition(topic=place.topic, number=place.partition)


def as_topic_partitions(partitions: Iterable[Partition]) -> list[TopicPartition]:
    """Return the places of `partitions`, without offsets."""
    return [TopicPartition(partition.topic, partition.number) for partition in partitions]
