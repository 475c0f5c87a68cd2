"""Producer that can be discarded at any moment, in any state of the brokers."""

import threading
from collections.abc import Callable

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

_log = structlog.get_logger()

_DISCARD_S = 3.0
_ROOM_S = 0.05


class ProducerDiscarded(RuntimeError):
    """The producer was discarded: make a new one."""


class DisposableProducer:
    """Holds the only reference to a producer, because only dropping it ends the producer.

    librdkafka ends a producer when the last reference to it goes: in 5 ms, with
    all of its threads and without a request to the brokers, whether they are
    healthy, frozen or dead. Its `close` would abort the open transaction first,
    and waits for brokers that do not answer. So no caller keeps the result of
    `live` in a variable: a traceback keeps variables alive, and an exception
    can live long.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer: Producer | None = producer

    @property
    def live(self) -> Producer:
        """Producer for one call; raises `ProducerDiscarded` once it was discarded."""
        if self._producer is None:
            raise ProducerDiscarded("this producer was discarded: make a new one")
        return self._producer

    def wait_for_room(self) -> None:
        """Serve reports for a moment, after which a full queue can have room."""
        self.live.poll(_ROOM_S)

    def call(self, call: Callable[..., None], *arguments: object, timeout_s: float) -> None:
        """Make a call that can exceed its own time-out.

        If it takes longer than `timeout_s`, it is abandoned together with the
        producer, which is freed when the call returns. Raises the error of the
        call, or `KafkaException` after the time-out.
        """
        failures: list[Exception] = []

        def run() -> None:
            try:
                call(self.live, *arguments)
            except Exception as exc:  # noqa: BLE001 - it is raised again, on the calling thread
                failures.append(exc)

        calling = threading.Thread(target=run, name="kafka-call", daemon=True)
        calling.start()
        calling.join(timeout_s)
        if calling.is_alive():
            self._producer = None
            _log.warning("kafka.call_left_behind", waited_s=timeout_s)
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        if failures:
            # Left in the list, the exception would keep itself alive by its traceback.
            raise failures.pop()

    def discard(self) -> None:
        """Drop the producer with all its records, within 3 s; a second call does nothing.

        The next `init_transactions` of its id ends an open transaction. Only a
        thread that resolves a broker's name cannot be interrupted: it delays
        the end, on a thread of its own, until the resolver gives up.
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
    """Drop the references in `clients` on a thread of its own, which is returned.

    A client of librdkafka ends with its last reference. That can wait for the
    resolver of a name, and never happens on librdkafka's own threads, where it
    would end the process: Python collects garbage on them, too.
    """
    ending = threading.Thread(target=clients.clear, name="kafka-discard", daemon=True)
    ending.start()
    return ending
