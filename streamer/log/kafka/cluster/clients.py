"""librdkafka clients, made from the Kafka settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from streamer.errors import LogMisconfigured
from streamer.log.kafka.cluster.errors import KafkaErrors, kafka_error
from streamer.settings import KafkaLogSettings, KafkaSecurity

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Largest record: events reach 1 MB at Salesforce, and grow when encoded."""

_SOCKET_TIMEOUT_MS = 10_000

_log = structlog.get_logger()

_Client = TypeVar("_Client")

# Exactly-once, fencing and ownership depend on these.
_RESERVED_OPTIONS = frozenset(
    {
        "allow.auto.create.topics",
        "auto.offset.reset",
        "batch.size",
        "delivery.report.only.error",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "enable.partition.eof",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "heartbeat.interval.ms",
        "isolation.level",
        "partition.assignment.strategy",
        "partitioner",
        "session.timeout.ms",
        "transaction.timeout.ms",
        "transactional.id",
    }
)

_PRODUCER_DEFAULTS: Mapping[str, Any] = {
    "compression.type": "lz4",
    # A commit flushes at once, so a lone event does not wait for this.
    "linger.ms": 5,
    "partitioner": "murmur2_random",
    # A transaction is bounded before it begins; the queue must hold all of it.
    "queue.buffering.max.messages": 0,
    "queue.buffering.max.kbytes": 2**31 - 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """Makes clients; librdkafka options that the operator sets override our defaults.

    Each client reports to the `KafkaErrors` it is made with. All raise
    `LogMisconfigured` for a setting that librdkafka refuses.
    """

    settings: KafkaLogSettings

    def admin(self, errors: KafkaErrors) -> AdminClient:
        """Return a client that creates and describes topics."""
        return self._create(AdminClient, {}, {}, errors)

    def producer(self, errors: KafkaErrors, configuration: Mapping[str, Any]) -> Producer:
        """Return a producer; `configuration` overrides everything."""
        # librdkafka requires this to be at most the transaction's time-out.
        timeout_ms = min(_SOCKET_TIMEOUT_MS, round(self.settings.transaction_timeout_s * 1000))
        defaults = {**_PRODUCER_DEFAULTS, "socket.timeout.ms": timeout_ms}
        return self._create(Producer, defaults, configuration, errors)

    def consumer(self, errors: KafkaErrors, configuration: Mapping[str, Any]) -> Consumer:
        """Return a consumer; `configuration` overrides everything."""
        return self._create(Consumer, {}, configuration, errors)

    def _create(
        self,
        client: Callable[..., _Client],
        defaults: Mapping[str, Any],
        configuration: Mapping[str, Any],
        errors: KafkaErrors,
    ) -> _Client:
        reserved = sorted(_RESERVED_OPTIONS & self.settings.options.keys())
        if reserved:
            raise LogMisconfigured(
                f"log.kafka.options must not set {', '.join(reserved)}: exactly-once delivery depends on them"
            )
        merged = {**self._common(), **defaults, **self.settings.options, **configuration}
        try:
            return client(merged | {"error_cb": errors.note}, logger=_LibraryLogger())
        except (KafkaException, TypeError, ValueError) as exc:
            reason = kafka_error(exc).str() if isinstance(exc, KafkaException) else str(exc)
            raise LogMisconfigured(f"log.kafka: librdkafka refuses these settings: {reason}") from exc

    def _common(self) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.settings.bootstrap_servers,
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
            **_security(self.settings.security),
        }


def _security(security: KafkaSecurity) -> dict[str, Any]:
    password = security.password.get_secret_value() if security.password else None
    given = {
        "security.protocol": security.protocol,
        "sasl.mechanism": security.mechanism,
        "sasl.username": security.username,
        "sasl.password": password,
        "ssl.ca.location": str(security.ca_file) if security.ca_file else None,
        "ssl.certificate.location": str(security.certificate_file) if security.certificate_file else None,
        "ssl.key.location": str(security.key_file) if security.key_file else None,
    }
    return {name: value for name, value in given.items() if value is not None}


class _LibraryLogger:
    """Receives librdkafka's log lines, which otherwise go to standard error.

    The important ones reach `KafkaErrors` as well, once.
    """

    def __init__(self) -> None:
        self._last = ""

    def log(self, _level: int, _template: str, facility: str, client: str, line: str) -> None:
        """Log a line, unless it repeats the last one; librdkafka calls this as `logging.Logger.log`."""
        if line != self._last:
            _log.debug("kafka.client_said", facility=facility, client=client, line=line)
        self._last = line
