"""Session with a broker, which opens one connection after another, with a back-off in between."""

import asyncio
from collections.abc import Callable

from streamer.backoff import Backoff, Delays, full_jitter
from streamer.clock import Clock
from subscribers.mqtt.connection import Broker, BrokerConnection

_FIRST_S = 0.5
_LIMIT_S = 5.0


class MqttSession:
    """Connects when a delivery asks for a connection and no connection is open.

    Deliveries that ask at the same time share one attempt and its result. The session
    does not resend unacknowledged messages. Dispatch resends the messages from the log,
    because dispatch knows whether this process still owns the events.
    """

    def __init__(self, broker: Broker, clock: Clock, random: Callable[[], float]) -> None:
        self._broker = broker
        self._clock = clock
        self._delays = Delays(Backoff(first_s=_FIRST_S, limit_s=_LIMIT_S, jitter=full_jitter(random)))
        self._not_before = clock.monotonic()
        self._connection: BrokerConnection | None = None
        self._connecting: asyncio.Task[BrokerConnection] | None = None

    async def connection(self) -> BrokerConnection:
        """Return the open connection, or open one.

        Raises `BrokerUnreached`, `ForbiddenAddress` or `BrokerRefused`. If the broker
        ended the previous connection, the next call raises the broker's reason as
        `BrokerRefused`.
        """
        if self._connection is not None and self._connection.is_open:
            return self._connection
        if self._connection is not None and (refusal := self._connection.take_refusal()) is not None:
            # Otherwise, an idle subscriber would not report the refusal, for example that another
            # client has the same id.
            raise refusal
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect(), name=f"mqtt {self._broker}: connect")
            self._connecting.add_done_callback(self._forget)
        # A cancelled delivery must not cancel the attempt that other deliveries wait for.
        return await asyncio.shield(self._connecting)

    def worked(self) -> None:
        """Forget earlier failures, because the broker has acknowledged a message.

        A connection alone does not prove success. For example, two processes with the
        same client id can both connect, and then end each other's connections.
        """
        if self._delays.failures:
            self._delays.reset()
            self._not_before = self._clock.monotonic()

    async def close(self) -> None:
        """End the connection, or the attempt to open one."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if self._connection is not None:
            await self._connection.close()
        self._connection = None

    def _forget(self, attempt: asyncio.Task[BrokerConnection]) -> None:
        self._connecting = None
        if not attempt.cancelled():
            # Read the exception, because no delivery may be waiting for it any more.
            attempt.exception()

    async def _connect(self) -> BrokerConnection:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
        if (pause_s := self._not_before - self._clock.monotonic()) > 0:
            await self._clock.sleep(pause_s)
        self._not_before = self._clock.monotonic() + self._delays.next_s()
        self._connection = await BrokerConnection.open(self._broker, self._clock)
        return self._connection
