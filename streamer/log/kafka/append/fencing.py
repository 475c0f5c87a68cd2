"""Fencing of a partition's producer, and what has caused it."""

from collections.abc import Callable

from confluent_kafka import KafkaError

from streamer.backoff import Backoff, Delays
from streamer.errors import Fenced, LogUnavailable
from streamer.log.kafka.cluster.errors import is_fencing

Mine = Callable[[int], bool | None]
"""Asks whether the group assigns a partition to us; `None` while this process follows no group."""

_BACKOFF = Backoff(first_s=0.25, limit_s=10.0)


class Fencing:
    """Notices that the producer of one partition was fenced off.

    Either another process has the partition, or the broker ended our
    transaction because it took too long. The group knows which.
    """

    def __init__(self, partition: int, topic: str, mine: Mine) -> None:
        """Watch the producer of `partition` of `topic`."""
        self._partition = partition
        self._topic = topic
        self._mine = mine
        self._delays = Delays(_BACKOFF)

    def noticed(self, error: KafkaError) -> Fenced | LogUnavailable | None:
        """Return the meaning of the fencing that `error` reports; `None` if it reports none.

        `LogUnavailable` when the partition is ours still, with a longer pause
        after each. Raises `LogUnavailable` when the group does not answer.
        """
        if not is_fencing(error):
            return None
        if not self._mine(self._partition):
            return Fenced(f"another process owns partition {self._partition} of {self._topic}")
        reason = f"the transaction was ended by the broker: {error.str()}"
        return LogUnavailable(reason, after_s=self._delays.next_s())

    def written(self) -> None:
        """Note that a transaction was committed."""
        self._delays.reset()
