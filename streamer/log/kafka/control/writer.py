"""Writer of controls and audit records."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message

from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.producer import RecordProducer
from streamer.log.kafka.cluster.record import ProducerRecord, Tombstone

_DEADLINE_S = 10.0

Step = Sequence[ProducerRecord | Tombstone]
"""Records that are in flight together."""


class ControlWriter:
    """Writes records one call after the other, by an idempotent producer in a thread of its own.

    The producer is made for the first call, and again after a failed one:
    unfinished writes of a failed call are dropped, so that they can't overtake
    the next call's.
    """

    def __init__(self, clients: Clients, *, deadline_s: float = _DEADLINE_S) -> None:
        """Connect lazily; a call has `deadline_s`."""
        self._clients = clients
        self._deadline_s = deadline_s
        self._errors = KafkaErrors(clients.settings)
        self._producer: RecordProducer | None = None
        self._executor = ThreadPoolExecutor(1, "kafka-controls-writer")

    async def write(self, *steps: Step) -> None:
        """Write `steps`, each before the next; return when all copies in sync have acknowledged them.

        Raises `LogUnavailable` when the deadline passes; some records can be
        written all the same.
        """
        await asyncio.get_running_loop().run_in_executor(self._executor, self._write, steps)

    async def close(self) -> None:
        """Finish submitted calls, and discard the producer."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._discard)
        self._executor.shutdown(wait=False)

    def _write(self, steps: Sequence[Step]) -> None:
        deadline = time.monotonic() + self._deadline_s
        topics = ", ".join(sorted({record.topic for step in steps for record in step}))
        with self._errors.explained(doing="writing to", subject=f"topic {topics}"):
            try:
                for step in steps:
                    self._deliver(step, deadline)
            except KafkaException:
                self._discard()
                raise
        self._errors.clear()

    def _deliver(self, step: Step, deadline: float) -> None:
        errors: list[KafkaError] = []
        producer = self._producer = self._producer or self._new_producer()
        producer.produce(step, deadline - time.monotonic(), told=partial(_told, errors))
        waiting = producer.live.flush(max(0.0, deadline - time.monotonic()))
        if errors:
            raise KafkaException(errors[0])
        if waiting:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    def _new_producer(self) -> RecordProducer:
        configuration = {"enable.idempotence": True, "message.timeout.ms": round(self._deadline_s * 1000)}
        return RecordProducer(self._clients.producer(self._errors, configuration))

    def _discard(self) -> None:
        if self._producer is not None:
            self._producer.discard()
            self._producer = None


def _told(errors: list[KafkaError], error: KafkaError | None, _: Message) -> None:
    if error is not None:
        errors.append(error)
