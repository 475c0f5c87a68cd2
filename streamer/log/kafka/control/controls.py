"""Controls, audit records and continuity records, in topics that every process reads."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import KafkaError, KafkaException, Message

from streamer.controls import (
    AuditRecord,
    ContinuityFilter,
    Control,
    ControlState,
    PositionOrder,
    Redrive,
    SnapshotOrder,
)
from streamer.errors import ForeignRecord, LogUnavailable
from streamer.events import ContinuityRecord
from streamer.librdkafka.producer import DisposableProducer
from streamer.log.continuity import MOST_RECORDS
from streamer.log.kafka.cluster.bounded_reader import BoundedReader
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import ProducerRecord, Tombstone, enqueue, set_aside
from streamer.log.kafka.control.continuity import KafkaContinuityCursor, read_continuity
from streamer.log.kafka.control.letters import KafkaLetterCursor, LetterReader
from streamer.log.kafka.control.watch import ControlWatch
from streamer.log.kafka.records.controls import (
    control_record,
    left_out_record,
    position_record,
    redrive_records,
    snapshot_record,
)
from streamer.log.kafka.records.dead_letters import encoded_id, letter_tombstones
from streamer.log.kafka.records.events import continuity_message
from streamer.log.kafka.topics.admin import KafkaAdmin
from streamer.log.records import decode_audit, encode_audit
from streamer.observe.process import Pulses

_AT_ONCE = 500
_POLL_S = 0.5
# Within this time, a new topic, or a topic whose broker has died, gets a leader.
_LEADER_WITHIN_S = 5.0


_DEADLINE_S = 10.0
Step = Sequence[ProducerRecord | Tombstone]
"""Records that are sent together, in no guaranteed order."""


class ControlWriter:
    """Writes records, one call after another, with an idempotent producer in its own thread.

    The first call creates the producer. A failed call discards the producer with all
    unfinished writes. So unfinished writes can't overtake the writes of the next call.
    """

    def __init__(self, clients: Clients, *, deadline_s: float = _DEADLINE_S) -> None:
        """Connect on demand; each call can take up to `deadline_s` seconds."""
        self._clients = clients
        self._clock = clients.clock
        self._deadline_s = deadline_s
        self._errors = KafkaErrors(clients.settings)
        self._producer: DisposableProducer | None = None
        self._failed: list[KafkaError] = []
        self._executor = ThreadPoolExecutor(1, "kafka-controls-writer")
        self._is_closed = False

    async def write(self, *steps: Step) -> None:
        """Write `steps` one after another; return when all in-sync replicas have acknowledged them.

        Raises `LogUnavailable` when the deadline passes; even then, some records can be
        in the log. After `close`, every call raises it.
        """
        if self._is_closed:
            raise LogUnavailable("the log is closed")
        await asyncio.get_running_loop().run_in_executor(self._executor, self._write, steps)

    async def close(self) -> None:
        """Finish the calls already made, and discard the producer."""
        self._is_closed = True
        await asyncio.get_running_loop().run_in_executor(self._executor, self._discard)
        self._executor.shutdown(wait=False)

    def _write(self, steps: Sequence[Step]) -> None:
        deadline = self._clock.monotonic() + self._deadline_s
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
        producer = self._producer = self._producer or self._new_producer()
        self._failed.clear()
        enqueue(producer, step, self._clock, deadline)
        waiting = producer.live.flush(max(0.0, deadline - self._clock.monotonic()))
        if self._failed:
            raise KafkaException(self._failed[0])
        if waiting:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    def _new_producer(self) -> DisposableProducer:
        configuration = {
            "enable.idempotence": True,
            "message.timeout.ms": round(self._deadline_s * 1000),
            "on_delivery": self._report,
        }
        return DisposableProducer(self._clients.producer(self._errors, configuration))

    def _report(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failed.append(error)

    def _discard(self) -> None:
        if self._producer is not None:
            self._producer.discard()
            self._producer = None


_RECORDS_AT_ONCE = 500


class KafkaControls:
    """Controls in one Kafka cluster.

    Each action writes its audit record first, so nothing is switched or removed
    without an audit record.
    """

    def __init__(self, clients: Clients, admin: KafkaAdmin, pulses: Pulses) -> None:
        self._clients = clients
        self._admin = admin
        self._names = Names.of(clients.settings)
        self._watch = ControlWatch(clients, pulses)
        self._writer = ControlWriter(clients)

    def switched(self) -> AsyncGenerator[ControlState, None]:
        """Yield the state of all controls, and again after each change, until the log is closed."""
        return self._watch.boards()

    async def switch(self, control: Control, audit: AuditRecord) -> None:
        """Replace the control of one subscriber."""
        await self._writer.write([self._audit_record(audit)], [control_record(control, self._names.control)])

    async def order(self, redrive: Redrive, audit: AuditRecord) -> None:
        """Open a redrive, or remove an ended redrive."""
        await self._writer.write([self._audit_record(audit)], redrive_records(redrive, self._names.control))

    async def leave_out(self, redrive_id: str, letters: Collection[str], audit: AuditRecord) -> None:
        """Add these dead letters to the dead letters that an open redrive skips."""
        record = left_out_record(redrive_id, letters, self._names.control)
        await self._writer.write([self._audit_record(audit)], [record])

    async def order_snapshot(self, order: SnapshotOrder, audit: AuditRecord) -> None:
        """Open or change a snapshot order, or remove an ended snapshot order."""
        record = snapshot_record(order, self._names.control)
        await self._writer.write([self._audit_record(audit)], [record])

    async def order_position(self, order: PositionOrder, audit: AuditRecord) -> None:
        """Open a position order, or remove an ended position order."""
        record = position_record(order, self._names.control)
        await self._writer.write([self._audit_record(audit)], [record])

    async def acknowledge(self, record: ContinuityRecord, audit: AuditRecord) -> None:
        """Replace the last state of a continuity record."""
        state = continuity_message(record, self._names.continuity)
        await self._writer.write([self._audit_record(audit)], [state])

    async def note(self, audit: AuditRecord) -> None:
        """Write an audit record."""
        await self._writer.write([self._audit_record(audit)])

    async def audit(self, *, last: int) -> Sequence[AuditRecord]:
        """Return the `last` newest audit records."""
        return await asyncio.to_thread(self._audit, last)

    def letter_cursor(self) -> KafkaLetterCursor:
        """Return a new cursor over the dead letters."""
        return KafkaLetterCursor(LetterReader(self._clients, self._admin))

    async def continuity(self, chosen: ContinuityFilter, *, last: int) -> Sequence[ContinuityRecord]:
        """Return the `last` newest continuity records that `chosen` admits."""
        found = await asyncio.to_thread(
            read_continuity, self._clients, self._admin, chosen.admits, most=MOST_RECORDS
        )
        return found[-last:] if last else []

    def continuity_cursor(self) -> KafkaContinuityCursor:
        """Return a new cursor over the continuity records."""
        return KafkaContinuityCursor(self._clients, self._admin)

    async def discard(self, letters: Sequence[str], audit: AuditRecord) -> None:
        """Remove dead letters with all their chunks."""
        tombstones = await asyncio.to_thread(self._tombstones, letters)
        await self._writer.write([self._audit_record(audit)], tombstones)

    async def close(self) -> None:
        """Finish pending writes, and end the watch."""
        await asyncio.gather(self._watch.close(), self._writer.close())

    def _audit_record(self, audit: AuditRecord) -> ProducerRecord:
        return ProducerRecord(
            self._names.audit, encode_audit(audit), b"", 0, {"content-type": b"application/json"}
        )

    def _audit(self, last: int) -> list[AuditRecord]:
        errors, found = KafkaErrors(self._clients.settings), list[Message]()
        with errors.explained(doing="reading", subject=f"topic {self._names.audit}"):
            retry = self._clients.retry(_LEADER_WITHIN_S)
            [(begin, end)] = retry.call(self._admin.bounds, self._names.audit, [0]).values()
            read_range = {0: (max(begin, end - last), end)}
            with BoundedReader(self._clients, errors, self._names.audit, read_range) as reader:
                while not reader.is_over:
                    found += reader.read(_RECORDS_AT_ONCE, _POLL_S)
        return [*filter(None, map(self._audit_of, found))]

    def _audit_of(self, message: Message) -> AuditRecord | None:
        try:
            return decode_audit(message.value() or b"")
        except ForeignRecord as exc:
            set_aside(self._clients.foreign, message, exc)
            return None

    def _tombstones(self, letters: Sequence[str]) -> list[Tombstone]:
        index = LetterReader(self._clients, self._admin).index()
        ids = map(encoded_id, letters)
        return [
            tombstone
            for id_ in ids
            for tombstone in letter_tombstones(id_, index.chunks(id_), self._names.dead_letters)
        ]
