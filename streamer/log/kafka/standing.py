"""How far partitions are settled when the group gives them to us."""

from collections.abc import Sequence

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from streamer.events import Partition, Progress, SubscriberName
from streamer.log.kafka.commits import Commits, committed
from streamer.log.kafka.offsets import decode
from streamer.log.kafka.patience import Patience
from streamer.log.kafka.places import as_partition
from streamer.log.kafka.start import look_up

_log = structlog.get_logger()


class Standing:
    """Asks the group what is committed, and sees to it that something is, from then on."""

    def __init__(self, subscriber: SubscriberName, patience: Patience) -> None:
        """Ask for `subscriber`."""
        self._subscriber = subscriber
        self._patience = patience

    def look_up(
        self, consumer: Consumer, places: Sequence[TopicPartition]
    ) -> tuple[dict[Partition, Progress], list[TopicPartition]]:
        """Return what is settled in `places`, and the beginnings of those in which nothing is."""
        progress = self.stored(consumer, places)
        new = [place for place in places if as_partition(place) not in progress]
        beginnings = self._patience.insist(look_up, consumer, new, OFFSET_BEGINNING)
        progress |= {as_partition(place): Progress(next_offset=place.offset) for place in beginnings}
        return progress, beginnings

    def stored(self, consumer: Consumer, places: Sequence[TopicPartition]) -> dict[Partition, Progress]:
        """Return what is settled in those of `places` in which anything is; `consumer` need not be a member.

        Raises `KafkaException`.
        """
        stored = self._patience.insist(committed, consumer, places)
        return {as_partition(place): self._decoded(place) for place in stored if place.offset >= 0}

    def commit(self, consumer: Consumer, commits: Commits, beginnings: Sequence[TopicPartition]) -> None:
        """Commit `beginnings`; should retention overtake us, it shows."""
        commits.send(consumer, beginnings, self._committed, is_repeatable=False)

    def _decoded(self, place: TopicPartition) -> Progress:
        try:
            return decode(place.offset, place.metadata)
        except ValueError as exc:
            _log.warning(
                "progress.partly_unreadable",
                subscriber=self._subscriber,
                topic=place.topic,
                partition=place.partition,
                reason=str(exc),
            )
            return Progress(next_offset=place.offset)

    def _committed(self, error: KafkaError | None) -> None:
        if error is not None:
            _log.warning("progress.not_recorded", subscriber=self._subscriber, reason=error.str())
