"""Names of Streamer's topics, groups and transactional ids in Kafka, and the partition of a key."""

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from streamer.events import SubscriberName
from streamer.log.kafka.cluster.topic_naming import TopicNaming
from streamer.settings import KafkaLogSettings

_PARKED = "parked"
_FORWARDED = "forwarded"
_NAME = "{name}"
_ENTITY = "[A-Za-z0-9_]+"
_MAX_TOPIC_LENGTH = 249


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Names that begin with `prefix`, and the names of event topics, which follow from `naming`.

    The names of state topics follow from `state_template`.
    """

    prefix: str
    naming: TopicNaming
    state_template: str

    @classmethod
    def of(cls, settings: KafkaLogSettings) -> "Names":
        """Return the names that follow from `settings`."""
        naming = TopicNaming.of(settings)
        return cls(prefix=settings.prefix, naming=naming, state_template=settings.state_topic)

    @property
    def checkpoints(self) -> str:
        """Topic of the channels' checkpoints."""
        return f"{self.prefix}.checkpoints"

    @property
    def dead_letters(self) -> str:
        """Topic of the dead letters."""
        return f"{self.prefix}.dead-letters"

    @property
    def continuity(self) -> str:
        """Topic of the continuity records."""
        return f"{self.prefix}.continuity"

    @property
    def control(self) -> str:
        """Topic of controls, redrives, snapshot orders and position orders."""
        return f"{self.prefix}.control"

    @property
    def audit(self) -> str:
        """Topic of the audit records."""
        return f"{self.prefix}.audit"

    @property
    def receipts(self) -> str:
        """Topic of the receipts."""
        return f"{self.prefix}.receipts"

    @property
    def processes(self) -> str:
        """Topic of the processes' records about themselves, which exists once a process has a console."""
        return f"{self.prefix}.processes"

    def parked(self, subscriber: SubscriberName) -> str:
        """Return the topic of a subscriber's parked lanes."""
        return f"{self.prefix}.{_PARKED}.{subscriber}"

    def forwarded(self, subscriber: SubscriberName) -> str:
        """Return the topic of the events that are forwarded to `subscriber`."""
        return f"{self.prefix}.{_FORWARDED}.{subscriber}"

    def state(self, entity: str) -> str:
        """Return the topic of the states of an entity's records."""
        return self.state_template.replace(_NAME, entity)[:_MAX_TOPIC_LENGTH]

    @property
    def ingest_group(self) -> str:
        """Consumer group whose members share the channels."""
        return f"{self.prefix}.ingest"

    def ingest_transactions(self, partition: int) -> str:
        """Return the transactional id of the process that owns `partition` of the checkpoint topic."""
        return f"{self.prefix}.ingest.{partition}"

    @property
    def trial_transactions(self) -> str:
        """Transactional id of the start-up check."""
        return f"{self.prefix}.ingest.trial"

    def dispatch_group(self, subscriber: SubscriberName) -> str:
        """Return the consumer group of a subscriber."""
        return f"{self.prefix}.dispatch.{subscriber}"

    def event_topic(self, event_type: str) -> str:
        """Return the topic of an event type; all changes of an entity share one topic.

        For example, `salesforce.cdc.Account.updated` has the kind `cdc` and the
        name `Account`.
        """
        return self.naming.topic(event_type)

    def changes(self, entity: str) -> str:
        """Return the topic of all changes of an entity."""
        return self.event_topic(f"salesforce.cdc.{entity}.*")

    def event_type_stem(self, topic: str) -> str | None:
        """Return the prefix of the event types in an event topic; `None` for any other topic.

        A foreign topic can also have a name that follows from a template.
        """
        return None if self.is_internal(topic) else self.naming.stem(topic)

    def versions_of(self, topic: str, topics: Iterable[str]) -> list[str]:
        """Return `topic` and its later versions in `topics`, in the order in which they were written."""
        return sorted(self.naming.versions(topic, topics), key=lambda each: (len(each), each))

    @property
    def internal(self) -> frozenset[str]:
        """Names of Streamer's own topics that always exist."""
        return frozenset(
            {
                self.checkpoints,
                self.dead_letters,
                self.continuity,
                self.control,
                self.audit,
                self.receipts,
            }
        )

    def is_internal(self, topic: str) -> bool:
        """Return whether `topic` is one of Streamer's own topics.

        No template can produce the name of such a topic.
        """
        return topic in self._alone or topic.startswith(self._families) or self.is_state(topic)

    def is_used(self, topic: str) -> bool:
        """Return whether `topic` is one of Streamer's own topics or an event topic."""
        return self.is_internal(topic) or (
            not topic.startswith("__") and self.event_type_stem(topic) is not None
        )

    def is_parked(self, topic: str) -> bool:
        """Return whether `topic` holds a subscriber's parked lanes."""
        return topic.startswith(self._families[0])

    def is_state(self, topic: str) -> bool:
        """Return whether `topic` holds states of records."""
        return re.fullmatch(self._state_expression, topic) is not None

    def is_forwarded(self, topic: str) -> bool:
        """Return whether `topic` holds the events that are forwarded to a subscriber."""
        return topic.startswith(self._families[1])

    @property
    def internal_expressions(self) -> str:
        """Regular expressions that match all of Streamer's own topics, in librdkafka's list format."""
        alone = [f"^{_escaped(name)}$" for name in sorted(self._alone)]
        families = [f"^{_escaped(name)}" for name in self._families]
        return ",".join([*alone, *families, f"^{self._state_expression}$"])

    @property
    def parked_expression(self) -> str:
        """Regular expression that matches the topics of parked lanes."""
        return f"^{_escaped(self._families[0])}"

    def forwarded_expression(self, subscriber: SubscriberName) -> str:
        """Return the regular expression that matches only the topic `forwarded(subscriber)`."""
        return f"^{_escaped(self.forwarded(subscriber))}$"

    @property
    def _alone(self) -> frozenset[str]:
        """Names of Streamer's own topics that do not exist once per subscriber."""
        return self.internal | {self.processes}

    @property
    def _families(self) -> tuple[str, ...]:
        """Prefixes of the topics that exist once per subscriber."""
        return f"{self.prefix}.{_PARKED}.", f"{self.prefix}.{_FORWARDED}."

    @property
    def _state_expression(self) -> str:
        return _escaped(self.state_template).replace(_NAME, _ENTITY)


def _escaped(name: str) -> str:
    # The dot is the only special character that a prefix or a template can contain.
    return name.replace(".", r"\.")


_MASK = 0xFFFFFFFF
_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_WORDS = struct.Struct("<I")


def murmur2(data: bytes) -> int:
    """Return the 32-bit murmur2 hash of `data`, as `org.apache.kafka.common.utils.Utils` computes it."""
    whole = len(data) & ~3
    hashed = _SEED ^ len(data)
    for (word,) in _WORDS.iter_unpack(data[:whole]):
        mixed = word * _MULTIPLIER & _MASK
        mixed = (mixed ^ mixed >> 24) * _MULTIPLIER & _MASK
        hashed = hashed * _MULTIPLIER & _MASK ^ mixed
    if whole < len(data):
        hashed = (hashed ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _MASK
    hashed = (hashed ^ hashed >> 13) * _MULTIPLIER & _MASK
    return hashed ^ hashed >> 15


# A state is looked up and then written, so its partition is asked for twice.
@lru_cache(maxsize=16_384)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of `key` in a topic with this many `partitions`."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
