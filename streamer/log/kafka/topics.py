"""Our topics: made as they must be, or checked, before anything else touches them."""

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import structlog
from confluent_kafka.admin import ClusterMetadata, NewTopic  # type: ignore[attr-defined] # public, but not marked so

from streamer.clock import Clock
from streamer.errors import LogMisconfigured, LogUnavailable
from streamer.log.kafka.administrator import CALL_TIMEOUT_S, Administrator, TopicState
from streamer.log.kafka.clients import MAX_MESSAGE_BYTES, Clients
from streamer.log.kafka.coordinators import Coordinators
from streamer.log.kafka.names import Names
from streamer.log.kafka.protection import MANY_BROKERS, SAFE_MINIMUM, Protection

_log = structlog.get_logger()

_PREPARE_S = 8.0
_ATTEMPT_S = 1.0
_PAUSE_S = 0.05
_HOUR_MS = 3_600_000

# A topic of many small records is slow to read to its end unless its segments
# are small and the cleaner is eager.
_QUICKLY_READ = {
    "cleanup.policy": "compact",
    "segment.bytes": str(16 * 1024 * 1024),
    "min.cleanable.dirty.ratio": "0.1",
}
_LIMIT = {"max.message.bytes": str(MAX_MESSAGE_BYTES)}


class Topics:
    """Makes topics, or reports what is missing where it may not make any. Blocking; any thread may call."""

    def __init__(self, clients: Clients, clock: Clock) -> None:
        """Connect lazily, by one admin client."""
        self._settings = clients.settings
        self._names = Names.of(clients.settings)
        self._administrator = Administrator(clients)
        self._coordinators = Coordinators(clients, self._administrator, clock)
        self._protection = Protection(clients.settings)
        self._clock = clock
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._durability: dict[str, str] = {}

    def prepare(self) -> None:
        """Connect, make or check the topics that are Streamer's own, and look for what is unsafe.

        Raises `CredentialsRefused` or `LogMisconfigured` when someone must
        act, with all that is wrong at once, and `LogUnavailable` within 10 s
        when no broker answers.
        """
        deadline = self._clock.monotonic() + _PREPARE_S
        cluster = self._connect(deadline)
        self._durability = self._durability_on(cluster)
        internal = self._internal()
        states = self._administrator.states({*internal, *self._event_topics(cluster)}, self._left(deadline))
        faults: list[str] = []
        if missing := {name: topic for name, topic in internal.items() if name not in states}:
            try:
                self._require(missing, self._left(deadline))
                # Somebody else may have made it meanwhile, so it is looked at again.
                states |= self._made(missing.keys(), deadline)
            except LogMisconfigured as exc:
                faults.append(str(exc))
        faults += self._protection.refusals([states[name] for name in internal if name in states])
        faults += self._uncoordinated(deadline)
        if faults:
            raise LogMisconfigured("; ".join(faults))
        for weakness in self._protection.weaknesses(list(states.values()), brokers=len(cluster.brokers)):
            _log.warning(weakness.event, topics=weakness.topics, reason=weakness.sentence)
        self._known.update(internal)

    def ensure(self, topics: Collection[str], timeout_s: float = CALL_TIMEOUT_S) -> None:
        """Make the event topics `topics` where they are missing; what is known to exist costs nothing.

        Raises `LogMisconfigured` and `LogUnavailable`.
        """
        if self._known.issuperset(topics):
            return
        with self._alone(timeout_s):
            self._known.update(self._administrator.cluster(timeout_s).topics)
            missing = set(topics) - self._known
            self._require({name: self._event_topic(name) for name in missing}, timeout_s)
            self._known.update(missing)

    def forget(self, topics: Collection[str]) -> None:
        """Look again before these are written to: someone may have removed them. Never waits."""
        # One step of the interpreter, so it needs no lock; who looks at the same moment sees what is there.
        self._known.difference_update(topics)

    @contextmanager
    def _alone(self, timeout_s: float) -> Iterator[None]:
        """Let one thread at a time in; none waits for long where a broker keeps that one waiting."""
        if not self._lock.acquire(timeout=timeout_s):
            raise LogUnavailable("another channel has been waiting for a broker to tell its topics")
        try:
            yield
        finally:
            self._lock.release()

    def _connect(self, deadline: float) -> ClusterMetadata:
        while True:
            try:
                return self._administrator.cluster(_ATTEMPT_S)
            except LogUnavailable:
                if self._clock.monotonic() > deadline:
                    raise

    def _left(self, deadline: float) -> float:
        return max(_PAUSE_S, deadline - self._clock.monotonic())

    def _event_topics(self, cluster: ClusterMetadata) -> set[str]:
        return {
            name
            for name in cluster.topics
            if not name.startswith("__") and self._names.event_type_stem(name) is not None
        }

    def _made(self, topics: Collection[str], deadline: float) -> dict[str, TopicState]:
        """Wait for the brokers to know of topics that were made a moment ago."""
        while len(states := self._administrator.states(topics, self._left(deadline))) < len(topics):
            if self._clock.monotonic() > deadline:
                raise LogUnavailable(
                    f"topics {', '.join(topics)} were made, and the brokers do not know them yet"
                )
            self._administrator.wait(_PAUSE_S)
        return states

    def _uncoordinated(self, deadline: float) -> list[str]:
        faults: list[str] = []
        for refusal in self._coordinators.refusals(deadline):
            if not isinstance(refusal, LogMisconfigured):
                raise refusal
            faults.append(str(refusal))
        return faults

    def _require(self, missing: Mapping[str, NewTopic], timeout_s: float = CALL_TIMEOUT_S) -> None:
        if not missing:
            return
        if not self._settings.create_topics:
            wanted = "; ".join(_described(topic) for _, topic in sorted(missing.items()))
            raise LogMisconfigured(
                f"topics are missing and log.kafka.create_topics is false: create {wanted}"
            )
        self._administrator.create(missing.values(), timeout_s)

    def _durability_on(self, cluster: ClusterMetadata) -> dict[str, str]:
        """Return what a new topic needs so that no single broker's death loses anything."""
        if len(cluster.brokers) < MANY_BROKERS:
            return {}
        broker = self._administrator.broker_settings(next(iter(cluster.brokers)))
        factor = self._settings.replication_factor
        copies = factor if factor > 0 else int(broker.get("default.replication.factor", 1))
        minimum = int(broker.get("min.insync.replicas", 1))
        if copies <= SAFE_MINIMUM or minimum >= SAFE_MINIMUM:
            return {}
        return {"min.insync.replicas": str(SAFE_MINIMUM)}

    def _internal(self) -> dict[str, NewTopic]:
        # Dead letters are kept by id until someone removes them, records of
        # holes for ever.
        return {
            name: NewTopic(
                name,
                num_partitions=partitions,
                replication_factor=self._settings.replication_factor,
                config=_LIMIT | config | self._durability,
            )
            for name, partitions, config in (
                (self._names.checkpoints, self._settings.checkpoint_partitions, _QUICKLY_READ),
                (self._names.dead_letters, 1, {"cleanup.policy": "compact"}),
                (self._names.continuity, 1, {"cleanup.policy": "delete", "retention.ms": "-1"}),
                (self._names.control, 1, _QUICKLY_READ),
            )
        }

    def _event_topic(self, name: str) -> NewTopic:
        retention_h = self._settings.retention_h
        retention = {"retention.ms": str(round(retention_h * _HOUR_MS))} if retention_h else {}
        return NewTopic(
            name,
            num_partitions=self._settings.partitions,
            replication_factor=self._settings.replication_factor,
            config=_LIMIT | retention | self._durability,
        )


def _described(topic: NewTopic) -> str:
    settings = " ".join(f"{name}={value}" for name, value in (topic.config or {}).items())
    return f"{topic.topic} ({topic.num_partitions} partitions, {settings})"
