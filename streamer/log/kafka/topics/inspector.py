"""Inspector of the brokers and our topics: judges them as a start would, and changes nothing."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from confluent_kafka.admin import ClusterMetadata  # type: ignore[attr-defined] # public, but not marked so

from streamer.clock import Clock
from streamer.errors import LogUnavailable, StreamerError
from streamer.events import SubscriberName
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import principal
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.retry import RetryPolicy
from streamer.log.kafka.topics.admin import KafkaAdmin, TopicState
from streamer.log.kafka.topics.checks import TopicChecks, TopicWarning
from streamer.log.kafka.topics.coordinators import Coordinators
from streamer.log.kafka.topics.specs import TopicSpecs, described
from streamer.settings import KafkaLogSettings

_ATTEMPT_S = 2.0
_REPLICATION = "default.replication.factor"
_IN_SYNC = "min.insync.replicas"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicsFound:
    """Topics that exist, and those that a start would create, in words."""

    states: Sequence[TopicState]
    missing: Sequence[str]
    refusals: Sequence[str]
    warnings: Sequence[TopicWarning]


class TopicInspector:
    """Reads what the brokers tell. It creates no topic, joins no group and writes no record. Blocking.

    Every method raises `LogUnavailable`, `LogMisconfigured` or
    `CredentialsRefused`.
    """

    def __init__(self, settings: KafkaLogSettings, clock: Clock, *, timeout_s: float) -> None:
        """Connect lazily; each call takes about `timeout_s` seconds at most."""
        clients = Clients(settings=settings)
        self._settings = settings
        self._names = Names.of(settings)
        self._admin = KafkaAdmin(clients)
        self._coordinators = Coordinators(clients, self._admin, clock)
        self._checks = TopicChecks(settings)
        self._clock = clock
        self._timeout_s = timeout_s

    def brokers(self) -> ClusterMetadata:
        """Return the live brokers, and the topics that we are allowed to see."""
        # A call reports a refusal only when its own time is over.
        retry = RetryPolicy(
            limit_s=self._timeout_s,
            wait=self._admin.wait,
            can_pass=lambda error: isinstance(error, LogUnavailable),
        )
        return retry.call(self._admin.cluster, min(_ATTEMPT_S, self._timeout_s))

    def topics(
        self,
        cluster: ClusterMetadata,
        subscribers: Collection[SubscriberName],
        after: Collection[SubscriberName],
    ) -> TopicsFound:
        """Return the state of our topics, with those for `subscribers`; some of these come `after` others."""
        specs = TopicSpecs(settings=self._settings)
        wanted = specs.internal()
        wanted |= {each.topic: each for each in map(specs.parked, subscribers)}
        wanted |= {each.topic: each for each in map(specs.forwarded, after)}
        used = {*wanted, *filter(self._names.is_used, cluster.topics)}
        states = self._admin.states(used, self._timeout_s)
        own = [state for name, state in states.items() if self._names.is_internal(name)]
        return TopicsFound(
            states=tuple(states.values()),
            missing=tuple(described(each) for name, each in sorted(wanted.items()) if name not in states),
            refusals=tuple(self._checks.refusals(own)),
            warnings=tuple(self._checks.warnings(list(states.values()), brokers=len(cluster.brokers))),
        )

    def may_create(self) -> bool | None:
        """Return whether we can create topics anywhere in the cluster; `None` if the brokers do not tell."""
        operations = self._admin.cluster_operations(self._timeout_s)
        return None if operations is None else bool(operations & {"CREATE", "ALL"})

    def unwritable(self, cluster: ClusterMetadata, found: TopicsFound) -> Iterator[str]:
        """Yield why no record could ever be acknowledged, by the number of copies that must hold it."""
        for state in found.states:
            minimum = int(state.settings.get(_IN_SYNC, 1))
            if not state.is_hidden and minimum > state.replicas:
                yield (
                    f"topic {state.name} has {_copies(state.replicas)} and {_IN_SYNC}={minimum}, so that no "
                    f"write to it succeeds: set its {_IN_SYNC} to {state.replicas}, or give it more copies"
                )
        broker = self._admin.broker_settings(next(iter(cluster.brokers)), self._timeout_s)
        copies = self._settings.replication_factor
        if copies < 1:
            copies = int(broker.get(_REPLICATION, 1))
        brokers = len(cluster.brokers)
        if copies > brokers:
            yield (
                f"a new topic would have {_copies(copies)}, and only {brokers} of the brokers answer: "
                "set log.kafka.replication_factor to less, or start more brokers"
            )
        minimum = int(broker.get(_IN_SYNC, 1))
        if minimum > copies:
            yield (
                f"a new topic would have {_copies(copies)}, and the brokers' {_IN_SYNC} is {minimum}, so "
                "that no write to it succeeds: set log.kafka.replication_factor to more"
            )

    def coordinator_refusals(self) -> Sequence[StreamerError]:
        """Return why no transaction or no group works.

        Begins a producer under the transactional id of the start-up check, as
        every start does; no daemon uses that id for anything else.
        """
        return list(self._coordinators.refusals(self._clock.monotonic() + self._timeout_s))

    @property
    def principal(self) -> str:
        """Who the brokers take us for, in words."""
        return principal(self._settings)


def _copies(number: int) -> str:
    return "1 copy" if number == 1 else f"{number} copies"
