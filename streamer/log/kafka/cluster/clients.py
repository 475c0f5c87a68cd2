"""Clients of librdkafka, created from the Kafka settings, and a check of the connection."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from streamer.clock import Clock, SystemClock
from streamer.configuration import dotted, unfit_files
from streamer.errors import ConfigurationError, LogMisconfigured, LogUnavailable
from streamer.librdkafka.options import (
    BROKER_OPTIONS,
    CODE_OPTIONS,
    COMPRESSION_OPTIONS,
    DURABILITY_OPTIONS,
    SECURITY_PREFIXES,
    LibraryLogger,
    security_options,
    token_options,
)
from streamer.librdkafka.producer import free
from streamer.librdkafka.tokens import TokenSource
from streamer.log.foreign_records import ForeignRecords
from streamer.log.kafka.cluster.broker_check import BrokerCheck, CheckedConsumer
from streamer.log.kafka.cluster.errors import RETRY_LIMIT_S, KafkaErrors, RetryPolicy, kafka_error
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.schemas.codecs import SchemaReaders
from streamer.settings import KafkaLogSettings


def reserved_options(options: Mapping[str, object]) -> dict[str, str]:
    """Return, for each option that an operator must not set, the reason or the key to use instead."""
    reasons = {name: _why_refused(name) for name in sorted(options)}
    return {name: reason for name, reason in reasons.items() if reason}


_EXACTLY_ONCE = "exactly-once delivery depends on this option"
_SECURITY = "set log.kafka.security instead"
_RESERVED: Mapping[str, str] = {
    **dict.fromkeys(BROKER_OPTIONS, "set log.kafka.bootstrap_servers instead"),
    **dict.fromkeys(CODE_OPTIONS, "a configuration must not load code"),
    **dict.fromkeys(COMPRESSION_OPTIONS, "set log.kafka.compression instead"),
    **dict.fromkeys(DURABILITY_OPTIONS, _EXACTLY_ONCE),
    "allow.auto.create.topics": "set log.kafka.create_topics instead",
    "auto.commit.enable": _EXACTLY_ONCE,
    "auto.offset.reset": "set start in a channel or a subscriber instead",
    "batch.size": _EXACTLY_ONCE,
    "enable.auto.commit": _EXACTLY_ONCE,
    "enable.auto.offset.store": _EXACTLY_ONCE,
    "enable.partition.eof": _EXACTLY_ONCE,
    "enable.ssl.certificate.verification": "Streamer verifies every broker; set log.kafka.security.ca_file "
    "instead",
    "group.id": "set log.kafka.prefix instead",
    "group.instance.id": "processes with the same prefix share the work as dynamic members of a group",
    "group.protocol": "the takeover by another process within seconds depends on this option",
    "heartbeat.interval.ms": "set log.kafka.session_timeout_s instead",
    "isolation.level": _EXACTLY_ONCE,
    "partition.assignment.strategy": _EXACTLY_ONCE,
    "partitioner": "Streamer and Java clients must choose the same partition for a key",
    "security.protocol": "set log.kafka.security.protocol instead",
    "session.timeout.ms": "set log.kafka.session_timeout_s instead",
    "transaction.timeout.ms": "set log.kafka.transaction_timeout_s instead",
    "transactional.id": "set log.kafka.prefix instead",
    "sasl.mechanism": "set log.kafka.security.mechanism instead",
    "sasl.mechanisms": "set log.kafka.security.mechanism instead",
    "sasl.password": "set log.kafka.security.password instead",
    "sasl.username": "set log.kafka.security.username instead",
    "ssl.ca.location": "set log.kafka.security.ca_file instead",
    "ssl.certificate.location": "set log.kafka.security.certificate_file instead",
    "ssl.key.location": "set log.kafka.security.key_file instead",
    "ssl.key.password": "set log.kafka.security.key_password instead",
}
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Size of the largest record; events reach 1 MB at Salesforce and grow when encoded."""
_SOCKET_TIMEOUT_MS = 10_000
# A member needs less than this for one call of a rebalance callback.
_REJOIN_S = 60.0
_Client = TypeVar("_Client")
_PRODUCER_DEFAULTS: Mapping[str, Any] = {
    # A commit flushes at once, so a single event does not wait for this delay.
    "linger.ms": 5,
    "partitioner": "murmur2_random",
    # The size of a transaction is limited before it begins, and the queue must hold the whole
    # transaction.
    "queue.buffering.max.messages": 0,
    "queue.buffering.max.kbytes": 2**31 - 1,
}


def _why_refused(name: str) -> str:
    return _RESERVED.get(name) or (_SECURITY if name.startswith(SECURITY_PREFIXES) else "")


def member_options(
    settings: KafkaLogSettings, *, heartbeats: int, hand_over_s: float = 0.0
) -> dict[str, Any]:
    """Return librdkafka's options of a group's member that sends `heartbeats` during one session.

    The member takes up to `hand_over_s` to hand its partitions over. `max.poll.interval.ms`
    also limits how long the group waits for a member in a rebalance, and how long a member
    waits for the answer that ends the rebalance. Without this limit, one lost answer stops
    a member, and sometimes its group, for five minutes.
    """
    session_ms = round(settings.session_timeout_s * 1000)
    rejoin_ms = max(round((_REJOIN_S + hand_over_s) * 1000), session_ms)
    return {
        # Partitions that stay continue at their position while other partitions move.
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": session_ms,
        "heartbeat.interval.ms": max(1, session_ms // heartbeats),
        "max.poll.interval.ms": settings.options.get("max.poll.interval.ms", rejoin_ms),
    }


def largest_record(settings: KafkaLogSettings) -> int:
    """Return the size of the largest record that Streamer's producers send, in bytes."""
    return int(settings.options.get("message.max.bytes", MAX_MESSAGE_BYTES))


class AbortedTransactions:
    """Thread-safe count of the transactions that did not commit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.number = 0

    def count(self) -> None:
        """Count one transaction."""
        with self._lock:
            self.number += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """Creates clients; the operator's librdkafka options override Streamer's defaults.

    Each client reports its errors to the `KafkaErrors` that it is created with.
    Each method raises `LogMisconfigured` for a setting that librdkafka refuses.
    With `connects` false, the clients get no brokers. Readers report foreign
    records to `foreign`, and `aborted` counts failed transactions. All users of the
    clients take the time from `clock`. `pause` blocks a thread between two
    attempts. `schemas` reads events in Avro; by default, it has no registry.
    """

    settings: KafkaLogSettings
    connects: bool = True
    clock: Clock = field(default_factory=SystemClock, compare=False)
    pause: Callable[[float], object] = time.sleep
    foreign: ForeignRecords = field(default_factory=ForeignRecords, compare=False)
    aborted: AbortedTransactions = field(default_factory=AbortedTransactions, compare=False)
    schemas: SchemaReaders = field(default_factory=SchemaReaders, compare=False)

    def admin(self, errors: KafkaErrors) -> AdminClient:
        """Return a client that creates and describes topics."""
        return self._create(AdminClient, {}, {}, errors)

    def producer(self, errors: KafkaErrors, configuration: Mapping[str, Any]) -> Producer:
        """Return a producer; `configuration` overrides all other options."""
        # librdkafka requires that this time-out is at most the transaction's time-out.
        timeout_ms = min(_SOCKET_TIMEOUT_MS, round(self.settings.transaction_timeout_s * 1000))
        defaults = {
            **_PRODUCER_DEFAULTS,
            "compression.type": self.settings.compression,
            "socket.timeout.ms": timeout_ms,
        }
        return self._create(Producer, defaults, configuration, errors)

    def consumer(self, errors: KafkaErrors, configuration: Mapping[str, Any]) -> Consumer:
        """Return a consumer; `configuration` overrides all other options."""
        return self._create(Consumer, {}, configuration, errors)

    def checked_consumer(
        self, errors: KafkaErrors, configuration: Mapping[str, Any], *, name: str
    ) -> Consumer:
        """Return a long-lived consumer that raises an error after it has permanently lost its brokers.

        `name` is the client's name in the log. See `BrokerCheck`.
        """
        client = partial(CheckedConsumer, check=BrokerCheck(self.clock, name))
        return self._create(client, {}, configuration, errors)

    def retry(self, limit_s: float = RETRY_LIMIT_S) -> RetryPolicy:
        """Return the policy for a call that blocks its thread until the call succeeds."""
        return RetryPolicy(clock=self.clock, limit_s=limit_s, wait=self.pause)

    def refused_options(self) -> Mapping[str, str]:
        """Return the options that librdkafka refuses, each with the reason; no client connects."""
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
        """Create and close a client of each kind; none of these clients has a broker to connect to."""
        settings = self.settings
        errors, apart = KafkaErrors(settings), Clients(settings=settings, connects=False)
        # librdkafka checks more rules for a transactional producer and for a group member.
        transactions = {
            "transactional.id": settings.prefix,
            "transaction.timeout.ms": round(settings.transaction_timeout_s * 1000),
        }
        group = {
            "group.id": settings.prefix,
            "session.timeout.ms": round(settings.session_timeout_s * 1000),
        }
        self._tokens()
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
        # Without brokers, no client needs a token.
        tokens = self._tokens() if self.connects else {}
        merged = {**self._common(), **defaults, **self.settings.options, **configuration, **tokens}
        try:
            return client(merged | {"error_cb": errors.note}, logger=LibraryLogger())
        except KafkaException as exc:
            if kafka_error(exc).code() == KafkaError.SASL_AUTHENTICATION_FAILED:
                raise self._no_token(tokens) from exc
            raise LogMisconfigured(f"log.kafka: librdkafka refuses the settings: {_reason(exc)}") from exc
        except (TypeError, ValueError) as exc:
            raise LogMisconfigured(f"log.kafka: librdkafka refuses the settings: {_reason(exc)}") from exc

    def _tokens(self) -> dict[str, TokenSource]:
        try:
            return token_options(self.settings.security)
        except ConfigurationError as exc:
            raise LogMisconfigured(f"log.kafka: {exc}") from exc

    def _no_token(self, tokens: Mapping[str, TokenSource]) -> LogUnavailable:
        oauth, reasons = self.settings.security.oauth, [each.failure for each in tokens.values()]
        return LogUnavailable(
            f"the token provider {oauth.provider if oauth else ''} returned no token for Kafka within 10 s "
            f"({'; '.join(filter(None, reasons)) or 'no answer'}): check log.kafka.security.oauth"
        )

    def _common(self) -> dict[str, Any]:
        brokers = {"bootstrap.servers": self.settings.bootstrap_servers} if self.connects else {}
        return {
            **brokers,
            "client.id": self.settings.prefix,
            "allow.auto.create.topics": False,
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "topic.metadata.refresh.interval.ms": 60_000,
            # Reconnect soon to a broker that has returned.
            "reconnect.backoff.max.ms": 1_000,
            "socket.connection.setup.timeout.ms": 10_000,
            "socket.keepalive.enable": True,
            # A frozen broker must not hold a request for a minute after another broker has
            # taken over.
            "socket.timeout.ms": _SOCKET_TIMEOUT_MS,
            **security_options(self.settings.security),
        }


def _reason(refusal: Exception) -> str:
    text = kafka_error(refusal).str() if isinstance(refusal, KafkaException) else str(refusal)
    return text.strip()


_UNANSWERED = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
    }
)


class RenewedAdminClient:
    """Holds an admin client, and replaces it after a call that no broker answered.

    A client can permanently lose its brokers (see `BrokerCheck`). A new client
    costs nothing while no broker is reachable.
    """

    def __init__(self, clients: Clients, errors: KafkaErrors) -> None:
        """Create a client that connects on demand; raises `LogMisconfigured`.

        Background errors go to `errors`.
        """
        self._clients = clients
        self._errors = errors
        self._client: AdminClient | None = clients.admin(errors)
        self._is_closed = False

    @property
    def live(self) -> AdminClient:
        """Client for one call; raises `LogUnavailable` after `close`."""
        if self._client is None:
            raise LogUnavailable("the log is closed")
        return self._client

    def failed(self, error: KafkaError) -> None:
        """Note that a call of `live` failed with `error`."""
        if (client := self._client) is not None:
            # Serve the error callbacks of the background threads.
            client.poll(0)
        if error.code() in _UNANSWERED:
            self._client = self._clients.admin(self._errors)
        if self._is_closed:
            self._client = None

    def close(self) -> None:
        """Drop the client, or let a call that is still running drop the client at its end. Never waits."""
        self._is_closed = True
        dropped: list[object] = [self._client]
        self._client = None
        free(dropped)


_EVERY_S = 2.0
_ANSWER_S = 2.0
_SILENT_AFTER_S = 6.0


class Connectivity:
    """Requests a topic's metadata every 2 s, with a client that does nothing else.

    The other clients can't detect a silent broker. A group member that waits for
    other members looks the same as a member that waits for a frozen broker. Also,
    librdkafka considers a connection alive until a request has timed out.
    """

    def __init__(self, clients: Clients) -> None:
        """Start as connected, because opening the log has just reached a broker."""
        self._clock = clients.clock
        self._brokers = clients.settings.bootstrap_servers
        self._topic = Names.of(clients.settings).checkpoints
        self._errors = KafkaErrors(clients.settings)
        self._admin = RenewedAdminClient(clients, self._errors)
        self._answered_at = self._clock.monotonic()
        self._last_error = ""

    def close(self) -> None:
        """Drop the client."""
        self._admin.close()

    @property
    def outage(self) -> str:
        """Sentence with the silent brokers and how long they are silent; empty if one answered within 6 s."""
        silent_s = self._clock.monotonic() - self._answered_at
        if silent_s <= _SILENT_AFTER_S:
            return ""
        return f"No broker at {self._brokers} has answered for {silent_s:.0f} s ({self._last_error})."

    async def run(self) -> None:
        """Check until cancelled."""
        executor = ThreadPoolExecutor(1, "kafka-reach")
        try:
            while True:
                await asyncio.get_running_loop().run_in_executor(executor, self._check)
                await self._clock.sleep(_EVERY_S)
        finally:
            # The event loop must not wait for the check that is still running.
            executor.shutdown(wait=False)

    def _check(self) -> None:
        try:
            # The check tests the whole cluster, so any broker can answer.
            self._admin.live.list_topics(self._topic, timeout=_ANSWER_S)
        except KafkaException as exc:
            self._last_error = kafka_error(exc).str()
            self._admin.failed(kafka_error(exc))
        else:
            self._answered_at = self._clock.monotonic()
            self._errors.clear()
            # Serve the error callbacks of the background threads.
            self._admin.live.poll(0)
