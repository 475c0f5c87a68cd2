"""States of records in Kafka, which are looked up in local copies of the state topics."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from streamer.errors import LogUnavailable
from streamer.events import Partition, RecordState, SubscriberName
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import RETRY_LIMIT_S, KafkaErrors, RetryPolicy
from streamer.log.kafka.cluster.names import Names, partition_of
from streamer.log.kafka.records.states import StateDecoder
from streamer.log.kafka.schemas.state_schemas import StateSchemas
from streamer.log.kafka.states.cache import CacheLost, CopyOrigin, StateCache
from streamer.log.kafka.states.catch_up import CatchUp, RebuildProgress
from streamer.log.kafka.states.folder import StateFolder
from streamer.log.kafka.states.memory import CopyMemory
from streamer.log.kafka.states.progress import ChangeProgress
from streamer.log.kafka.topics.provisioner import TopicProvisioner
from streamer.ports import StateRebuild

_ATTEMPTS = 3
# Default of the brokers' delete.retention.ms.
_DAY_MS = 24 * 3_600_000
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTopic:
    """Topic of the states of one entity's records; `changes` is the topic of the entity's changes."""

    entity: str
    name: str
    changes: str
    partitions: int
    id: str
    tombstones_s: float

    def home(self, record_id: str) -> int:
        """Return the partition of a record."""
        return partition_of(record_id.encode(), self.partitions)


class KafkaStates:
    """Record states of the entities whose state topics a feed of this process writes.

    Each state partition that this process needs has a local copy. A copy that only this
    process writes is current without reading the topic. Any other copy is brought up to
    the topic's end before each look-up.
    """

    def __init__(self, clients: Clients, topics: TopicProvisioner) -> None:
        """Prepare; `prepare` connects."""
        self._clients = clients
        self._topics = topics
        self._names = Names.of(clients.settings)
        self._folder = StateFolder(clients.settings.state_directory)
        self._lock = threading.Lock()
        self._known: dict[str, StateTopic] = {}
        self._caches: dict[tuple[str, int], StateCache] = {}
        self._memory = CopyMemory()
        self._exclusive: set[tuple[str, int]] = set()
        self._executor = ThreadPoolExecutor(1, "kafka-states")
        self._closing = threading.Event()
        self._progress = RebuildProgress()
        self._changes = ChangeProgress(clients, topics.admin)
        self.schemas = StateSchemas.of(
            clients.settings,
            clients.schemas,
            changes_of=self._names.changes,
            states_of=self._names.state,
        )

    @property
    def rebuilds(self) -> list[StateRebuild]:
        """Readings of state topics into the local copies of this process."""
        records, remaining = dict(self._progress.records), self._progress.remaining
        return [
            StateRebuild(topic=topic, records=number, remaining=remaining[topic])
            for topic, number in records.items()
        ]

    async def origins(self, entities: Collection[str], /) -> Mapping[str, str]:
        """Return the id of each entity's state topic; raises `LogUnavailable`."""
        return await self._run(self._origins, entities)

    async def of(self, entity: str, record_ids: Collection[str], /) -> Mapping[str, RecordState]:
        """Return the states of those records that have one, by record id; raises `LogUnavailable`."""
        return await self._run(self._of, entity, record_ids)

    async def ends(self, entity: str, /) -> Mapping[Partition, int]:
        """Return an offset above all changes of an entity in the log; raises `LogUnavailable`."""
        return await self._run(self._changes.ends, entity)

    async def settled(
        self, subscriber: SubscriberName, partitions: Collection[Partition], /
    ) -> Mapping[Partition, int]:
        """Return the committed offsets of a subscriber, by partition; raises `LogUnavailable`."""
        return await self._run(self._changes.settled, subscriber, partitions)

    def close(self) -> None:
        """Close every local copy, and release the folder."""
        self._closing.set()
        self._executor.submit(self._close)
        self._executor.shutdown(wait=True)

    # On any thread.

    def prepare(self, entities: Collection[str]) -> None:
        """Create or check the state topics of `entities`, and reserve the folder for their copies.

        A topic that was created again gets new copies. Raises `LogUnavailable` and
        `LogMisconfigured`.
        """
        self._folder.open()
        for entity, state in self._topics.ensure_states(entities).items():
            tombstones_ms = int(state.settings.get("delete.retention.ms", _DAY_MS))
            topic = StateTopic(
                entity=entity,
                name=state.name,
                changes=self._names.changes(entity),
                partitions=state.partitions,
                id=state.id,
                tombstones_s=tombstones_ms / 1000,
            )
            with self._lock:
                if self._known.get(entity) != topic:
                    self._drop(entity)
                self._known[entity] = topic

    def topic_of_changes(self, changes: str) -> StateTopic | None:
        """Return the state topic for events of the topic `changes`; `None` if their states are not kept."""
        with self._lock:
            return next((each for each in self._known.values() if each.changes == changes), None)

    def own(self, topic: StateTopic, numbers: Iterable[int]) -> None:
        """Note that only this process writes these partitions of a state topic."""
        with self._lock:
            self._exclusive.update((topic.entity, number) for number in numbers)

    def disown(self, partitions: Iterable[Partition]) -> None:
        """Note that this process no longer owns these partitions of change topics."""
        for partition in partitions:
            if (topic := self.topic_of_changes(partition.topic)) is not None:
                with self._lock:
                    self._exclusive.discard((topic.entity, partition.number))

    def catch_up(
        self, topic: StateTopic, numbers: Collection[int], bounds: Mapping[int, tuple[int, int]]
    ) -> CatchUp:
        """Begin to bring copies of a state topic up to its end; raises `LogUnavailable`."""
        caches = [self._cache(topic, number) for number in numbers]
        decoder = StateDecoder(schemas=self._clients.schemas, topic=topic.name, entity=topic.entity)
        return CatchUp(self._clients, decoder, caches, bounds, self._progress, idle_limit_s=RETRY_LIMIT_S)

    def cache(self, topic: StateTopic, number: int) -> StateCache | None:
        """Return the copy of a partition, if this process has a copy."""
        with self._lock:
            return self._caches.get((topic.entity, number))

    def topic(self, entity: str) -> StateTopic:
        """Return the state topic of an entity; raises `LogUnavailable`."""
        with self._lock:
            if (known := self._known.get(entity)) is None:
                raise LogUnavailable(f"no open feed keeps the states of {entity}: try again")
            return known

    async def _run(self, work: Callable[..., _Result], *arguments: object) -> _Result:
        if self._closing.is_set():
            raise LogUnavailable("the log is closed")
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)

    # On the thread.

    def _origins(self, entities: Collection[str]) -> Mapping[str, str]:
        states = self._topics.admin.states([self._names.state(entity) for entity in entities])
        found = {entity: states.get(self._names.state(entity)) for entity in entities}
        if missing := [entity for entity, state in found.items() if state is None]:
            raise LogUnavailable(
                f"the topic {self._names.state(missing[0])} does not exist, or is not known yet: try again"
            )
        return {entity: state.id for entity, state in found.items() if state is not None}

    def _of(self, entity: str, record_ids: Collection[str]) -> Mapping[str, RecordState]:
        topic = self.topic(entity)
        wanted: defaultdict[int, list[str]] = defaultdict(list)
        for record_id in record_ids:
            wanted[topic.home(record_id)].append(record_id)
        for _ in range(_ATTEMPTS):
            self._refresh(topic, [number for number in wanted if not self._is_current(topic, number)])
            caches = {number: self._cache(topic, number) for number in wanted}
            try:
                found = [state for number, cache in caches.items() for state in cache.get(wanted[number])]
            except CacheLost:
                # The next refresh reads the topic again.
                continue
            # Another reader can have dropped a file since the refresh.
            if all(cache.is_complete for cache in caches.values()):
                return {state.record_id: state for state in found}
        raise LogUnavailable(f"the local copies of topic {topic.name} were lost again and again: try again")

    def _is_current(self, topic: StateTopic, number: int) -> bool:
        with self._lock:
            cache = self._caches.get((topic.entity, number))
            is_exclusive = (topic.entity, number) in self._exclusive
        return cache is not None and is_exclusive and cache.is_complete and not cache.has_strays

    def _refresh(self, topic: StateTopic, numbers: Collection[int]) -> None:
        if not numbers:
            return
        errors = KafkaErrors(self._clients.settings)
        retry = RetryPolicy(
            clock=self._clients.clock,
            limit_s=RETRY_LIMIT_S,
            wait=self._closing.wait,
            is_over=self._closing.is_set,
        )
        with errors.explained(doing="reading", subject=f"topic {topic.name}"):
            bounds = retry.call(self._topics.admin.bounds, topic.name, numbers)
            reader = self.catch_up(topic, numbers, bounds)
            try:
                while not reader.step():
                    if self._closing.is_set():
                        raise LogUnavailable("the log was closed")
            finally:
                reader.close()

    def _cache(self, topic: StateTopic, number: int) -> StateCache:
        with self._lock:
            if (cache := self._caches.get((topic.entity, number))) is None:
                name = f"{self._names.prefix}.{topic.name}.{number}.db"
                origin = CopyOrigin(
                    entity=topic.entity,
                    topic_id=topic.id,
                    number=number,
                    path=self._folder.open() / name,
                    tombstones_s=topic.tombstones_s,
                )
                cache = StateCache(origin, self._clients.clock, self._memory)
                self._caches[topic.entity, number] = cache
                self._memory.copies = len(self._caches)
            return cache

    def _drop(self, entity: str) -> None:
        for each in [each for each in self._caches if each[0] == entity]:
            self._caches.pop(each).close()
            self._exclusive.discard(each)
        self._memory.copies = len(self._caches)

    def _close(self) -> None:
        self._changes.close()
        for entity in {entity for entity, _ in self._caches}:
            self._drop(entity)
        self._folder.close()
