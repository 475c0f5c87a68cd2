"""Brings the local copies of states up to date for newly assigned partitions of change topics."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaError, KafkaException

from streamer.events import Partition, SettledOffsets
from streamer.log.kafka.cluster.errors import RetryPolicy
from streamer.log.kafka.parked_index import ParkedIndex
from streamer.log.kafka.parked_restoration import Restored
from streamer.log.kafka.schemas.registry import RegistryUnavailable
from streamer.log.kafka.states.catch_up import CatchUp
from streamer.log.kafka.states.states import KafkaStates, StateTopic
from streamer.log.kafka.topics.admin import KafkaAdmin

# Each reader has a client of its own, with threads and a queue of some megabytes.
_READERS_AT_ONCE = 4
_SCHEMA_PAUSE_S = 1.0
_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class _StateRestoration:
    """Partitions of one topic of changes that wait until the states of their records are up to date.

    `needed` are the partitions of the state topic `topic` that `reader` reads, once it
    has begun. Without `topic`, no states are needed. If `is_exclusive`, only this
    process writes the needed partitions.
    """

    progress: dict[Partition, SettledOffsets]
    topic: StateTopic | None
    needed: frozenset[int] = frozenset()
    is_exclusive: bool = False
    reader: CatchUp | None = None

    @property
    def exclusive(self) -> frozenset[int]:
        """Partitions of the state topic that only this process writes, without the revoked ones."""
        owned = {partition.number for partition in self.progress}
        return self.needed & owned if self.is_exclusive else frozenset()


class StateRestorations:
    """All running restorations of a group member whose settlements contain states."""

    def __init__(self, states: KafkaStates, admin: KafkaAdmin, retry: RetryPolicy) -> None:
        self._states = states
        self._admin = admin
        self._retry = retry
        self._running: list[_StateRestoration] = []
        self._owned: set[Partition] = set()

    def begin(self, progress: Mapping[Partition, SettledOffsets]) -> None:
        """Start to read the states for partitions; their committed offsets must have been read before.

        The group returns no offset while a transaction that moves the offset is open.
        So the states of a previous owner are below the end offsets that are read from
        now on. Raises `KafkaException` and `LogUnavailable`.
        """
        by_topic: defaultdict[str, dict[Partition, SettledOffsets]] = defaultdict(dict)
        for partition, at in progress.items():
            by_topic[partition.topic][partition] = at
        counts = self._retry.call(self._counts, by_topic)
        for changes, partitions in by_topic.items():
            self._running.append(self._begun(changes, partitions, counts[changes]))

    def __contains__(self, partition: Partition) -> bool:
        return any(partition in each.progress for each in self._running)

    def __bool__(self) -> bool:
        return bool(self._running)

    def step(self) -> list[Restored]:
        """Read the next slice of some restorations; return the partitions that are complete.

        Raises `KafkaException`, `LogUnavailable`.
        """
        done = [each for each in self._running[:_READERS_AT_ONCE] if self._step(each)]
        self._running = [each for each in self._running if each not in done]
        for each in done:
            self._owned.update(each.progress)
            if each.topic is not None:
                self._states.own(each.topic, each.exclusive)
        return [
            Restored(
                partition=partition,
                progress=at,
                parked=ParkedIndex(),
                lanes=(),
                recorded_offsets=frozenset(),
            )
            for each in done
            for partition, at in each.progress.items()
        ]

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Forget revoked partitions, which another process can write from now on."""
        gone = frozenset(partitions)
        self._states.disown(gone)
        self._owned -= gone
        for each in self._running:
            for partition in gone & each.progress.keys():
                del each.progress[partition]

    def abandon(self) -> None:
        """End all restorations, and forget all partitions."""
        self._states.disown(self._owned)
        self._owned.clear()
        for each in self._running:
            if each.reader is not None:
                each.reader.close()
        self._running = []

    def _begun(
        self, changes: str, progress: dict[Partition, SettledOffsets], count: int
    ) -> _StateRestoration:
        topic = self._states.topic_of_changes(changes)
        if topic is None:
            return _StateRestoration(progress=progress, topic=None)
        # With equal numbers of partitions, a record has the same partition in both topics.
        is_exclusive = count == topic.partitions
        own = [partition.number for partition in progress]
        needed = frozenset(own if is_exclusive else range(topic.partitions))
        return _StateRestoration(progress=progress, topic=topic, needed=needed, is_exclusive=is_exclusive)

    def _step(self, restoration: _StateRestoration) -> bool:
        topic = restoration.topic
        if topic is None or not restoration.progress:
            return True
        if restoration.reader is None:
            bounds = self._retry.call(self._admin.bounds, topic.name, restoration.needed)
            restoration.reader = self._states.catch_up(topic, restoration.needed, bounds)
        try:
            return restoration.reader.step()
        except RegistryUnavailable as error:
            # Leaving the group would move the partitions to a process that has to wait too.
            _log.debug("state.schema_awaited", topic=topic.name, reason=str(error))
            self._retry.wait(_SCHEMA_PAUSE_S)
            return False

    def _counts(self, topics: Iterable[str]) -> dict[str, int]:
        known = self._admin.cluster().topics
        if missing := [topic for topic in topics if topic not in known]:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, missing[0]))
        return {topic: len(known[topic].partitions) for topic in topics}
