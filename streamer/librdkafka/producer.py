"""Producer that can be discarded at any moment, in any state of the brokers."""

import threading
from collections.abc import Callable

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

_log = structlog.get_logger()

_DISCARD_S = 3.0
_ROOM_S = 0.05


class ProducerDiscarded(RuntimeError):
    """The producer was discarded; the caller must create a new producer."""


class DisposableProducer:
    """Holds the only reference to a producer, so that dropping this reference ends the producer.

    librdkafka ends a producer when the last reference to it is dropped. The end takes 5
    ms in any state of the brokers, ends all threads of the producer, and sends no
    request to the brokers. The producer's `close` would first abort the open
    transaction, and wait for brokers that do not answer. A caller must not keep the
    result of `live` in a variable. Otherwise, an exception's traceback could keep the
    variable, and so the producer, alive for long.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer: Producer | None = producer

    @property
    def live(self) -> Producer:
        """The producer, for one call; raises `ProducerDiscarded` after `discard`."""
        if self._producer is None:
            raise ProducerDiscarded("this producer was discarded: create a new producer")
        return self._producer

    def wait_for_room(self) -> None:
        """Handle delivery reports for a moment, so that a full queue gets room."""
        self.live.poll(_ROOM_S)

    def call(self, call: Callable[..., None], *arguments: object, timeout_s: float) -> None:
        """Make a call of the producer that can exceed its own time-out.

        If the call takes longer than `timeout_s`, the call and the producer are
        abandoned. The producer is freed when the call returns. Raises the error of the
        call, or `KafkaException` after the time-out.
        """
        failures: list[Exception] = []

        def run() -> None:
            try:
                call(self.live, *arguments)
            except Exception as exc:  # noqa: BLE001 - the calling thread raises it again
                failures.append(exc)

        calling = threading.Thread(target=run, name="kafka-call", daemon=True)
        calling.start()
        calling.join(timeout_s)
        if calling.is_alive():
            self._producer = None
            _log.warning("kafka.call_left_behind", waited_s=timeout_s)
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        if failures:
            # An exception in the list would keep itself alive, because its traceback refers to
            # the list.
            raise failures.pop()

    def discard(self) -> None:
        """Drop the producer with all its records, within 3 s; a second call does nothing.

        The next `init_transactions` with the same id ends an open transaction. A
        thread that is resolving a broker's name can't be interrupted. In this case,
        the producer ends later on its own thread, when the resolver gives up.
        """
        if self._producer is None:
            return
        self._producer.purge(blocking=False)
        dropped: list[object] = [self._producer]
        self._producer = None
        ending = free(dropped)
        ending.join(_DISCARD_S)
        if ending.is_alive():
            _log.warning("kafka.producer_ends_late", waited_s=_DISCARD_S)


def free(clients: list[object]) -> threading.Thread:
    """Drop the references in `clients` on a new thread, and return the thread.

    A client of librdkafka ends when its last reference is dropped. The end can take as
    long as the resolver needs for a name. On a thread of librdkafka, where Python can
    also collect garbage, the end of a client would end the process. So this function
    uses a separate thread.
    """
    ending = threading.Thread(target=clients.clear, name="kafka-discard", daemon=True)
    ending.start()
    return ending
