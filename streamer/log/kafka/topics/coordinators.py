"""Whether the brokers have someone who decides about our transactions and our groups."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streamer.clock import Clock
from streamer.errors import LogMisconfigured, LogUnavailable, StreamerError
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors, is_denied, is_fencing, kafka_error
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.retry import RetryPolicy
from streamer.log.kafka.cluster.transactional_producer import TransactionalProducer
from streamer.log.kafka.topics.admin import KafkaAdmin

_LAST_CALL_S = 0.5
# A question that was asked before there was a coordinator may never be answered.
_ASK_S = 1.0
_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class _Duty:
    """What coordinators do, the topic in which they keep it, and the broker's setting of its copies."""

    what: str
    topic: str
    factor: str


_TRANSACTIONS = _Duty(
    what="transactions",
    topic="__transaction_state",
    factor="transaction.state.log.replication.factor",
)
_GROUPS = _Duty(
    what="consumer groups",
    topic="__consumer_offsets",
    factor="offsets.topic.replication.factor",
)


class Coordinators:
    """Tries once what every append and every consumer will need. Blocking."""

    def __init__(self, clients: Clients, admin: KafkaAdmin, clock: Clock) -> None:
        """Ask as one of `clients`."""
        self._clients = clients
        self._admin = admin
        self._clock = clock
        self._names = Names.of(clients.settings)
        self._errors = KafkaErrors(clients.settings)

    def refusals(self, deadline: float) -> Iterator[StreamerError]:
        """Tell why no transaction can begin or no group can meet, by `deadline` at the latest.

        A coordinator that is merely not there yet comes as `LogUnavailable`.
        """
        yield from self._transactions(deadline)
        yield from self._groups(deadline)

    def _transactions(self, deadline: float) -> Iterator[StreamerError]:
        # One id for all processes: the brokers remember each for a week.
        configuration = {
            "transactional.id": self._names.trial_transactions,
            "transaction.timeout.ms": round(self._clients.settings.transaction_timeout_s * 1000),
        }
        producer = TransactionalProducer(self._clients, self._errors, configuration)
        try:
            producer.init(self._left(deadline))
        except KafkaException as exc:
            error = kafka_error(exc)
        else:
            return
        finally:
            producer.discard()
        if is_fencing(error):
            # Another process looks at the same moment.
            return
        if error.retriable() and self._errors.refusal is None:
            yield self._away(_TRANSACTIONS)
        else:
            yield self._errors.explain(error, doing="beginning", subject="transactions")

    def _groups(self, deadline: float) -> Iterator[StreamerError]:
        group = self._names.ingest_group
        configuration = {"group.id": group}
        with closing(self._clients.consumer(self._errors, configuration)) as consumer:
            yield from self._met(consumer, group, deadline)

    def _met(self, consumer: Consumer, group: str, deadline: float) -> Iterator[StreamerError]:
        retry = RetryPolicy(
            limit_s=self._left(deadline),
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
                yield self._away(_GROUPS)
            return
        if operations is not None and "READ" not in operations:
            denied = KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)
            yield self._errors.explain(denied, doing="joining", subject=group)

    def _operations(self, consumer: Consumer, group: str, deadline: float) -> frozenset[str] | None:
        self._look_up(consumer, deadline)
        return self._admin.group_operations(group, min(_ASK_S, self._left(deadline)))

    def _look_up(self, consumer: Consumer, deadline: float) -> None:
        # An admin client aborts the process when a connection breaks while it waits for
        # a coordinator (librdkafka issue 4605). So a consumer waits for there to be one.
        place = TopicPartition(self._names.checkpoints, 0)
        try:
            consumer.committed([place], timeout=min(_ASK_S, self._left(deadline)))
        except KafkaException as exc:
            # It says that time ran out; a refusal is told beside.
            told = consumer.poll(0)
            raise KafkaException((told and told.error()) or kafka_error(exc)) from exc

    def _away(self, duty: _Duty) -> StreamerError:
        cluster = self._admin.cluster(_LAST_CALL_S)
        brokers = len(cluster.brokers)
        broker = self._admin.broker_settings(next(iter(cluster.brokers)), _LAST_CALL_S)
        exists = duty.topic in self._admin.states([duty.topic], _LAST_CALL_S)
        if not exists and int(broker.get(duty.factor, 0)) > brokers:
            return LogMisconfigured(
                f"the brokers can't keep {duty.what}: {duty.factor} is {broker[duty.factor]}, and only "
                f"{brokers} of them answer: start more, or lower it on every broker"
            )
        return LogUnavailable(
            f"the brokers answer, and no coordinator for {duty.what} does: if this lasts, check that topic "
            f"{duty.topic} has leaders, and {duty.factor} on the brokers"
        )

    def _left(self, deadline: float) -> float:
        return max(0.05, deadline - self._clock.monotonic())
