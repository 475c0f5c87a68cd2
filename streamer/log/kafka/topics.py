"""Our topics: made as they must be, or checked, before anything else touches them."""

import threading
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not marked so
    AdminClient,
    ConfigResource,
    NewTopic,
    TopicMetadata,
)

from streamer.clock import Clock
from streamer.errors import LogMisconfigured, LogUnavailable
from streamer.log.kafka.clients import MAX_MESSAGE_BYTES, Clients
from streamer.log.kafka.faults import Faults, kafka_error
from streamer.log.kafka.names import Names

_log = structlog.get_logger()

_CONNECT_DEADLINE_S = 9.0
_CALL_TIMEOUT_S = 8.0
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
        self._faults = Faults(clients.settings)
        self._admin: AdminClient = clients.admin(self._faults)
        self._clock = clock
        self._lock = threading.Lock()
        self._known: set[str] = set()

    def prepare(self) -> None:
        """Connect, and make or check the topics that are Streamer's own.

        Raises `CredentialsRefused` or `LogMisconfigured` when someone must
        act, `LogUnavailable` within 10 s when no broker answers.
        """
        internal = self._internal()
        found = self._connect()
        self._require({name: topic for name, topic in internal.items() if name not in found})
        # Somebody else may have made it meanwhile, so it is looked at again.
        self._check_partitions(self._found(self._names.checkpoints))
        self._check_policies({self._names.checkpoints, self._names.control} & found.keys())
        self._known.update(internal)

    def ensure(self, topics: Collection[str], timeout_s: float = _CALL_TIMEOUT_S) -> None:
        """Make the event topics `topics` where they are missing; what is known to exist costs nothing.

        Raises `LogMisconfigured` and `LogUnavailable`.
        """
        if self._known.issuperset(topics):
            return
        with self._lock:
            self._known.update(self._existing(timeout_s))
            missing = set(topics) - self._known
            self._require({name: self._event_topic(name) for name in missing}, timeout_s)
            self._known.update(missing)

    def forget(self, topics: Collection[str]) -> None:
        """Look again before these are written to: someone may have removed them."""
        with self._lock:
            self._known.difference_update(topics)

    def _connect(self) -> Mapping[str, TopicMetadata]:
        deadline = self._clock.monotonic() + _CONNECT_DEADLINE_S
        while True:
            try:
                return self._existing(_ATTEMPT_S)
            except LogUnavailable:
                if self._clock.monotonic() > deadline:
                    raise

    def _existing(self, timeout_s: float = _CALL_TIMEOUT_S) -> Mapping[str, TopicMetadata]:
        with self._explained("listing", "topics"):
            listed: Mapping[str, TopicMetadata] = self._admin.list_topics(timeout=timeout_s).topics
            return listed

    def _found(self, name: str) -> TopicMetadata:
        """Wait for the brokers to know of a topic that was made a moment ago."""
        deadline = self._clock.monotonic() + _CALL_TIMEOUT_S
        while name not in (found := self._existing()):
            if self._clock.monotonic() > deadline:
                raise LogUnavailable(f"topic {name} was made, and the brokers do not know it yet")
            self._admin.poll(_PAUSE_S)
        return found[name]

    def _require(self, missing: Mapping[str, NewTopic], timeout_s: float = _CALL_TIMEOUT_S) -> None:
        if not missing:
            return
        if not self._settings.create_topics:
            wanted = "; ".join(_described(topic) for _, topic in sorted(missing.items()))
            raise LogMisconfigured(
                f"topics are missing and log.kafka.create_topics is false: create {wanted}"
            )
        created = self._admin.create_topics(
            list(missing.values()), operation_timeout=timeout_s, request_timeout=timeout_s
        )
        for name, outcome in created.items():
            with self._explained("creating", f"topic {name}"):
                _await_creation(outcome, timeout_s)

    def _check_partitions(self, checkpoints: TopicMetadata) -> None:
        found, wanted = len(checkpoints.partitions), self._settings.checkpoint_partitions
        if found != wanted:
            raise LogMisconfigured(
                f"topic {self._names.checkpoints} has {found} partitions and checkpoint_partitions is "
                f"{wanted}: set log.kafka.checkpoint_partitions to {found}, since channels were placed by it"
            )

    def _check_policies(self, topics: Collection[str]) -> None:
        if not topics:
            return
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in topics]
        described = self._admin.describe_configs(resources, request_timeout=_CALL_TIMEOUT_S)
        for resource, outcome in described.items():
            with self._explained("describing", f"topic {resource.name}"):
                policy = outcome.result(_CALL_TIMEOUT_S)["cleanup.policy"].value
            if policy != "compact":
                raise LogMisconfigured(
                    f"topic {resource.name} has cleanup.policy={policy}, by which the broker would delete "
                    "what must stay: set it to compact"
                )

    @contextmanager
    def _explained(self, doing: str, subject: str) -> Iterator[None]:
        try:
            yield
        except (KafkaException, TimeoutError) as exc:
            # Serves what the background threads had to say about it.
            self._admin.poll(0)
            error = kafka_error(exc) if isinstance(exc, KafkaException) else KafkaError(KafkaError._TIMED_OUT)
            raise self._faults.explain(error, doing=doing, subject=subject) from exc
        self._faults.clear()

    def _internal(self) -> dict[str, NewTopic]:
        # Dead letters are kept by id until someone removes them, records of
        # holes for ever.
        return {
            name: NewTopic(
                name,
                num_partitions=partitions,
                replication_factor=self._settings.replication_factor,
                config=_LIMIT | config,
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
            config=_LIMIT | retention,
        )


def _await_creation(outcome: "Future[None]", timeout_s: float) -> None:
    try:
        outcome.result(timeout_s + _ATTEMPT_S)
    except KafkaException as exc:
        # Another process was quicker, which is as good.
        if kafka_error(exc).code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def _described(topic: NewTopic) -> str:
    settings = " ".join(f"{name}={value}" for name, value in (topic.config or {}).items())
    return f"{topic.topic} ({topic.num_partitions} partitions, {settings})"
