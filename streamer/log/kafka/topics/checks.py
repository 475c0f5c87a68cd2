"""Checks of the topics that Streamer relies on, by the brokers' descriptions."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka.admin import ClusterMetadata  # type: ignore[attr-defined] # public, but not marked so

from streamer.clock import Clock
from streamer.errors import LogUnavailable, StreamerError
from streamer.events import SubscriberName
from streamer.log.kafka.cluster.clients import Clients, largest_record
from streamer.log.kafka.cluster.errors import RetryPolicy, principal
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.topics.admin import KafkaAdmin, TopicState
from streamer.log.kafka.topics.coordinators import Coordinators
from streamer.log.kafka.topics.specs import TopicSpecs, described
from streamer.ports import ProcessRecordKind
from streamer.settings import KafkaLogSettings

MANY_BROKERS = 3
"""With this many brokers and with copies of the topics, one broker can die without loss of data."""

SAFE_MINIMUM = 2
"""Copies that must hold a record before a cluster of `MANY_BROKERS` acknowledges the record."""

_SAFE_REPLICAS = 3
_SALESFORCE_KEEPS_H = 72
_HOUR_MS = 3_600_000
_MAX_NAMED = 5
_REQUIRED_OPERATIONS = ("READ", "WRITE", "DESCRIBE_CONFIGS")
# Default of the brokers. Streamer writes no larger batch, and splits larger values into chunks.
_DEFAULT_MAX_MESSAGE_BYTES = 1_048_588
_LIMITS = ("retention.ms", "retention.bytes")
_EVENT_OPERATIONS = {
    "WRITE": "this process can append no event to the topic",
    "READ": "no subscriber in this process can read the topic",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicWarning:
    """A topic setting that works now but can lose events later; `event` names the line in the log output."""

    event: str
    topics: tuple[str, ...]
    sentence: str


class TopicChecks:
    """Checks topics by the brokers' descriptions; describes each fault and its remedy in one sentence."""

    def __init__(self, settings: KafkaLogSettings) -> None:
        self._names = Names.of(settings)
        self._checkpoint_partitions = settings.checkpoint_partitions
        self._parked_partitions = settings.parked_partitions
        self._largest_record = largest_record(settings)
        self._principal = principal(settings)

    def refusals(self, states: Collection[TopicState]) -> Iterator[str]:
        """Yield the reasons why Streamer's own topics can't be used; `states` has the topics that exist."""
        yield from self._permissions(states)
        for state in states:
            if not state.is_hidden:
                yield from self._placement(state)
            if state.settings:
                yield from self._policy(state)
                yield from self._size(state)

    def warnings(self, states: Collection[TopicState], *, brokers: int) -> Iterator[TopicWarning]:
        """Yield the unsafe settings of topics; `brokers` is the number of brokers in the cluster."""
        if brokers >= MANY_BROKERS:
            yield from self._replicas(states, brokers)
        events = [state for state in states if not self._names.is_internal(state.name)]
        forwarded = [state for state in states if self._names.is_forwarded(state.name)]
        yield from _retention([*events, *forwarded])
        yield from _compaction(events)
        yield from self._event_permissions(events)

    def _permissions(self, states: Collection[TopicState]) -> Iterator[str]:
        for needed, names in _by_missing_operations(states, _REQUIRED_OPERATIONS).items():
            yield (
                f"{self._principal} lacks permissions in Kafka: grant {' and '.join(needed)} "
                f"on {_topics(names)}"
            )

    def _policy(self, state: TopicState) -> Iterator[str]:
        policy = state.settings.get("cleanup.policy", "")
        if state.name == self._names.processes:
            # No event depends on these records, so no setting of this topic loses anything.
            return
        if state.name == self._names.receipts or self._names.is_forwarded(state.name):
            if "compact" in policy:
                yield (
                    f"topic {state.name} has cleanup.policy={policy}, so a record would replace an "
                    "earlier record with the same key: set cleanup.policy to delete"
                )
        elif state.name not in {self._names.continuity, self._names.audit}:
            if policy != "compact":
                yield (
                    f"topic {state.name} has cleanup.policy={policy}, so the broker would delete records "
                    "that must stay: set cleanup.policy to compact"
                )
        elif "delete" in policy and any(state.settings.get(name) != "-1" for name in _LIMITS):
            yield (
                f"topic {state.name} deletes records by age or size, but the records must stay: set "
                f"the topic's {' and '.join(_LIMITS)} to -1"
            )

    def _size(self, state: TopicState) -> Iterator[str]:
        limit = int(state.settings.get("max.message.bytes", _DEFAULT_MAX_MESSAGE_BYTES))
        if self._names.is_forwarded(state.name) or self._names.is_state(state.name):
            content = "a whole record" if self._names.is_state(state.name) else "an event with its receipts"
            if limit < self._largest_record:
                yield (
                    f"topic {state.name} accepts at most {limit} bytes in a batch, but {content} "
                    f"takes up to {self._largest_record}: set the topic's "
                    "max.message.bytes to this size, or lower log.kafka.options.message.max.bytes"
                )
        elif limit < _DEFAULT_MAX_MESSAGE_BYTES:
            yield (
                f"topic {state.name} accepts at most {limit} bytes in a batch, but Streamer writes up "
                f"to a megabyte: set the topic's max.message.bytes to {_DEFAULT_MAX_MESSAGE_BYTES} or "
                "more"
            )

    def _placement(self, state: TopicState) -> Iterator[str]:
        if state.name == self._names.checkpoints:
            setting, wanted, what = "checkpoint_partitions", self._checkpoint_partitions, "channels"
        elif self._names.is_parked(state.name):
            setting, wanted, what = "parked_partitions", self._parked_partitions, "parked events"
        elif state.name == self._names.processes:
            yield from self._kinds(state)
            return
        else:
            return
        if state.partitions != wanted:
            yield (
                f"topic {state.name} has {state.partitions} partitions, but {setting} is {wanted}: set "
                f"log.kafka.{setting} to {state.partitions}, because {what} are "
                f"distributed over {state.partitions} partitions"
            )

    def _kinds(self, state: TopicState) -> Iterator[str]:
        wanted = len(ProcessRecordKind)
        if state.partitions < wanted:
            found = "1 partition" if state.partitions == 1 else f"{state.partitions} partitions"
            yield (
                f"topic {state.name} has {found}, but each kind of record that the processes report needs "
                f"its own: give the topic {wanted} partitions, set with kafka-topics.sh --alter"
            )

    def _replicas(self, states: Collection[TopicState], brokers: int) -> Iterator[TopicWarning]:
        single = [state.name for state in states if state.replicas == 1]
        if single:
            yield TopicWarning(
                event="log.unsafe_topics",
                topics=tuple(single),
                sentence=f"only one broker holds {_topics(single)}, although the cluster has {brokers} "
                "brokers, so the loss of that broker loses all records: give each topic "
                f"{_SAFE_REPLICAS} copies with kafka-reassign-partitions.sh",
            )
        unsafe = [
            state.name
            for state in states
            if state.replicas > 1 and _min_insync_replicas(state) < SAFE_MINIMUM
        ]
        if unsafe:
            yield TopicWarning(
                event="log.unsafe_topics",
                topics=tuple(unsafe),
                sentence=f"a single broker can acknowledge a write to {_topics(unsafe)}, so the loss of that "
                f"broker can lose records: set min.insync.replicas={SAFE_MINIMUM} and "
                f"{_SAFE_REPLICAS} copies",
            )

    def _event_permissions(self, events: Collection[TopicState]) -> Iterator[TopicWarning]:
        # A process that only ingests or only dispatches does not need both operations.
        for operation, consequence in _EVENT_OPERATIONS.items():
            for names in _by_missing_operations(events, [operation]).values():
                yield TopicWarning(
                    event="log.permission_missing",
                    topics=tuple(names),
                    sentence=f"Kafka does not grant {self._principal} the operation {operation} on "
                    f"{_topics(names)}, so {consequence}: grant the operation if this process needs it",
                )


def _by_missing_operations(
    states: Collection[TopicState], needed: Collection[str]
) -> Mapping[tuple[str, ...], list[str]]:
    """Group the names of topics by the `needed` operations that the client lacks on the topics."""
    by_missing: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for state in states:
        # If the brokers do not say which operations are allowed, readable settings prove that
        # DESCRIBE_CONFIGS is allowed.
        granted = (
            state.authorized_operations
            if state.authorized_operations is not None
            else _inferred(state, needed)
        )
        if missing := tuple(sorted(set(needed) - granted)):
            by_missing[missing].append(state.name)
    return by_missing


def _inferred(state: TopicState, needed: Collection[str]) -> set[str]:
    return set(needed) if state.settings else set(needed) - {"DESCRIBE_CONFIGS"}


def _min_insync_replicas(state: TopicState) -> int:
    return int(state.settings.get("min.insync.replicas", SAFE_MINIMUM))


def _retention(events: Collection[TopicState]) -> Iterator[TopicWarning]:
    limit_ms = _SALESFORCE_KEEPS_H * _HOUR_MS
    short = [state.name for state in events if 0 <= _retention_ms(state) < limit_ms]
    if short:
        yield TopicWarning(
            event="log.retention_short",
            topics=tuple(short),
            sentence=f"the retention of {_topics(short)} is shorter than the {_SALESFORCE_KEEPS_H} h of "
            "Salesforce's retention, so a subscriber that is down for longer than the topic's "
            f"retention loses events: set retention.ms to {limit_ms} or more",
        )


def _retention_ms(state: TopicState) -> int:
    """Return the retention in milliseconds, negative for unlimited."""
    if "delete" not in state.settings.get("cleanup.policy", ""):
        return -1
    return int(state.settings.get("retention.ms", -1))


def _compaction(events: Collection[TopicState]) -> Iterator[TopicWarning]:
    limit_ms = _SALESFORCE_KEEPS_H * _HOUR_MS
    early = [
        state.name
        for state in events
        if "compact" in state.settings.get("cleanup.policy", "")
        and int(state.settings.get("min.compaction.lag.ms", 0)) < limit_ms
    ]
    if early:
        yield TopicWarning(
            event="log.compaction_early",
            topics=tuple(early),
            sentence=f"{_topics(early)} can be compacted within {_SALESFORCE_KEEPS_H} h, so a subscriber "
            "that is down for longer misses the earlier changes of a record: set "
            f"min.compaction.lag.ms to {limit_ms} or more",
        )


def _topics(names: Collection[str]) -> str:
    shown = sorted(names)[:_MAX_NAMED]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return f"{'topic' if len(names) == 1 else 'topics'} {', '.join(shown)}{more}"


_ATTEMPT_S = 2.0
_REPLICATION = "default.replication.factor"
_IN_SYNC = "min.insync.replicas"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicsFound:
    """Topics that exist, and descriptions of the topics that a start would create."""

    states: Sequence[TopicState]
    missing: Sequence[str]
    refusals: Sequence[str]
    warnings: Sequence[TopicWarning]


class TopicInspector:
    """Inspects topics, and creates no topic, joins no group and writes no record; blocking.

    Every method raises `LogUnavailable`, `LogMisconfigured` or
    `CredentialsRefused`.
    """

    def __init__(self, settings: KafkaLogSettings, clock: Clock, *, timeout_s: float) -> None:
        """Connect on demand; each call takes at most about `timeout_s` seconds."""
        clients = Clients(settings=settings, clock=clock)
        self._settings = settings
        self._names = Names.of(settings)
        self._admin = KafkaAdmin(clients)
        self._coordinators = Coordinators(clients, self._admin)
        self._checks = TopicChecks(settings)
        self._clock = clock
        self._timeout_s = timeout_s

    def close(self) -> None:
        """Drop the client."""
        self._admin.close()

    def brokers(self) -> ClusterMetadata:
        """Return the live brokers, and the topics that this client is allowed to see."""
        # A refused call returns only after its time-out.
        retry = RetryPolicy(
            clock=self._clock,
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
        """Return the state of Streamer's topics for these `subscribers`.

        Subscribers in `after` also have a topic of forwarded events.
        """
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
        """Return whether this client can create topics in the cluster; `None` if the brokers do not say."""
        operations = self._admin.cluster_operations(self._timeout_s)
        return None if operations is None else bool(operations & {"CREATE", "ALL"})

    def unwritable(self, cluster: ClusterMetadata, found: TopicsFound) -> Iterator[str]:
        """Yield each reason why no write can succeed: more copies must hold a record than exist."""
        for state in found.states:
            minimum = int(state.settings.get(_IN_SYNC, 1))
            if not state.is_hidden and minimum > state.replicas:
                yield (
                    f"topic {state.name} has {_copies(state.replicas)} and {_IN_SYNC}={minimum}, so "
                    f"no write to the topic succeeds: set the topic's {_IN_SYNC} to {state.replicas}, "
                    "or give the topic more copies"
                )
        broker = self._admin.broker_settings(next(iter(cluster.brokers)), self._timeout_s)
        copies = self._settings.replication_factor
        if copies < 1:
            copies = int(broker.get(_REPLICATION, 1))
        brokers = len(cluster.brokers)
        if copies > brokers:
            yield (
                f"a new topic would have {_copies(copies)}, but only {brokers} of the brokers answer: "
                "lower log.kafka.replication_factor, or start more brokers"
            )
        minimum = int(broker.get(_IN_SYNC, 1))
        if minimum > copies:
            yield (
                f"a new topic would have {_copies(copies)}, but the brokers' {_IN_SYNC} is {minimum}, "
                "so no write to the topic would succeed: raise log.kafka.replication_factor"
            )

    def coordinator_refusals(self) -> Sequence[StreamerError]:
        """Return the reasons why transactions or groups do not work.

        Like every start of Streamer, this call initialises a producer with the
        transactional id of the start-up check; no daemon uses this id for anything
        else.
        """
        return list(self._coordinators.refusals(self._clock.monotonic() + self._timeout_s))

    @property
    def principal(self) -> str:
        """Name by which the brokers know this client, in words."""
        return principal(self._settings)


def _copies(number: int) -> str:
    return "1 copy" if number == 1 else f"{number} copies"
