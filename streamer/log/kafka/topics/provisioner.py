"""Provisioner of Streamer's topics, which creates or checks topics before their use."""

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import structlog
from confluent_kafka.admin import ClusterMetadata, NewTopic, TopicMetadata  # type: ignore[attr-defined] # public, but not marked so

from streamer.errors import LogMisconfigured, LogUnavailable
from streamer.events import SubscriberName
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import RetryPolicy
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.topics.admin import CALL_TIMEOUT_S, KafkaAdmin, TopicState
from streamer.log.kafka.topics.checks import MANY_BROKERS, SAFE_MINIMUM, TopicChecks
from streamer.log.kafka.topics.coordinators import Coordinators
from streamer.log.kafka.topics.specs import TopicSpecs, described

_log = structlog.get_logger()

_PREPARE_S = 8.0
_ATTEMPT_S = 1.0
_PAUSE_S = 0.05
_PROPAGATION_S = 2.0


class TopicProvisioner:
    """Creates missing topics, or reports missing topics if it must not create any; blocking, for any thread.

    The caller must call `prepare` before any other method. `prepare` determines the
    settings that topics need on these brokers.
    """

    def __init__(self, clients: Clients) -> None:
        self._settings = clients.settings
        self._names = Names.of(clients.settings)
        self._admin = KafkaAdmin(clients)
        self._coordinators = Coordinators(clients, self._admin)
        self._checks = TopicChecks(clients.settings)
        self._clock = clients.clock
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._specs = TopicSpecs(settings=clients.settings)

    @property
    def admin(self) -> KafkaAdmin:
        """Admin client of this log."""
        return self._admin

    def prepare(self) -> None:
        """Connect, create or check Streamer's own topics, and warn of unsafe settings.

        Raises `CredentialsRefused` or `LogMisconfigured` when an operator must act;
        the error lists all problems. Raises `LogUnavailable` within 10 s when no
        broker answers.
        """
        deadline = self._clock.monotonic() + _PREPARE_S
        cluster = self._retry(deadline).call(self._admin.cluster, _ATTEMPT_S)
        self._specs = replace(self._specs, durability=self._durability_on(cluster))
        internal = self._specs.internal()
        states = self._admin.states({*internal, *self._own_topics(cluster)}, self._remaining(deadline))
        errors: list[str] = []
        if missing := {name: topic for name, topic in internal.items() if name not in states}:
            try:
                self._retry(deadline).call(lambda: self._create(missing, self._remaining(deadline)))
                # Another process can have created these topics in the meantime, so they are
                # checked like all other topics.
                states |= self._await_known(missing.keys(), deadline)
            except LogMisconfigured as exc:
                errors.append(str(exc))
        errors += self._checks.refusals([states[name] for name in internal if name in states])
        errors += self._coordinator_errors(deadline)
        if errors:
            raise LogMisconfigured("; ".join(errors))
        for warning in self._checks.warnings(list(states.values()), brokers=len(cluster.brokers)):
            _log.warning(warning.event, topics=warning.topics, reason=warning.sentence)
        self._known.update(internal)

    def ensure(self, topics: Collection[str], timeout_s: float = CALL_TIMEOUT_S) -> None:
        """Create the event topics in `topics` that are missing; a known topic needs no request.

        Raises `LogMisconfigured` and `LogUnavailable`.
        """
        if self._known.issuperset(topics):
            return
        with self._exclusive(timeout_s):
            self._known.update(self._admin.cluster(timeout_s).topics)
            missing = set(topics) - self._known
            self._create({name: self._specs.events(name) for name in missing}, timeout_s)
            self._known.update(missing)

    def ensure_parked(self, subscriber: SubscriberName, *, has_begun: bool) -> None:
        """Check the parked topic of `subscriber`; create it for a subscriber that has not begun yet.

        Raises `LogUnavailable` or `LogMisconfigured`. The parked topic of a subscriber
        that has begun must exist, because its parked events would otherwise be lost
        silently.
        """
        topic = self._specs.parked(subscriber)
        deadline = self._clock.monotonic() + _PROPAGATION_S
        states = self._admin.states([topic.topic])
        while not states and has_begun and self._clock.monotonic() < deadline:
            # Another process can have just created the topic, so some brokers may not know it
            # yet.
            self._admin.wait(_PAUSE_S)
            states = self._admin.states([topic.topic])
        if not states and has_begun:
            raise LogMisconfigured(
                f"topic {topic.topic} is missing, although subscriber {subscriber} has started "
                "before, so the subscriber's parked events are lost: restore the topic, or, to "
                f"accept the loss, create {described(topic)}"
            )
        self._complete(states, {topic.topic: topic})

    def ensure_forwarded(self, subscribers: Collection[SubscriberName]) -> None:
        """Create or check the topics of the events that are forwarded to `subscribers`.

        Raises `LogMisconfigured` and `LogUnavailable`.
        """
        wanted = {topic.topic: topic for topic in map(self._specs.forwarded, subscribers)}
        if wanted:
            self._complete(self._admin.states(wanted), wanted)

    def ensure_states(self, entities: Collection[str]) -> dict[str, TopicState]:
        """Create or check the topics of the states of `entities`; return each topic's state by entity.

        A new topic has as many partitions as the entity's event topic, so that both
        topics have a record in the same partition. Raises `LogMisconfigured` and
        `LogUnavailable`.
        """
        known = self._admin.cluster().topics
        wanted = {entity: self._specs.states(entity, self._partitions(known, entity)) for entity in entities}
        topics = {topic.topic: topic for topic in wanted.values()}
        states = self._complete(self._admin.states(topics), topics)
        return {entity: states[topic.topic] for entity, topic in wanted.items()}

    def ensure_processes(self) -> None:
        """Create or check the topic of the processes' records; a known topic needs no request.

        Raises `LogMisconfigured` and `LogUnavailable`.
        """
        topic = self._specs.processes()
        if topic.topic in self._known:
            return
        self._complete(self._admin.states([topic.topic]), {topic.topic: topic})
        self._known.add(topic.topic)

    def forget(self, topics: Collection[str]) -> None:
        """Check these topics again before the next write, because they can have been removed; never waits."""
        # This is one step of the interpreter, so it needs no lock.
        self._known.difference_update(topics)

    @contextmanager
    def _exclusive(self, timeout_s: float) -> Iterator[None]:
        """Admit one thread at a time; a thread that waits too long gets `LogUnavailable`."""
        if not self._lock.acquire(timeout=timeout_s):
            raise LogUnavailable(
                "another channel of this process is still waiting until a broker lists the topics"
            )
        try:
            yield
        finally:
            self._lock.release()

    def _retry(self, deadline: float) -> RetryPolicy:
        return RetryPolicy(
            clock=self._clock,
            limit_s=deadline - self._clock.monotonic(),
            wait=self._admin.wait,
            can_pass=lambda error: isinstance(error, LogUnavailable),
            pause_s=_PAUSE_S,
        )

    def _remaining(self, deadline: float) -> float:
        return max(_PAUSE_S, deadline - self._clock.monotonic())

    def _own_topics(self, cluster: ClusterMetadata) -> set[str]:
        return set(filter(self._names.is_used, cluster.topics))

    def _complete(
        self, states: Mapping[str, TopicState], wanted: Mapping[str, NewTopic]
    ) -> Mapping[str, TopicState]:
        """Create the `wanted` topics that have no state in `states`, and refuse topics that can't be used.

        Return the states of all topics.
        """
        if missing := {name: topic for name, topic in wanted.items() if name not in states}:
            self._create(missing)
            states = {**states, **self._await_known(missing, self._clock.monotonic() + _PREPARE_S)}
        if errors := list(self._checks.refusals(list(states.values()))):
            raise LogMisconfigured("; ".join(errors))
        return states

    def _partitions(self, topics: Mapping[str, TopicMetadata], entity: str) -> int | None:
        """Return the number of partitions of an entity's event topic; `None` if it does not exist."""
        topic = topics.get(self._names.changes(entity))
        return None if topic is None else len(topic.partitions)

    def _await_known(self, topics: Collection[str], deadline: float) -> dict[str, TopicState]:
        """Wait until the brokers know topics that were just created."""

        def known() -> dict[str, TopicState]:
            states = self._admin.states(topics, self._remaining(deadline))
            if len(states) < len(topics):
                raise LogUnavailable(
                    f"topics {', '.join(topics)} were created, but some brokers do not know these topics yet"
                )
            return states

        return self._retry(deadline).call(known)

    def _coordinator_errors(self, deadline: float) -> list[str]:
        errors: list[str] = []
        for refusal in self._coordinators.refusals(deadline):
            if not isinstance(refusal, LogMisconfigured):
                raise refusal
            errors.append(str(refusal))
        return errors

    def _create(self, missing: Mapping[str, NewTopic], timeout_s: float = CALL_TIMEOUT_S) -> None:
        if not missing:
            return
        if not self._settings.create_topics:
            wanted = "; ".join(described(topic) for _, topic in sorted(missing.items()))
            raise LogMisconfigured(
                f"topics are missing and log.kafka.create_topics is false: create {wanted}"
            )
        self._admin.create(missing.values(), timeout_s)

    def _durability_on(self, cluster: ClusterMetadata) -> dict[str, str]:
        """Return the settings with which a new topic survives the loss of any one broker."""
        if len(cluster.brokers) < MANY_BROKERS:
            return {}
        broker = self._admin.broker_settings(next(iter(cluster.brokers)))
        factor = self._settings.replication_factor
        copies = factor if factor > 0 else int(broker.get("default.replication.factor", 1))
        minimum = int(broker.get("min.insync.replicas", 1))
        if copies <= SAFE_MINIMUM or minimum >= SAFE_MINIMUM:
            return {}
        return {"min.insync.replicas": str(SAFE_MINIMUM)}
