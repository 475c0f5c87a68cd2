"""Whether the brokers answer."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import KafkaException

from streamer.clock import Clock
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors, kafka_error
from streamer.log.kafka.cluster.names import Names

_EVERY_S = 2.0
_ANSWER_S = 2.0
_SILENT_AFTER_S = 6.0


class Connectivity:
    """Asks the brokers for a topic's metadata every 2 s, by a client that does nothing else.

    The clients at work can't tell: a group's member waits for its neighbours
    as silently as for a broker that is frozen, and librdkafka takes a
    connection for good until a request on it has timed out.
    """

    def __init__(self, clients: Clients, clock: Clock) -> None:
        """Take the brokers for answering, since whoever opens the log has just heard of them."""
        self._clock = clock
        self._brokers = clients.settings.bootstrap_servers
        self._topic = Names.of(clients.settings).checkpoints
        self._errors = KafkaErrors(clients.settings)
        self._admin = clients.admin(self._errors)
        self._answered_at = clock.monotonic()
        self._last_error = ""

    @property
    def hindrance(self) -> str:
        """Who does not answer, and since when; empty while somebody has within the last 6 s."""
        silent_s = self._clock.monotonic() - self._answered_at
        if silent_s <= _SILENT_AFTER_S:
            return ""
        return f"No broker at {self._brokers} has answered for {silent_s:.0f} s ({self._last_error})."

    async def run(self) -> None:
        """Ask until cancelled."""
        with ThreadPoolExecutor(1, "kafka-reach") as executor:
            while True:
                await asyncio.get_running_loop().run_in_executor(executor, self._check)
                await self._clock.sleep(_EVERY_S)

    def _check(self) -> None:
        try:
            # Any broker will do: it is the cluster that is asked after.
            self._admin.list_topics(self._topic, timeout=_ANSWER_S)
        except KafkaException as exc:
            self._last_error = kafka_error(exc).str()
        else:
            self._answered_at = self._clock.monotonic()
            self._errors.clear()
        # Serves what the background threads had to say about it.
        self._admin.poll(0)
