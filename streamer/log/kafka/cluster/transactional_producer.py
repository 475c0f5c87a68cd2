"""Producer of transactions, whose records become visible together or not at all."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors, is_retriable
from streamer.log.kafka.cluster.producer import RecordProducer
from streamer.log.kafka.cluster.retry import RetryPolicy

_LOOK_S = 0.5
_LEAST_S = 0.05
_PAUSE_S = 0.05
_ABORT_S = 3.0
_OFFSETS_S = 5.0
_OVERRUN_S = 2.0

Failed = Callable[[], KafkaError | None]
"""Returns the reason why a record of the open transaction was refused, once one was."""


class TransactionalProducer(RecordProducer):
    """Writes under one transactional id, and fences off its former holder. Blocking, for one thread.

    Its calls follow Kafka's own: `init` once, then for each transaction
    `begin`, `produce`, `send_offsets` and `commit`. When `commit` fails, the
    outcome of the transaction stays uncertain until `init` of the next producer
    with the same id has returned, so this producer must be discarded. All of
    them raise `KafkaException`.
    """

    def __init__(
        self,
        clients: Clients,
        errors: KafkaErrors,
        configuration: Mapping[str, Any],
        *,
        known_topic: str = "",
        failed: Failed = lambda: None,
    ) -> None:
        """Build the producer; `init` fences off others.

        It discovers the brokers by the metadata of `known_topic`. While it
        waits for an answer, it asks `failed` whether waiting is useless.
        """
        super().__init__(clients.producer(errors, configuration))
        self._aborted = clients.aborted
        self._is_open = False
        self._known_topic = known_topic
        self._failed = failed
        self._is_connected = not known_topic
        self._is_ready = False

    def init(self, timeout_s: float) -> None:
        """Fence off the former holder of the id; its open transaction is decided when this returns.

        After a retriable error the next call continues this one; after a
        success it does nothing.
        """
        if self._is_ready:
            return
        if not self._is_connected:
            self.connect(self._known_topic, min(_LOOK_S, timeout_s))
            self._is_connected = True
        self._insist(Producer.init_transactions, timeout_s)
        self._is_ready = True

    def begin(self) -> None:
        """Begin a transaction; its first record announces it to the broker."""
        self.live.begin_transaction()
        self._is_open = True

    def send_offsets(self, offsets: Sequence[TopicPartition], generation: Any, timeout_s: float) -> None:
        """Let the transaction also commit `offsets` of a consumer group.

        `generation` is the result of `consumer_group_metadata`. The broker
        refuses the offsets of a past generation, which fences off a former
        member.
        """
        # The client waits forever for a group's coordinator that it cannot reach.
        self._retry(timeout_s).call(
            self.call,
            Producer.send_offsets_to_transaction,
            list(offsets),
            generation,
            _OFFSETS_S,
            timeout_s=_OFFSETS_S + _OVERRUN_S,
        )

    def commit(self, timeout_s: float) -> None:
        """Commit the transaction; all delivery reports have been served when this returns."""
        self._insist(Producer.commit_transaction, timeout_s)
        self._is_open = False

    def abort(self) -> bool:
        """Abort the transaction, and return whether that succeeded within 3 s.

        This is quicker than leaving it to the next producer's `init`.
        """
        self._count_abort()
        with suppress(KafkaException):
            self.live.abort_transaction(_ABORT_S)
            return True
        return False

    def discard(self) -> None:
        """Drop the producer; the next holder of the id ends an open transaction."""
        self._count_abort()
        super().discard()

    def _count_abort(self) -> None:
        if self._is_open:
            self._aborted.count()
            self._is_open = False

    def serve(self) -> None:
        """Serve the callbacks of the background threads: delivery reports, errors and log lines."""
        # The call raises a fatal error again.
        with suppress(KafkaException):
            self.live.poll(0)

    def _insist(self, call: Callable[[Producer, float], None], timeout_s: float) -> None:
        # The next call resumes one that timed out. Once a record was
        # refused, the waiting ones are never sent, and a commit would wait
        # for them until its deadline: so the reports are checked regularly.
        deadline = time.monotonic() + timeout_s

        def go_on() -> None:
            call(self.live, min(_LOOK_S, max(_LEAST_S, deadline - time.monotonic())))

        try:
            self._retry(timeout_s).call(go_on)
        finally:
            self.serve()

    def _retry(self, limit_s: float) -> RetryPolicy:
        return RetryPolicy(limit_s=limit_s, wait=self._look, can_pass=is_retriable, pause_s=_PAUSE_S)

    def _look(self, timeout_s: float) -> None:
        self.live.poll(timeout_s)
        if (error := self._failed()) is not None:
            raise KafkaException(error)
