"""Check whether a long-lived client still has a broker."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from streamer.clock import Clock
from streamer.later import LaterLogger

_log = LaterLogger()

_LIMIT_S = 10.0
# More frequent statistics would be costly, because they grow with the number of partitions.
_EVERY_MS = 5_000
_BROKERS = frozenset({"configured", "learned"})


class BrokerCheck:
    """Detects a client that has had no broker for 10 to 15 s, so that its user can replace the client.

    A broker that has just started can report a cluster without brokers. librdkafka then
    forgets the brokers that it knows. A client can then lose all its brokers. Such a
    client never connects again and reports no error (issue 5301 of librdkafka). Only
    librdkafka's statistics show that a client has no broker.
    """

    def __init__(self, clock: Clock, name: str) -> None:
        """Watch the client that is created with `configuration`; `name` is its name in the log."""
        self._clock = clock
        self._name = name
        self._without_since: float | None = None
        self._without_s = 0.0

    @property
    def configuration(self) -> dict[str, Any]:
        """Options of the watched client."""
        return {"statistics.interval.ms": _EVERY_MS, "stats_cb": self.note}

    def note(self, statistics: str) -> None:
        """Check the client's brokers; librdkafka calls this method as `stats_cb` during a poll."""
        brokers = orjson.loads(statistics)["brokers"].values()
        if any(each["source"] in _BROKERS and each["state"] == "UP" for each in brokers):
            self._without_since, self._without_s = None, 0.0
            return
        now = self._clock.monotonic()
        if self._without_since is None:
            self._without_since = now
        self._without_s = now - self._without_since

    def check(self) -> None:
        """Raise `KafkaException` when the client must be replaced."""
        if self._without_s >= _LIMIT_S:
            _log.warning("kafka.client_without_broker", client=self._name, for_s=round(self._without_s, 1))
            raise KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN, "no connection to any broker"))


class CheckedConsumer(Consumer):
    """Consumer whose `poll` raises `KafkaException` when `check` finds that the consumer must be replaced."""

    def __init__(self, configuration: Mapping[str, Any], *, check: BrokerCheck, logger: Any) -> None:
        super().__init__({**configuration, **check.configuration}, logger=logger)
        self._check = check

    def poll(self, timeout: float = -1) -> Message | None:
        """Return the next message or error, or `None` if none came within `timeout` seconds."""
        message = super().poll(timeout)
        self._check.check()
        return message

    def close(self) -> None:
        """Close the consumer; if the consumer is in a group, first leave the group.

        When a cooperative member without partitions closes, librdkafka 2.16 does not
        notify the group, and the group waits for this member until its session expires.
        So the member unsubscribes first, which notifies the group.
        """
        with suppress(KafkaException):
            self.unsubscribe()
        super().close()
