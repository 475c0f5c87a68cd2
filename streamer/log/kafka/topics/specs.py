"""Specifications of Streamer's topics."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined] # public, but not marked so

from streamer.events import SubscriberName
from streamer.log.kafka.cluster.clients import MAX_MESSAGE_BYTES
from streamer.log.kafka.cluster.names import Names
from streamer.ports import ProcessRecordKind
from streamer.settings import KafkaLogSettings

_HOUR_MS = 3_600_000
_LIMIT = {"max.message.bytes": str(MAX_MESSAGE_BYTES)}
_BY_ID = {"cleanup.policy": "compact"}
# A topic of many small records can be read quickly only if its segments are small and
# compaction starts early.
_QUICKLY_READ = {
    "cleanup.policy": "compact",
    "segment.bytes": str(16 * 1024 * 1024),
    "min.cleanable.dirty.ratio": "0.1",
}
_DAY_MS = 24 * _HOUR_MS
# A tombstone stays for a week, so that a consumer that was down for some days also deletes the record.
_STATES = _QUICKLY_READ | {"delete.retention.ms": str(7 * _DAY_MS)}
_BY_AGE = {"cleanup.policy": "delete"}
# The broker deletes only whole segments, so a segment must be short beside the retention.
_FOR_AN_HOUR = {"cleanup.policy": "delete", "retention.ms": str(_HOUR_MS), "segment.ms": str(_HOUR_MS // 4)}
_FOR_EVER = {"cleanup.policy": "delete", "retention.ms": "-1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpecs:
    """Specifications of the topics that Streamer creates or asks an operator to create.

    With the settings in `durability`, a topic on these brokers survives the loss of any
    one broker.
    """

    settings: KafkaLogSettings
    durability: Mapping[str, str] = field(default_factory=dict)

    def internal(self) -> dict[str, NewTopic]:
        """Return Streamer's own topics that always exist, by name."""
        # Dead letters stay until an operator removes them. The newest state of each continuity
        # record and all audit records stay forever.
        topics = (
            self._topic(self._names.checkpoints, self.settings.checkpoint_partitions, _QUICKLY_READ),
            self._topic(self._names.dead_letters, 1, _BY_ID),
            self._topic(self._names.continuity, 1, _QUICKLY_READ),
            self._topic(self._names.control, 1, _QUICKLY_READ),
            self._topic(self._names.audit, 1, _FOR_EVER),
            # Receipts have as many partitions as event topics, so a key has the same partition
            # number in both.
            self._topic(self._names.receipts, self.settings.partitions, _BY_AGE | self._retention()),
        )
        return {topic.topic: topic for topic in topics}

    def processes(self) -> NewTopic:
        """Return the topic of the processes' records about themselves."""
        return self._topic(self._names.processes, len(ProcessRecordKind), _FOR_AN_HOUR)

    def parked(self, subscriber: SubscriberName) -> NewTopic:
        """Return the topic of a subscriber's parked lanes."""
        return self._topic(self._names.parked(subscriber), self.settings.parked_partitions, _QUICKLY_READ)

    def forwarded(self, subscriber: SubscriberName) -> NewTopic:
        """Return the topic of the events that are forwarded to a subscriber."""
        name = self._names.forwarded(subscriber)
        return self._topic(name, self.settings.partitions, _BY_AGE | self._retention())

    def states(self, entity: str, partitions: int | None = None) -> NewTopic:
        """Return the topic of an entity's states, with as many partitions as the entity's event topic."""
        return self._topic(self._names.state(entity), partitions or self.settings.partitions, _STATES)

    def events(self, name: str) -> NewTopic:
        """Return the event topic `name`."""
        return self._topic(name, self.settings.partitions, self._retention())

    @property
    def _names(self) -> Names:
        return Names.of(self.settings)

    def _retention(self) -> dict[str, str]:
        hours = self.settings.retention_h
        return {"retention.ms": str(round(hours * _HOUR_MS))} if hours else {}

    def _topic(self, name: str, partitions: int, config: Mapping[str, str]) -> NewTopic:
        return NewTopic(
            name,
            num_partitions=partitions,
            replication_factor=self.settings.replication_factor,
            config={**_LIMIT, **config, **self.durability},
        )


def described(topic: NewTopic) -> str:
    """Return the description of `topic` for an operator who must create it."""
    settings = " ".join(f"{name}={value}" for name, value in (topic.config or {}).items())
    return f"{topic.topic} ({topic.num_partitions} partitions, {settings})"
