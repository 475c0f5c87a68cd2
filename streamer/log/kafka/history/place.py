"""Reader of one position: its event, and a subscriber's records about it."""

import time

from streamer.events import Partition, SubscriberName
from streamer.log.kafka.cluster.bounded_reader import BoundedReader
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.retry import RETRY_LIMIT_S, RetryPolicy
from streamer.log.kafka.history.event_topics import known_topics, logged_event
from streamer.log.kafka.parked.restoration import Restorations
from streamer.log.kafka.progress.committed_offsets import CommittedOffsets
from streamer.log.kafka.records.parked import ParkedTopic
from streamer.log.kafka.topics.admin import KafkaAdmin
from streamer.ports import LoggedEvent, SubscriberPlace

_POLL_S = 0.5


class PlaceReader:
    """Reads at one offset of one partition. Blocking; raises `LogUnavailable`, `LogMisconfigured`."""

    def __init__(self, clients: Clients, admin: KafkaAdmin) -> None:
        self._clients = clients
        self._admin = admin
        self._errors = KafkaErrors(clients.settings)
        self._names = Names.of(clients.settings)
        self._retry = RetryPolicy(limit_s=RETRY_LIMIT_S, wait=time.sleep)

    def event(self, partition: Partition, offset: int) -> LoggedEvent | None:
        """Return the event at `offset`; `None` if it was deleted or the topic holds no events."""
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
                        return logged_event(message, is_forwarded=is_forwarded, matches=lambda _: True)
        return None

    def place(self, subscriber: SubscriberName, partition: Partition, offset: int) -> SubscriberPlace:
        """Return the committed progress of a subscriber in a partition, and the lane that holds `offset`."""
        with self._errors.explained(doing="reading", subject=f"what subscriber {subscriber} has recorded"):
            committed_offsets = CommittedOffsets(subscriber, self._admin, self._retry)
            progress = committed_offsets.stored_beside(self._clients, self._errors, [partition])
            topic = ParkedTopic.of(self._clients.settings, subscriber)
            restorations = Restorations(self._clients, self._admin, topic, self._retry)
            # A subscriber with progress has its topic of parked events.
            lanes = [lane for each in restorations.finished(progress) for lane in each.lanes]
        return SubscriberPlace(
            progress=progress.get(partition),
            lane=next((lane for lane in lanes if offset in lane.offsets), None),
        )
