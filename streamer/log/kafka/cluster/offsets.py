"""Offsets of partitions, as the partitions' leaders know them."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from confluent_kafka import Consumer, KafkaException, TopicPartition

_CALL_S = 5.0


def bounds(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    """Return the first offset and the end of a partition. Raises `KafkaException`.

    A newly elected leader knows the replicated end only after a moment, and a
    fetch before that can end too early. This request is not answered before the
    leader knows the end.
    """
    with _looking_for_leaders(consumer, [place.topic]):
        begin, end = consumer.get_watermark_offsets(place, timeout=_CALL_S)
    return begin, end


def look_up(consumer: Consumer, partitions: Sequence[TopicPartition], what: int) -> list[TopicPartition]:
    """Return the offsets of `what`: `OFFSET_BEGINNING`, `OFFSET_END` or a time in milliseconds.

    The end covers committed transactions only. Raises `KafkaException`.
    """
    if not partitions:
        return []
    asked = [TopicPartition(each.topic, each.partition, what) for each in partitions]
    with _looking_for_leaders(consumer, {each.topic for each in asked}):
        return checked(consumer.offsets_for_times(asked, timeout=_CALL_S))


def checked(partitions: list[TopicPartition]) -> list[TopicPartition]:
    """Return the broker's answer about `partitions`; raises `KafkaException` for the first refused one."""
    for partition in partitions:
        if partition.error is not None:
            raise KafkaException(partition.error)
    return partitions


@contextmanager
def _looking_for_leaders(consumer: Consumer, topics: Collection[str]) -> Iterator[None]:
    try:
        yield
    except KafkaException:
        # The consumer keeps asking the leaders that it knows; this refreshes them.
        with suppress(KafkaException):
            for topic in topics:
                consumer.list_topics(topic, timeout=_CALL_S)
        raise
