"""Admin client for topics, offsets, groups and broker settings."""

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not marked so
    ClusterMetadata,
    ConfigResource,
    NewTopic,
    OffsetSpec,
)

from streamer.log.kafka.cluster.clients import Clients, RenewedAdminClient
from streamer.log.kafka.cluster.errors import KafkaErrors, kafka_error

CALL_TIMEOUT_S = 8.0

_GRACE_S = 1.0
_EARLIEST = OffsetSpec.earliest()  # type: ignore[no-untyped-call] # confluent-kafka does not type it
_LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call] # confluent-kafka does not type it


_OF_URLS = str.maketrans("+/", "-_")


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicState:
    """State of a topic, as the brokers describe it.

    `authorized_operations` has Kafka's names of the operations that this client is
    allowed to do on the topic; `None` if the brokers do not say. `settings` has the
    topic's effective settings; `settings` is empty if this client is not allowed to
    read them. A topic that was deleted and created again has another `id`.
    """

    name: str
    id: str = ""
    partitions: int = 0
    replicas: int = 0
    authorized_operations: frozenset[str] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_hidden(self) -> bool:
        """True when the brokers do not even say whether the topic exists."""
        return not self.partitions


class KafkaAdmin:
    """Describes and creates topics; blocking, for any thread.

    Raises `LogUnavailable`, `LogMisconfigured`, `CredentialsRefused`.
    """

    def __init__(self, clients: Clients) -> None:
        """Create a client that connects on demand."""
        self._errors = KafkaErrors(clients.settings)
        self._client = RenewedAdminClient(clients, self._errors)

    def cluster(self, timeout_s: float = CALL_TIMEOUT_S) -> ClusterMetadata:
        """Return the live brokers, and the topics that this client is allowed to see."""
        with self._explained("listing", "topics"):
            return self._client.live.list_topics(timeout=timeout_s)

    def create(self, topics: Collection[NewTopic], timeout_s: float = CALL_TIMEOUT_S) -> None:
        """Create `topics`; do nothing for a topic that another process has created."""
        created = self._client.live.create_topics(
            list(topics), operation_timeout=timeout_s, request_timeout=timeout_s
        )
        for name, outcome in created.items():
            with self._explained("creating", f"topic {name}"):
                _await_creation(outcome, timeout_s)

    def states(self, topics: Collection[str], timeout_s: float = CALL_TIMEOUT_S) -> dict[str, TopicState]:
        """Return the state of each of `topics`, by name, without topics that a broker does not know yet."""
        if not topics:
            return {}
        described = self._client.live.describe_topics(
            TopicCollection(list(topics)), include_authorized_operations=True, request_timeout=timeout_s
        )
        found: dict[str, TopicState] = {}
        for name, outcome in described.items():
            with self._explained("describing", f"topic {name}"):
                state = _state(name, outcome, timeout_s)
            if state is not None:
                found[name] = state
        return self._with_settings(found, timeout_s)

    def broker_settings(self, broker: int, timeout_s: float = CALL_TIMEOUT_S) -> Mapping[str, str]:
        """Return the settings of a broker; empty if the broker does not answer or forbids the request."""
        resource = ConfigResource(ConfigResource.Type.BROKER, str(broker))
        (outcome,) = self._client.live.describe_configs([resource], request_timeout=timeout_s).values()
        try:
            return _values(outcome.result(timeout_s + _GRACE_S))
        except (KafkaException, TimeoutError):
            return {}

    def cluster_operations(self, timeout_s: float = CALL_TIMEOUT_S) -> frozenset[str] | None:
        """Return this client's allowed operations on the cluster; `None` if the brokers do not say."""
        asked = self._client.live.describe_cluster(
            include_authorized_operations=True, request_timeout=timeout_s
        )
        with self._explained("describing", "the cluster"):
            return _operations(asked.result(timeout_s + _GRACE_S))

    def group_operations(self, name: str, timeout_s: float = CALL_TIMEOUT_S) -> frozenset[str] | None:
        """Return this client's allowed operations on a consumer group.

        Returns `None` if the coordinator does not say. Raises `KafkaException`.
        """
        asked = self._client.live.describe_consumer_groups(
            [name], include_authorized_operations=True, request_timeout=timeout_s
        )
        try:
            return _operations(_answer(asked[name], timeout_s))
        except KafkaException as exc:
            # The coordinator answers, but the group has never had members.
            if kafka_error(exc).code() == KafkaError.GROUP_ID_NOT_FOUND:
                return None
            raise

    def owners(self, group: str, topic: str, timeout_s: float = CALL_TIMEOUT_S) -> dict[int, str]:
        """Return the host and the id of the group member that owns each partition of `topic`.

        A group without members owns nothing. Raises `KafkaException`.
        """
        asked = self._client.live.describe_consumer_groups([group], request_timeout=timeout_s)
        try:
            members = _answer(asked[group], timeout_s).members
        except KafkaException as exc:
            if kafka_error(exc).code() == KafkaError.GROUP_ID_NOT_FOUND:
                return {}
            raise
        return {
            place.partition: f"{member.host.removeprefix('/')}, member {member.member_id}"
            for member in members
            for place in member.assignment.topic_partitions
            if place.topic == topic
        }

    def bounds(
        self, topic: str, partitions: Collection[int], timeout_s: float = CALL_TIMEOUT_S
    ) -> dict[int, tuple[int, int]]:
        """Return the first and the end offset of each partition; the end includes open transactions.

        Raises `KafkaException`.
        """
        places = [TopicPartition(topic, partition) for partition in partitions]
        begins = self._offsets(places, _EARLIEST, timeout_s)
        ends = self._offsets(places, _LATEST, timeout_s)
        with self._looking_for_leaders([topic], timeout_s):
            return {
                place.partition: (_answer(begins[place], timeout_s).offset, _answer(end, timeout_s).offset)
                for place, end in ends.items()
            }

    def stable_ends(
        self, places: Collection[TopicPartition], timeout_s: float = CALL_TIMEOUT_S
    ) -> list[TopicPartition]:
        """Return the end offset of each of `places`, before the first open transaction.

        Raises `KafkaException`.
        """
        if not places:
            return []
        ends = self._offsets(places, _LATEST, timeout_s, IsolationLevel.READ_COMMITTED)
        with self._looking_for_leaders({place.topic for place in places}, timeout_s):
            return [
                TopicPartition(place.topic, place.partition, _answer(end, timeout_s).offset)
                for place, end in ends.items()
            ]

    def range_since(
        self, place: TopicPartition, at: float, timeout_s: float = CALL_TIMEOUT_S
    ) -> tuple[int, int]:
        """Return the offset of the first record since `at` (epoch seconds), and the partition's end.

        Raises `KafkaException`.
        """
        at_ms = max(0, round(at * 1000))
        since = OffsetSpec.for_timestamp(at_ms)
        begins = self._offsets([place], since, timeout_s)
        ends = self._offsets([place], _LATEST, timeout_s)
        with self._looking_for_leaders([place.topic], timeout_s):
            [begin] = (_answer(each, timeout_s).offset for each in begins.values())
            [end] = (_answer(each, timeout_s).offset for each in ends.values())
        # Without such a record, the answer's offset is negative.
        return (begin if begin >= 0 else end), end

    def beginnings(
        self, places: Collection[TopicPartition], timeout_s: float = CALL_TIMEOUT_S
    ) -> list[TopicPartition]:
        """Return the first offset of each of `places`. Raises `KafkaException`."""
        if not places:
            return []
        asked = [TopicPartition(place.topic, place.partition) for place in places]
        begins = self._offsets(asked, _EARLIEST, timeout_s)
        with self._looking_for_leaders({place.topic for place in asked}, timeout_s):
            return [
                TopicPartition(place.topic, place.partition, _answer(begin, timeout_s).offset)
                for place, begin in begins.items()
            ]

    def close(self) -> None:
        """Drop the client; calls raise `LogUnavailable` from now on."""
        self._client.close()

    def wait(self, seconds: float) -> None:
        """Pause, and serve the client's callbacks in the meantime."""
        self._client.live.poll(seconds)

    def _offsets(
        self,
        places: Collection[TopicPartition],
        which: OffsetSpec,
        timeout_s: float,
        isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
    ) -> "dict[TopicPartition, Future[Any]]":
        # A newly elected leader answers only when it knows which records are replicated.
        return self._client.live.list_offsets(
            dict.fromkeys(places, which),
            isolation_level=isolation,
            request_timeout=timeout_s,
        )

    @contextmanager
    def _looking_for_leaders(self, topics: Collection[str], timeout_s: float) -> Iterator[None]:
        try:
            yield
        except KafkaException:
            # The client would ask the same leaders again; this request makes it look them up.
            try:
                for topic in topics:
                    self._client.live.list_topics(topic, timeout=timeout_s)
            except KafkaException as unanswered:
                self._client.failed(kafka_error(unanswered))
            raise

    def _with_settings(self, states: Mapping[str, TopicState], timeout_s: float) -> dict[str, TopicState]:
        visible = [name for name, state in states.items() if not state.is_hidden]
        if not visible:
            return dict(states)
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in visible]
        described = self._client.live.describe_configs(resources, request_timeout=timeout_s)
        complete = {name: state for name, state in states.items() if state.is_hidden}
        for resource, outcome in described.items():
            with self._explained("describing", f"topic {resource.name}"):
                settings = _settings(outcome, timeout_s)
            if settings is not None:
                complete[resource.name] = replace(states[resource.name], settings=settings)
        return complete

    @contextmanager
    def _explained(self, doing: str, subject: str) -> Iterator[None]:
        try:
            yield
        except (KafkaException, TimeoutError) as exc:
            error = kafka_error(exc) if isinstance(exc, KafkaException) else KafkaError(KafkaError._TIMED_OUT)
            self._client.failed(error)
            raise self._errors.explain(error, doing=doing, subject=subject) from exc
        self._errors.clear()


def _answer(outcome: "Future[Any]", timeout_s: float) -> Any:
    try:
        return outcome.result(timeout_s + _GRACE_S)
    except TimeoutError:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None


def _await_creation(outcome: "Future[None]", timeout_s: float) -> None:
    try:
        outcome.result(timeout_s + _GRACE_S)
    except KafkaException as exc:
        # If another process has created the topic, nothing is left to do.
        if kafka_error(exc).code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def _settings(outcome: "Future[Any]", timeout_s: float) -> dict[str, str] | None:
    try:
        return _values(outcome.result(timeout_s + _GRACE_S))
    except KafkaException as exc:
        # Not every broker knows a topic that was just created.
        if kafka_error(exc).code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        if kafka_error(exc).code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return {}
        raise


def _state(name: str, outcome: "Future[Any]", timeout_s: float) -> TopicState | None:
    try:
        described = outcome.result(timeout_s + _GRACE_S)
    except KafkaException as exc:
        if kafka_error(exc).code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        if kafka_error(exc).code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return TopicState(name=name, authorized_operations=frozenset())
        raise
    if not described.partitions:
        return None
    return TopicState(
        name=name,
        # Kafka's tools show ids in the alphabet of URLs, and snapshots have this id in their addresses.
        id=str(described.topic_id).translate(_OF_URLS),
        partitions=len(described.partitions),
        replicas=min(len(partition.replicas) for partition in described.partitions),
        authorized_operations=_operations(described),
    )


def _operations(described: Any) -> frozenset[str] | None:
    operations = described.authorized_operations
    return frozenset(one.name for one in operations) if operations else None


def _values(entries: Mapping[str, Any]) -> dict[str, str]:
    return {name: entry.value for name, entry in entries.items() if entry.value is not None}
