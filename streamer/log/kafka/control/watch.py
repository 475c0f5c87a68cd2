"""Watch of the control topic, which all watchers in this process share."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import closing

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamer.backoff import Backoff, Delays
from streamer.controls import ControlState
from streamer.errors import LogMisconfigured, LogUnavailable
from streamer.log.kafka.cluster.bounded_reader import bounds, poll_many
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import set_aside
from streamer.log.kafka.records.controls import AppliedControls
from streamer.observe.process import Pulse, Pulses
from streamer.observe.service_thread import ServiceThread

_log = structlog.get_logger()

_NAME = "kafka-controls"
_POLL_S = 0.1
_AT_ONCE = 500
_BACKOFF = Backoff(first_s=0.5, limit_s=15.0)


class ControlWatch:
    """Reads the control topic in a thread; the first watcher starts the thread, and `close` ends it.

    One consumer serves all watchers. Records in the control topic belong to no
    transaction, so the consumer reads all replicated records and never waits for an
    open transaction.
    """

    def __init__(self, clients: Clients, pulses: Pulses) -> None:
        """Prepare the watch on the running loop; the watch reads nothing before the first watcher."""
        self._clients = clients
        self._errors = KafkaErrors(clients.settings)
        self._topic = Names.of(clients.settings).control
        self._group = Names.of(clients.settings).ingest_group
        self._pulses = pulses
        self._loop = asyncio.get_running_loop()
        self._thread: ServiceThread | None = None
        self._closing = threading.Event()
        self._delays = Delays(_BACKOFF)
        self._board: ControlState | None = None
        self._error: Exception | None = None
        self._changed = asyncio.Event()

    async def boards(self) -> AsyncGenerator[ControlState, None]:
        """Yield the control state, and again after each change, until `close`.

        Raises errors that need an operator, such as `LogMisconfigured`.
        """
        self._start_thread()
        seen = None
        while not self._closing.is_set():
            changed = self._changed
            if self._error is not None:
                raise self._error
            if self._board is not None and self._board is not seen:
                seen = self._board
                yield seen
            else:
                await changed.wait()

    async def close(self) -> None:
        """End the thread and all watchers."""
        self._closing.set()
        self._notify()
        if self._thread is not None:
            await self._thread.join()

    def _start_thread(self) -> None:
        if self._thread is None:
            self._thread = ServiceThread(_NAME, self._serve, pulses=self._pulses, failed=self._fail)
            self._thread.start()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _show(self, board: ControlState) -> None:
        if board != self._board:
            self._board = board
            self._notify()

    def _fail(self, error: Exception) -> None:
        self._error = error
        self._notify()

    # On the thread.

    def _serve(self, pulse: Pulse) -> None:
        while not self._closing.is_set():
            self._follow_once(pulse)

    def _follow_once(self, pulse: Pulse) -> None:
        """Follow the topic until the watch is closed.

        If the log is unavailable, pause and return earlier.
        """
        try:
            with (
                self._errors.explained(doing="reading", subject=f"topic {self._topic}"),
                closing(self._consumer()) as consumer,
            ):
                self._follow(consumer, pulse)
        except LogUnavailable as error:
            pause_s = self._delays.next_s()
            _log.warning("controls.unreadable", reason=str(error), tried_again_in_s=pause_s)
            pulse.rest()
            self._closing.wait(pause_s)
            pulse.beat()

    def _follow(self, consumer: Consumer, pulse: Pulse) -> None:
        begin, end = bounds(consumer, TopicPartition(self._topic, 0))
        consumer.assign([TopicPartition(self._topic, 0, begin)])
        # The watch begins at the first offset each time, because the topic can have been
        # created again.
        switches, through, shown = AppliedControls(), begin, False
        while not self._closing.is_set():
            pulse.beat()
            for message in poll_many(consumer, _AT_ONCE, _POLL_S):
                through = self._apply(message, switches)
                shown = False
            # Until the whole topic was read, the state is outdated, and the pause of a
            # subscriber can be missing.
            if through >= end and not shown:
                # The broker has answered, so earlier errors have ended.
                self._errors.clear()
                self._loop.call_soon_threadsafe(self._show, switches.board())
                self._delays.reset()
                shown = True

    def _apply(self, message: Message, switches: AppliedControls) -> int:
        """Apply a record; return the offset up to which the topic was read."""
        error, offset = message.error(), message.offset() or 0
        if error is None:
            try:
                switches.apply(message.key(), message.value())
            except LogMisconfigured as exc:
                # One foreign record must not block the records after it.
                set_aside(self._clients.foreign, message, exc)
            return offset + 1
        if error.code() == KafkaError._PARTITION_EOF:
            return offset
        raise KafkaException(error)

    def _consumer(self) -> Consumer:
        configuration = {
            # The client requires a group id to assign partitions, although it joins no group.
            "group.id": self._group,
            "isolation.level": "read_uncommitted",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
        return self._clients.checked_consumer(self._errors, configuration, name=_NAME)
