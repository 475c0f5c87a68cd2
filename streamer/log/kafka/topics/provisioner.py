"""Makes or checks our topics before anything else touches them."""

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import structlog
from confluent_kafka.admin import ClusterMetadata, NewTopic  # type: ignore[attr-defined] # public, but not marked so

from streamer.clock import Clock
from streamer.errors import LogMisconfigured, LogUnavailable
from streamer.events import SubscriberName
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.retry import RetryPolicy
from streamer.log.kafka.topics.admin import CALL_TIMEOUT_S, KafkaAdmin, TopicState
from streamer.log.kafka.topics.checks import MANY_BROKERS, SAFE_MINIMUM, TopicChecks
from streamer.log.kafka.topics.coordinators import Coordinators
from streamer.log.kafka.topics.specs import TopicSpecs, described

_log = structlog.get_logger()

_PREPARE_S = 8.0
_ATTEMPT_S = 1.0
_PAUSE_S = 0.05
_SPREAD_S = 2.0


class TopicProvisioner:
    """Makes topics, or reports what is missing where it may not make any. Blocking; any thread may call.

    `prepare` comes first: only then is it known what topics need on these brokers.
    """

    def __init__(self, clients: Clients, clock: Clock) -> None:
        """Connect lazily, by one admin client."""
        self._settings = clients.settings
        self._names = Names.of(clients.settings)
        self._admin = KafkaAdmin(clients)
        self._coordinators = Coordinators(clients, self._admin, clock)
        self._checks = TopicChecks(clients.settings)
        self._clock = clock
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._specs = TopicSpecs(settings=clients.settings)

    @property
    def admin(self) -> KafkaAdmin:
        """Whoever asks the brokers."""
        return self._admin

    def prepare(self) -> None:
        """Connect, make or check the topics that are Streamer's own, and look for what is unsafe.

        Raises `CredentialsRefused` or `LogMisconfigured` when someone must
        act, with all that is wrong at once, and `LogUnavailable` within 10 s
        when no broker answers.
        """
        deadline = self._clock.monotonic() + _PREPARE_S
        cluster = self._retry(deadline).call(self._admin.cluster, _ATTEMPT_S)
        self._specs = replace(self._specs, durability=self._durability_on(cluster))
        internal = self._specs.internal()
        states = self._admin.states({*internal, *self._ours(cluster)}, self._left(deadline))
        errors: list[str] = []
        if missing := {name: topic for name, topic in internal.items() if name not in states}:
            try:
                self._retry(deadline).call(lambda: self._require(missing, self._left(deadline)))
                # Somebody else may have made it meanwhile, so it is looked at again.
                states |= self._made(missing.keys(), deadline)
            except LogMisconfigured as exc:
                errors.append(str(exc))
        errors += self._checks.refusals([states[name] for name in internal if name in states])
        errors += self._uncoordinated(deadline)
        if errors:
            raise LogMisconfigured("; ".join(errors))
        for weakness in self._checks.weaknesses(list(states.values()), brokers=len(cluster.brokers)):
            _log.warning(weakness.event, topics=weakness.topics, reason=weakness.sentence)
        self._known.update(internal)

    def ensure(self, topics: Collection[str], timeout_s: float = CALL_TIMEOUT_S) -> None:
        """Make the event topics `topics` where they are missing; what is known to exist costs nothing.

        Raises `LogMisconfigured` and `LogUnavailable`.
        """
        if self._known.issuperset(topics):
            return
        with self._alone(timeout_s):
            self._known.update(self._admin.cluster(timeout_s).topics)
            missing = set(topics) - self._known
            self._require({name: self._specs.events(name) for name in missing}, timeout_s)
            self._known.update(missing)

    def ensure_parked(self, subscriber: SubscriberName, *, has_begun: bool) -> None:
        """Check the topic of what `subscriber` has parked; make it for one that has not begun yet.

        Raises `LogMisconfigured`, above all when one that has begun lacks it:
        what was parked there would be lost without a word. Raises
        `LogUnavailable`.
        """
        topic = self._specs.parked(subscriber)
        deadline = self._clock.monotonic() + _SPREAD_S
        states = self._admin.states([topic.topic])
        while not states and has_begun and self._clock.monotonic() < deadline:
            # Another process may have made it a moment ago, and not every broker knows.
            self._admin.wait(_PAUSE_S)
            states = self._admin.states([topic.topic])
        if not states and has_begun:
            raise LogMisconfigured(
                f"topic {topic.topic} is missing although subscriber {subscriber} has been at work, and what "
                f"it had parked is gone with it: restore it, or go on without those events by creating "
                f"{described(topic)}"
            )
        if not states:
            self._require({topic.topic: topic})
            states = self._made([topic.topic], self._clock.monotonic() + _PREPARE_S)
        if errors := list(self._checks.refusals(list(states.values()))):
            raise LogMisconfigured("; ".join(errors))

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

    def _retry(self, deadline: float) -> RetryPolicy:
        return RetryPolicy(
            limit_s=deadline - self._clock.monotonic(),
            wait=self._admin.wait,
            can_pass=lambda error: isinstance(error, LogUnavailable),
            pause_s=_PAUSE_S,
        )

    def _left(self, deadline: float) -> float:
        return max(_PAUSE_S, deadline - self._clock.monotonic())

    def _ours(self, cluster: ClusterMetadata) -> set[str]:
        return {
            name
            for name in cluster.topics
            if self._names.is_internal(name)
            or (not name.startswith("__") and self._names.event_type_stem(name) is not None)
        }

    def _made(self, topics: Collection[str], deadline: float) -> dict[str, TopicState]:
        """Wait for the brokers to know of topics that were made a moment ago."""

        def known() -> dict[str, TopicState]:
            states = self._admin.states(topics, self._left(deadline))
            if len(states) < len(topics):
                raise LogUnavailable(
                    f"topics {', '.join(topics)} were made, and the brokers do not know them yet"
                )
            return states

        return self._retry(deadline).call(known)

    def _uncoordinated(self, deadline: float) -> list[str]:
        errors: list[str] = []
        for refusal in self._coordinators.refusals(deadline):
            if not isinstance(refusal, LogMisconfigured):
                raise refusal
            errors.append(str(refusal))
        return errors

    def _require(self, missing: Mapping[str, NewTopic], timeout_s: float = CALL_TIMEOUT_S) -> None:
        if not missing:
            return
        if not self._settings.create_topics:
            wanted = "; ".join(described(topic) for _, topic in sorted(missing.items()))
            raise LogMisconfigured(
                f"topics are missing and log.kafka.create_topics is false: create {wanted}"
            )
        self._admin.create(missing.values(), timeout_s)

    def _durability_on(self, cluster: ClusterMetadata) -> dict[str, str]:
        """Return what a new topic needs so that no single broker's death loses anything."""
        if len(cluster.brokers) < MANY_BROKERS:
            return {}
        broker = self._admin.broker_settings(next(iter(cluster.brokers)))
        factor = self._settings.replication_factor
        copies = factor if factor > 0 else int(broker.get("default.replication.factor", 1))
        minimum = int(broker.get("min.insync.replicas", 1))
        if copies <= SAFE_MINIMUM or minimum >= SAFE_MINIMUM:
            return {}
        return {"min.insync.replicas": str(SAFE_MINIMUM)}
