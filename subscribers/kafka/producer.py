"""Idempotent producer; each call waits for the delivery reports of its records."""

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamer.librdkafka.options import TOKEN_OPTION, LibraryLogger
from streamer.librdkafka.producer import DisposableProducer, ProducerDiscarded
from subscribers.kafka.records import Record

# Longest wait in one call of librdkafka, because other calls share its queue.
_SLICE_S = 0.1
# librdkafka reports a record as timed out a little after its deadline.
_GRACE_S = 3.0
_MOST_MISSING = 1_000


_JOINT = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_MSG,
        KafkaError._INVALID_DIFFERENT_RECORD,
    }
)


NO_TOPIC = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}
)
"""Codes of errors that mean a missing topic."""


class DeliveryReport(NamedTuple):
    """Result of one record.

    Without an `error`, the record is at `offset` of `partition`. `is_local` means
    that the client refused the record and sent nothing to a broker. `background` is
    the last error of the connections, which explains the time-out of a record.
    """

    error: KafkaError | None
    partition: int = -1
    offset: int = -1
    is_local: bool = False
    background: KafkaError | None = None


class _Call:
    """Collects the reports of the records of one call; any thread that serves the client adds reports."""

    def __init__(self, number: int) -> None:
        self.reports: list[DeliveryReport | None] = [None] * number
        self._missing = set(range(number))
        self.complete = threading.Event()

    def told(self, index: int, error: KafkaError | None, message: Message) -> None:
        """Note librdkafka's delivery report of the record number `index`."""
        if error is None:
            self.note(index, DeliveryReport(None, message.partition() or 0, message.offset() or 0))
        else:
            self.note(index, DeliveryReport(error))

    def note(self, index: int, report: DeliveryReport) -> None:
        """Note the report of the record number `index`."""
        self.reports[index] = report
        self._missing.discard(index)
        if not self._missing:
            self.complete.set()


class ReportingProducer:
    """Writes records and returns the records' reports; several threads can use it at the same time.

    A fatal error of librdkafka, or a record without a report, ends the producer,
    and the next call creates a new one. So no record is written long after its call
    has ended.
    """

    def __init__(
        self,
        configuration: Mapping[str, Any],
        timeout_s: float,
        *,
        grace_s: float = _GRACE_S,
        slice_s: float = _SLICE_S,
    ) -> None:
        self._configuration = dict(configuration)
        self._timeout_s = timeout_s
        self._grace_s = grace_s
        self._slice_s = slice_s
        self._lock = threading.Lock()
        self._producer: DisposableProducer | None = None
        self._is_closed = False
        self._background: KafkaError | None = None
        self._missing: set[str] = set()

    def produce(self, records: Sequence[Record]) -> list[DeliveryReport]:
        """Write `records`, and block until each record was acknowledged or has failed.

        All records share one deadline. After it, the remaining records are reported
        as timed out.
        """
        give_up_at = time.monotonic() + self._timeout_s + self._grace_s
        reports: dict[int, DeliveryReport] = {}
        waiting: deque[Sequence[int]] = deque([range(len(records))])
        while waiting:
            indices = waiting.popleft()
            written = self._write([records[index] for index in indices], give_up_at)
            reports.update(zip(indices, written, strict=True))
            if len(indices) > 1:
                # The client sends records in batches. The broker refuses a whole batch because of
                # one record, or because the batch is too large. So each half of the refused
                # records is written again.
                refused = [index for index in indices if _is_joint(reports[index])]
                half = len(refused) // 2
                waiting.extend(part for part in (refused[:half], refused[half:]) if part)
        return [reports[index] for index in range(len(records))]

    def close(self) -> None:
        """End the producer and drop its queue; calls that still run create no new producer."""
        with self._lock:
            self._is_closed = True
        self._discard(self._producer)

    def _write(self, records: Sequence[Record], give_up_at: float) -> list[DeliveryReport]:
        call = _Call(len(records))
        unreported = KafkaError._TIMED_OUT
        producer = None
        try:
            producer = self._live()
            for topic in self._missing.intersection(record.topic for record in records):
                self._look_for(producer, topic, give_up_at)
            if time.monotonic() >= give_up_at:
                return [self._judged(None, unreported)] * len(records)
            for index, record in enumerate(records):
                self._enqueue(producer, record, call, index, give_up_at)
            self._wait(producer, call, give_up_at)
        except KafkaException as exc:
            # The producer got no token within the time that librdkafka waits for it.
            return [DeliveryReport(exc.args[0], is_local=True)] * len(records)
        except ProducerDiscarded:
            # Another call or the end of the plugin has dropped the queue.
            unreported = KafkaError._PURGE_INFLIGHT
        reports = [self._judged(report, unreported) for report in call.reports]
        if len(self._missing) > _MOST_MISSING:
            self._missing.clear()
        self._missing.update(
            record.topic
            for record, report in zip(records, reports, strict=True)
            if report.error is not None and report.error.code() in NO_TOPIC
        )
        if any(report.error is not None and _is_final(report.error) for report in reports):
            self._discard(producer)
        return reports

    def _live(self) -> DisposableProducer:
        with self._lock:
            if self._is_closed:
                raise ProducerDiscarded("the plugin is closed")
            if self._producer is None:
                errors = {"error_cb": self._note}
                self._producer = DisposableProducer(
                    Producer(self._configuration | errors, logger=LibraryLogger())
                )
            return self._producer

    def _look_for(self, producer: DisposableProducer, topic: str, give_up_at: float) -> None:
        timeout_s = min(self._timeout_s, give_up_at - time.monotonic())
        if timeout_s <= 0:
            return
        # librdkafka itself would ask again for a missing topic only after minutes.
        with suppress(KafkaException):
            producer.live.list_topics(topic, timeout=timeout_s)
        self._missing.discard(topic)

    def _enqueue(
        self, producer: DisposableProducer, record: Record, call: _Call, index: int, give_up_at: float
    ) -> None:
        told = partial(call.told, index)
        topic, key, value, headers = record
        while True:
            try:
                producer.live.produce(topic, value, key, on_delivery=told, headers={**headers})
            except BufferError:
                if time.monotonic() > give_up_at:
                    return call.note(index, DeliveryReport(KafkaError(KafkaError._QUEUE_FULL), is_local=True))
                producer.wait_for_room()
            except KafkaException as exc:
                return call.note(index, DeliveryReport(exc.args[0], is_local=True))
            else:
                return None

    def _wait(self, producer: DisposableProducer, call: _Call, give_up_at: float) -> None:
        """Send the queue, and serve reports until `call` has all its reports."""
        while not call.complete.is_set() and time.monotonic() < give_up_at:
            # A flush sends the queue without the usual wait for more records.
            if not producer.live.flush(self._slice_s):
                # Another call is serving our reports at this moment.
                call.complete.wait(self._slice_s)

    def _judged(self, report: DeliveryReport | None, unreported: int) -> DeliveryReport:
        """Return `report` with the last connection error; for `None`, return the error `unreported`."""
        if report is None:
            return DeliveryReport(KafkaError(unreported), background=self._background)
        if report.error is None:
            self._background = None
            return report
        return report._replace(background=self._background)

    def _discard(self, producer: DisposableProducer | None) -> None:
        """Discard `producer`, unless another call has done this already."""
        with self._lock:
            if producer is None or self._producer is not producer:
                return
            self._producer = None
        # This serves the reports that have arrived; the outcome of other records is uncertain.
        producer.live.poll(0)
        producer.discard()

    def _note(self, error: KafkaError) -> None:
        # "All brokers are down" always follows a more precise error.
        if error.code() != KafkaError._ALL_BROKERS_DOWN or self._background is None:
            self._background = error


def _is_joint(report: DeliveryReport) -> bool:
    return report.error is not None and not report.is_local and report.error.code() in _JOINT


def _is_final(error: KafkaError) -> bool:
    return error.fatal() or error.code() in {KafkaError._FATAL, KafkaError._TIMED_OUT}


def refusal(configuration: Mapping[str, Any]) -> str | None:
    """Return the reason why librdkafka refuses `configuration`, or `None`; nothing connects."""
    # A client that connects nowhere needs no token.
    left_out = {"bootstrap.servers", TOKEN_OPTION}
    apart = {name: value for name, value in configuration.items() if name not in left_out}
    try:
        Producer(apart, logger=LibraryLogger())
    except KafkaException as exc:
        return str(exc.args[0].str()).strip()
    except (TypeError, ValueError) as exc:
        return str(exc).strip()
    return None
