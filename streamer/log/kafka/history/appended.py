"""Reader of all events that are committed from now on."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from streamer.log.kafka.cluster.bounded_reader import look_up, poll_many
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.history.event_topics import event_topics, known_topics, logged_event
from streamer.log.kafka.topics.admin import KafkaAdmin
from streamer.log.search_chunks import ANY_TYPE
from streamer.ports import AppendedPage

_AT_ONCE = 500
_POLL_S = 0.2
_LOOK_FOR_TOPICS_S = 3.0
_MOST_BEHIND = 20_000
_CONFIGURATION = {
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "auto.offset.reset": "latest",
    "fetch.wait.max.ms": 100,
    # Records that are fetched but not read take memory.
    "queued.max.messages.kbytes": 4096,
}


class AppendedReader:
    """Reads the newest events with its own consumer; blocking, for one thread.

    The reader looks for new topics every three seconds, and reads a new topic from the
    beginning of the topic. If the reader falls too far behind in a partition, it
    continues at the end of the partition.
    """

    def __init__(self, clients: Clients, admin: KafkaAdmin) -> None:
        self._clients = clients
        self._admin = admin
        self._errors = KafkaErrors(clients.settings)
        self._names = Names.of(clients.settings)
        self._retry = clients.retry()
        self._read: set[tuple[str, int]] = set()

    def pages(self) -> Generator[list[AppendedPage], None, None]:
        """Yield lists of pages; a list is empty if nothing was appended for a moment.

        The first page is empty.
        """
        configuration = {**_CONFIGURATION, "group.id": self._names.ingest_group}
        with (
            self._errors.explained(doing="reading", subject="the newest events"),
            closing(self._clients.consumer(self._errors, configuration)) as consumer,
        ):
            self._begin(consumer, self._places(), OFFSET_END)
            yield [AppendedPage(events=[])]
            looked_at = self._clients.clock.monotonic()
            while True:
                messages = list(_without_errors(poll_many(consumer, _AT_ONCE, _POLL_S)))
                found = (
                    logged_event(each, self._clients.schemas, is_forwarded=False, matches=_any)
                    for each in messages
                )
                page = AppendedPage(
                    events=[each for each in found if each is not None],
                    skipped=self._caught_up(consumer, messages),
                )
                yield [page] if page.events or page.skipped else []
                if self._clients.clock.monotonic() - looked_at >= _LOOK_FOR_TOPICS_S:
                    looked_at = self._clients.clock.monotonic()
                    self._begin(consumer, self._places(), OFFSET_BEGINNING)

    def _places(self) -> list[TopicPartition]:
        """Return the partitions that the reader does not read yet."""
        return [
            TopicPartition(topic, number)
            for topic, partitions in event_topics(known_topics(self._admin), self._names, ANY_TYPE)
            for number in range(partitions)
            if (topic, number) not in self._read
        ]

    def _begin(self, consumer: Consumer, places: Sequence[TopicPartition], at: int) -> None:
        if places:
            # The offset is resolved now, because librdkafka would resolve OFFSET_END only at
            # the first fetch.
            consumer.incremental_assign(self._retry.call(look_up, consumer, places, at))
            self._read.update((each.topic, each.partition) for each in places)

    def _caught_up(self, consumer: Consumer, messages: Sequence[Message]) -> int:
        """Skip to the end of partitions that are far behind; return how many offsets were skipped."""
        skipped = 0
        newest = {(each.topic(), each.partition()): each for each in messages}
        for message in newest.values():
            place = TopicPartition(message.topic() or "", message.partition() or 0)
            _, end = consumer.get_watermark_offsets(place, cached=True)
            behind = end - (message.offset() or 0) - 1
            if behind > _MOST_BEHIND:
                [last] = self._retry.call(look_up, consumer, [place], OFFSET_END)
                consumer.seek(last)
                skipped += max(0, last.offset - (message.offset() or 0) - 1)
        return skipped


def _without_errors(messages: Iterable[Message]) -> Generator[Message, None, None]:
    for message in messages:
        error = message.error()
        if error is None:
            if message.value() is not None:
                yield message
        elif error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)


def _any(_event: object) -> bool:
    return True
