"""Offsets of partitions, which are read from the partitions' leaders."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from confluent_kafka import Consumer, KafkaException, TopicPartition

_CALL_S = 5.0


def bounds(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    """Return the first and the end offset of a partition; raises `KafkaException`.

    A newly elected leader does not know the replicated end for a moment, and a fetch in
    this moment can end too soon. The leader answers the request for the bounds only
    when the leader knows the end.
    """
    with _looking_for_leaders(consumer, [place.topic]):
        begin, end = consumer.get_watermark_offsets(place, timeout=_CALL_S)
    return begin, end


def look_up(consumer: Consumer, partitions: Sequence[TopicPartition], what: int) -> list[TopicPartition]:
    """Return the offset that `what` means in each partition.

    `what` is `OFFSET_BEGINNING`, `OFFSET_END`, or a time in milliseconds since 1970.
    `OFFSET_END` means the offset before the first record of any open transaction.
    Raises `KafkaException`.
    """
    if not partitions:
        return []
    asked = [TopicPartition(each.topic, each.partition, what) for each in partitions]
    with _looking_for_leaders(consumer, {each.topic for each in asked}):
        return checked(consumer.offsets_for_times(asked, timeout=_CALL_S))


def checked(partitions: list[TopicPartition]) -> list[TopicPartition]:
    """Return a broker's answer `partitions` unchanged; raises its first error as `KafkaException`."""
    for partition in partitions:
        if partition.error is not None:
            raise KafkaException(partition.error)
    return partitions


@contextmanager
def _looking_for_leaders(consumer: Consumer, topics: Collection[str]) -> Iterator[None]:
    try:
        yield
    except KafkaException:
        # Without this request, the consumer would ask the same brokers again. The request tells
        # the consumer which brokers lead the partitions now.
        with suppress(KafkaException):
            for topic in topics:
                consumer.list_topics(topic, timeout=_CALL_S)
        raise
