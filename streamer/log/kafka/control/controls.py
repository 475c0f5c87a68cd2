"""Controls, audit records and dead letters in topics that every process reads."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence

from confluent_kafka import Message

from streamer.clock import Clock
from streamer.controls import (
    AuditRecord,
    ContinuityFilter,
    Control,
    ControlState,
    PositionOrder,
    Redrive,
    SnapshotOrder,
)
from streamer.errors import ForeignRecord
from streamer.events import ContinuityRecord
from streamer.log.continuity import MOST_RECORDS
from streamer.log.kafka.cluster.bounded_reader import BoundedReader
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.record import ProducerRecord, Tombstone, set_aside
from streamer.log.kafka.control.continuity import read_continuity
from streamer.log.kafka.control.letters import KafkaLetterCursor, LetterReader
from streamer.log.kafka.control.watch import ControlWatch
from streamer.log.kafka.control.writer import ControlWriter
from streamer.log.kafka.records.controls import (
    control_record,
    left_out_record,
    position_record,
    redrive_records,
    snapshot_record,
)
from streamer.log.kafka.records.dead_letters import encoded_id, letter_tombstones
from streamer.log.kafka.topics.admin import KafkaAdmin
from streamer.log.records import decode_audit, encode_audit
from streamer.observe.pulse import Pulses

_RECORDS_AT_ONCE = 500
_POLL_S = 0.5


class KafkaControls:
    """Controls on one Kafka cluster.

    The audit record is written before its action takes effect: nothing is
    switched or removed without a record.
    """

    def __init__(self, clients: Clients, admin: KafkaAdmin, clock: Clock, pulses: Pulses) -> None:
        self._clients = clients
        self._admin = admin
        self._names = Names.of(clients.settings)
        self._watch = ControlWatch(clients, clock, pulses)
        self._writer = ControlWriter(clients)

    def switched(self) -> AsyncGenerator[ControlState, None]:
        """Yield what is switched, and again after each change; ends when the log is closed."""
        return self._watch.boards()

    async def switch(self, control: Control, audit: AuditRecord) -> None:
        """Replace the control of a subscriber."""
        await self._writer.write([self._audit_record(audit)], [control_record(control, self._names.control)])

    async def order(self, redrive: Redrive, audit: AuditRecord) -> None:
        """Open or forget a redrive."""
        await self._writer.write([self._audit_record(audit)], redrive_records(redrive, self._names.control))

    async def leave_out(self, redrive_id: str, letters: Collection[str], audit: AuditRecord) -> None:
        """Add to the letters that an open redrive skips."""
        record = left_out_record(redrive_id, letters, self._names.control)
        await self._writer.write([self._audit_record(audit)], [record])

    async def order_snapshot(self, order: SnapshotOrder, audit: AuditRecord) -> None:
        """Open, change or forget a snapshot."""
        record = snapshot_record(order, self._names.control)
        await self._writer.write([self._audit_record(audit)], [record])

    async def order_position(self, order: PositionOrder, audit: AuditRecord) -> None:
        """Open or forget an order of a position."""
        record = position_record(order, self._names.control)
        await self._writer.write([self._audit_record(audit)], [record])

    async def note(self, audit: AuditRecord) -> None:
        """Write an audit record."""
        await self._writer.write([self._audit_record(audit)])

    async def audit(self, *, last: int) -> Sequence[AuditRecord]:
        """Return the last audit records."""
        return await asyncio.to_thread(self._audit, last)

    def letter_cursor(self) -> KafkaLetterCursor:
        """Return a new cursor."""
        return KafkaLetterCursor(LetterReader(self._clients, self._admin))

    async def continuity(self, chosen: ContinuityFilter, *, last: int) -> Sequence[ContinuityRecord]:
        """Return the last recorded of the continuity records that `chosen` admits."""
        found = await asyncio.to_thread(
            read_continuity, self._clients, self._admin, chosen.admits, most=MOST_RECORDS
        )
        return found[-last:] if last else []

    async def discard(self, letters: Sequence[str], audit: AuditRecord) -> None:
        """Remove dead letters, with all their chunks."""
        tombstones = await asyncio.to_thread(self._tombstones, letters)
        await self._writer.write([self._audit_record(audit)], tombstones)

    async def close(self) -> None:
        """Finish pending writes, and stop watching."""
        await asyncio.gather(self._watch.close(), self._writer.close())

    def _audit_record(self, audit: AuditRecord) -> ProducerRecord:
        return ProducerRecord(
            self._names.audit, encode_audit(audit), b"", 0, {"content-type": b"application/json"}
        )

    def _audit(self, last: int) -> list[AuditRecord]:
        errors, found = KafkaErrors(self._clients.settings), list[Message]()
        with errors.explained(doing="reading", subject=f"topic {self._names.audit}"):
            [(begin, end)] = self._admin.bounds(self._names.audit, [0]).values()
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
