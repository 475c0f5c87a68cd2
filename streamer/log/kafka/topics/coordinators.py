"""Start-up check that both of Kafka's coordinators answer."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streamer.errors import LogMisconfigured, LogUnavailable, StreamerError
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors, RetryPolicy, is_denied, is_fencing, kafka_error
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.transactions import Transactions
from streamer.log.kafka.topics.admin import KafkaAdmin

_LAST_CALL_S = 0.5
# A request that is sent before a coordinator exists can stay unanswered forever.
_ASK_S = 1.0
_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class _Coordinator:
    """One of Kafka's coordinators, with its topic and the setting of that topic's copies."""

    subject: str
    topic: str
    replication_setting: str


_TRANSACTIONS = _Coordinator(
    subject="transactions",
    topic="__transaction_state",
    replication_setting="transaction.state.log.replication.factor",
)
_GROUPS = _Coordinator(
    subject="consumer groups",
    topic="__consumer_offsets",
    replication_setting="offsets.topic.replication.factor",
)


class Coordinators:
    """Tries both coordinators once, because every append and every consumer needs them; blocking."""

    def __init__(self, clients: Clients, admin: KafkaAdmin) -> None:
        self._clients = clients
        self._admin = admin
        self._clock = clients.clock
        self._names = Names.of(clients.settings)
        self._errors = KafkaErrors(clients.settings)

    def refusals(self, deadline: float) -> Iterator[StreamerError]:
        """Yield the reasons why transactions or groups can't work, by `deadline` at the latest.

        If a coordinator does not exist yet, the reason is `LogUnavailable`.
        """
        yield from self._transactions(deadline)
        yield from self._groups(deadline)

    def _transactions(self, deadline: float) -> Iterator[StreamerError]:
        # All processes use the same id, because the brokers remember each id for a week.
        configuration = {
            "transactional.id": self._names.trial_transactions,
            "transaction.timeout.ms": round(self._clients.settings.transaction_timeout_s * 1000),
        }
        transactions = Transactions(self._clients, self._errors, configuration)
        try:
            transactions.begin(self._remaining(deadline))
        except KafkaException as exc:
            error = kafka_error(exc)
        else:
            return
        finally:
            transactions.discard()
        if is_fencing(error):
            # In this case, another process is making the same check.
            return
        if error.retriable() and self._errors.refusal is None:
            yield self._unavailable(_TRANSACTIONS)
        else:
            yield self._errors.explain(error, doing="beginning", subject="transactions")

    def _groups(self, deadline: float) -> Iterator[StreamerError]:
        group = self._names.ingest_group
        configuration = {"group.id": group}
        with closing(self._clients.consumer(self._errors, configuration)) as consumer:
            yield from self._group_refusals(consumer, group, deadline)

    def _group_refusals(self, consumer: Consumer, group: str, deadline: float) -> Iterator[StreamerError]:
        retry = RetryPolicy(
            clock=self._clock,
            limit_s=self._remaining(deadline),
            wait=self._admin.wait,
            can_pass=lambda error: isinstance(error, KafkaException) and not is_denied(kafka_error(error)),
            pause_s=_PAUSE_S,
        )
        try:
            operations = retry.call(self._operations, consumer, group, deadline)
        except KafkaException as exc:
            error = kafka_error(exc)
            if is_denied(error):
                yield self._errors.explain(error, doing="joining", subject=group)
            else:
                yield self._unavailable(_GROUPS)
            return
        if operations is not None and "READ" not in operations:
            denied = KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)
            yield self._errors.explain(denied, doing="joining", subject=group)

    def _operations(self, consumer: Consumer, group: str, deadline: float) -> frozenset[str] | None:
        if self._has_committed(consumer, deadline):
            # A group that has committed offsets has the permission. So most starts need no
            # admin client, which could abort the process.
            return None
        return self._admin.group_operations(group, min(_ASK_S, self._remaining(deadline)))

    def _has_committed(self, consumer: Consumer, deadline: float) -> bool:
        """Return whether the group has owned a channel before; raises `KafkaException`."""
        # An admin client aborts the process when a connection breaks while it waits for a
        # coordinator (librdkafka issue 4605). So a consumer waits for the coordinator first.
        count = self._clients.settings.checkpoint_partitions
        places = [TopicPartition(self._names.checkpoints, number) for number in range(count)]
        try:
            found = consumer.committed(places, timeout=min(_ASK_S, self._remaining(deadline)))
        except KafkaException as exc:
            # The call reports only a time-out; the client reports a refusal when it is polled.
            reported = consumer.poll(0)
            raise KafkaException((reported and reported.error()) or kafka_error(exc)) from exc
        return any(place.offset >= 0 for place in found)

    def _unavailable(self, coordinator: _Coordinator) -> StreamerError:
        cluster = self._admin.cluster(_LAST_CALL_S)
        brokers = len(cluster.brokers)
        broker = self._admin.broker_settings(next(iter(cluster.brokers)), _LAST_CALL_S)
        exists = coordinator.topic in self._admin.states([coordinator.topic], _LAST_CALL_S)
        setting = coordinator.replication_setting
        if not exists and int(broker.get(setting, 0)) > brokers:
            return LogMisconfigured(
                f"the brokers can't serve {coordinator.subject}: {setting} is {broker[setting]}, but only "
                f"{brokers} of the brokers answer: start more brokers, or lower the setting on every broker"
            )
        return LogUnavailable(
            f"the brokers answer, but the coordinator for {coordinator.subject} does not: if this "
            f"lasts, check that each partition of topic {coordinator.topic} has a leader, and check "
            f"{setting} on the brokers"
        )

    def _remaining(self, deadline: float) -> float:
        return max(0.05, deadline - self._clock.monotonic())
