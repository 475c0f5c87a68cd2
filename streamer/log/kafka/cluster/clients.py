"""librdkafka clients, made from the Kafka settings."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from streamer.clock import Clock
from streamer.configuration import dotted, unfit_files
from streamer.errors import LogMisconfigured
from streamer.librdkafka.logger import LibraryLogger
from streamer.librdkafka.options import security_options
from streamer.log.foreign_records import ForeignRecords
from streamer.log.kafka.cluster.broker_check import BrokerCheck, CheckedConsumer
from streamer.log.kafka.cluster.errors import KafkaErrors, kafka_error
from streamer.log.kafka.cluster.options import reserved_options
from streamer.settings import KafkaLogSettings

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Largest record: events reach 1 MB at Salesforce, and grow when encoded."""

_SOCKET_TIMEOUT_MS = 10_000

_Client = TypeVar("_Client")

_PRODUCER_DEFAULTS: Mapping[str, Any] = {
    # A commit flushes at once, so a lone event does not wait for this.
    "linger.ms": 5,
    "partitioner": "murmur2_random",
    # A transaction is bounded before it begins; the queue must hold all of it.
    "queue.buffering.max.messages": 0,
    "queue.buffering.max.kbytes": 2**31 - 1,
}


def largest_record(settings: KafkaLogSettings) -> int:
    """Return the size of the largest record that our producers send, in bytes."""
    return int(settings.options.get("message.max.bytes", MAX_MESSAGE_BYTES))


class AbortedTransactions:
    """Number of transactions that did not end with a commit. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.number = 0

    def count(self) -> None:
        """Count one."""
        with self._lock:
            self.number += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """Makes clients; librdkafka options that the operator sets override our defaults.

    Each client reports to the `KafkaErrors` it is made with. All raise
    `LogMisconfigured` for a setting that librdkafka refuses. With `connects`
    false, they know no brokers. `foreign` takes the records that readers leave
    out, and `aborted` counts the transactions that fail.
    """

    settings: KafkaLogSettings
    connects: bool = True
    foreign: ForeignRecords = field(default_factory=ForeignRecords, compare=False)
    aborted: AbortedTransactions = field(default_factory=AbortedTransactions, compare=False)

    def admin(self, errors: KafkaErrors) -> AdminClient:
        """Return a client that creates and describes topics."""
        return self._create(AdminClient, {}, {}, errors)

    def producer(self, errors: KafkaErrors, configuration: Mapping[str, Any]) -> Producer:
        """Return a producer; `configuration` overrides everything."""
        # librdkafka requires this to be at most the transaction's time-out.
        timeout_ms = min(_SOCKET_TIMEOUT_MS, round(self.settings.transaction_timeout_s * 1000))
        defaults = {
            **_PRODUCER_DEFAULTS,
            "compression.type": self.settings.compression,
            "socket.timeout.ms": timeout_ms,
        }
        return self._create(Producer, defaults, configuration, errors)

    def consumer(self, errors: KafkaErrors, configuration: Mapping[str, Any]) -> Consumer:
        """Return a consumer; `configuration` overrides everything."""
        return self._create(Consumer, {}, configuration, errors)

    def checked_consumer(
        self, errors: KafkaErrors, configuration: Mapping[str, Any], *, clock: Clock, name: str
    ) -> Consumer:
        """Return a long-lived consumer, which fails once it has lost its brokers for good.

        `name` is the client's in the log line. See `BrokerCheck`.
        """
        client = partial(CheckedConsumer, check=BrokerCheck(clock, name))
        return self._create(client, {}, configuration, errors)

    def refused_options(self) -> Mapping[str, str]:
        """Return the reason why librdkafka refuses an option by itself, by option; nothing connects."""
        refused: dict[str, str] = {}
        reserved = reserved_options(self.settings.options)
        for name, value in self.settings.options.items():
            if name in reserved:
                continue
            try:
                AdminClient({name: value}, logger=LibraryLogger())
            except (KafkaException, TypeError, ValueError) as exc:
                refused[name] = _reason(exc)
        return refused

    def verify(self) -> None:
        """Make a client of each kind without brokers, so that nothing connects, and end it again."""
        settings = self.settings
        errors, apart = KafkaErrors(settings), Clients(settings=settings, connects=False)
        # A transactional producer and a member of a group have more rules than others.
        transactions = {
            "transactional.id": settings.prefix,
            "transaction.timeout.ms": round(settings.transaction_timeout_s * 1000),
        }
        group = {
            "group.id": settings.prefix,
            "session.timeout.ms": round(settings.session_timeout_s * 1000),
        }
        apart.admin(errors)
        apart.producer(errors, transactions)
        apart.consumer(errors, group).close()

    def _create(
        self,
        client: Callable[..., _Client],
        defaults: Mapping[str, Any],
        configuration: Mapping[str, Any],
        errors: KafkaErrors,
    ) -> _Client:
        if reserved := reserved_options(self.settings.options):
            listed = "; ".join(f"{name} ({reason})" for name, reason in reserved.items())
            raise LogMisconfigured(f"log.kafka.options must not set {listed}")
        for keys, sentence in unfit_files(self.settings.security, ("log", "kafka", "security")):
            raise LogMisconfigured(f"{dotted(keys)}: {sentence}")
        merged = {**self._common(), **defaults, **self.settings.options, **configuration}
        try:
            return client(merged | {"error_cb": errors.note}, logger=LibraryLogger())
        except (KafkaException, TypeError, ValueError) as exc:
            raise LogMisconfigured(f"log.kafka: librdkafka refuses these settings: {_reason(exc)}") from exc

    def _common(self) -> dict[str, Any]:
        brokers = {"bootstrap.servers": self.settings.bootstrap_servers} if self.connects else {}
        return {
            **brokers,
            "client.id": self.settings.prefix,
            "allow.auto.create.topics": False,
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "topic.metadata.refresh.interval.ms": 60_000,
            # Reconnect soon to a broker that comes back.
            "reconnect.backoff.max.ms": 1_000,
            "socket.connection.setup.timeout.ms": 10_000,
            "socket.keepalive.enable": True,
            # A frozen broker must not hold a request for a minute after another
            # one has taken over.
            "socket.timeout.ms": _SOCKET_TIMEOUT_MS,
            **security_options(self.settings.security),
        }


def _reason(refusal: Exception) -> str:
    text = kafka_error(refusal).str() if isinstance(refusal, KafkaException) else str(refusal)
    return text.strip()
