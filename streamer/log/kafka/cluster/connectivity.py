"""Connectivity check of the brokers."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import KafkaException

from streamer.clock import Clock
from streamer.log.kafka.cluster.admin_client import RenewedAdminClient
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors, kafka_error
from streamer.log.kafka.cluster.names import Names

_EVERY_S = 2.0
_ANSWER_S = 2.0
_SILENT_AFTER_S = 6.0


class Connectivity:
    """Requests a topic's metadata every 2 s, with a client for this purpose only.

    The working clients can't detect a silent broker. A group's member waits for
    other members as silently as for a frozen broker, and librdkafka considers a
    connection alive until a request on it has timed out.
    """

    def __init__(self, clients: Clients, clock: Clock) -> None:
        """Start as connected, because opening the log has just reached a broker."""
        self._clock = clock
        self._brokers = clients.settings.bootstrap_servers
        self._topic = Names.of(clients.settings).checkpoints
        self._errors = KafkaErrors(clients.settings)
        self._admin = RenewedAdminClient(clients, self._errors)
        self._answered_at = clock.monotonic()
        self._last_error = ""

    @property
    def outage(self) -> str:
        """Sentence that names the silent brokers and for how long; empty if one answered within 6 s."""
        silent_s = self._clock.monotonic() - self._answered_at
        if silent_s <= _SILENT_AFTER_S:
            return ""
        return f"No broker at {self._brokers} has answered for {silent_s:.0f} s ({self._last_error})."

    async def run(self) -> None:
        """Check until cancelled."""
        with ThreadPoolExecutor(1, "kafka-reach") as executor:
            while True:
                await asyncio.get_running_loop().run_in_executor(executor, self._check)
                await self._clock.sleep(_EVERY_S)

    def _check(self) -> None:
        try:
            # Any broker can answer, because this checks the cluster.
            self._admin.live.list_topics(self._topic, timeout=_ANSWER_S)
        except KafkaException as exc:
            self._last_error = kafka_error(exc).str()
            self._admin.failed(kafka_error(exc))
        else:
            self._answered_at = self._clock.monotonic()
            self._errors.clear()
            # Serve the error callbacks of the background threads.
            self._admin.live.poll(0)
