"""Exclusive session of this process on one partition of the checkpoint topic."""

from collections.abc import Iterable, Mapping, Sequence

import structlog
from confluent_kafka import KafkaError, KafkaException

from streamer.errors import Fenced, LogUnavailable, StreamerError
from streamer.events import Channel, Checkpoint
from streamer.log.kafka.append.encoder import Checkpoints, CommittedCheckpoints
from streamer.log.kafka.append.transactions import (
    BATCH_BYTES,
    Content,
    Fencing,
    Mine,
    Transactions,
    UnwritableRecords,
)
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors, kafka_error
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import ProducerRecord, Tombstone

_log = structlog.get_logger()

_SMALLEST_STRIDE = 8 * 1024


class PartitionSession:
    """Writes to one partition and knows its checkpoints. Blocking, for one thread.

    The session opens on demand, and every failure closes it. Opening fences off
    transactions that can still be open, and reads the checkpoints again, so the
    checkpoints of an open session are always final.
    """

    def __init__(self, partition: int, clients: Clients, checkpoints: Checkpoints, mine: Mine) -> None:
        """Serve `partition`; the session calls `mine` before it fences off another process."""
        self._partition = partition
        self._clients = clients
        self._checkpoints = checkpoints
        self._mine = mine
        self._names = Names.of(clients.settings)
        self._errors = KafkaErrors(clients.settings)
        self._transactions: Transactions | None = None
        self._committed = CommittedCheckpoints()
        # Last checkpoint that the callers know, by channel: the one last returned to them or
        # written for them.
        self._expected: dict[Channel, Checkpoint | None] = {}
        self._fencing = Fencing(partition, self._names.checkpoints, mine)
        self._stride = BATCH_BYTES

    def committed(self, channel: Channel) -> Checkpoint | None:
        """Return the last committed checkpoint; raises `Fenced`, `LogUnavailable`, or another `Stop`."""
        self._opened(self._deadline())
        self._expected[channel] = self._committed.of(channel)
        return self._expected[channel]

    def write(
        self, records: Sequence[ProducerRecord | Tombstone], checkpoints: Mapping[Channel, Checkpoint]
    ) -> None:
        """Commit all `records` or none of them; the commit moves `checkpoints`.

        Raises `UnwritableRecords` when a broker refused certain records, and
        nothing was written. Otherwise raises the errors of `committed`.
        `LogUnavailable` also means that another process has moved one of the
        checkpoints since this session last returned it.
        """
        deadline = self._deadline()
        self._opened(deadline)
        self._check_expected(checkpoints)
        try:
            self._write(records, deadline)
        except KafkaException as exc:
            raise self._failed(kafka_error(exc), records) from exc
        self._committed.by_channel.update(checkpoints)
        self._expected.update(checkpoints)
        self._fencing.written()
        self._errors.clear()

    def close(self) -> None:
        """Drop the producer, within 3 s; the next owner aborts an open transaction."""
        if self._transactions is not None:
            self._transactions.discard()
            self._transactions = None
            self._committed = CommittedCheckpoints()

    def _write(self, records: Sequence[ProducerRecord | Tombstone], deadline: float) -> None:
        suspects: frozenset[Content] = frozenset()
        while True:
            transactions = self._opened(deadline)
            try:
                transactions.write(records, deadline, stride=self._stride, apart=suspects)
            except UnwritableRecords as refusal:
                self._reopen(deadline)
                if refusal.certain:
                    raise
                suspects |= refusal.refused
            else:
                if suspects:
                    self._send_less_at_once()
                return

    def _send_less_at_once(self) -> None:
        # The broker accepted every suspect record in a batch of its own, so the batch was too
        # large.
        self._stride = max(_SMALLEST_STRIDE, self._stride // 2)
        _log.warning("kafka.batches_made_smaller", partition=self._partition, size_bytes=self._stride)

    def _reopen(self, deadline: float) -> None:
        before = self._committed.by_channel
        self.close()
        self._opened(deadline)
        if self._committed.by_channel != before:
            raise LogUnavailable(f"another process has written to partition {self._partition}")

    def _opened(self, deadline: float) -> Transactions:
        if self._transactions is None:
            self._check_ownership()
            self._transactions, self._committed = self._open(deadline)
        return self._transactions

    def _open(self, deadline: float) -> tuple[Transactions, CommittedCheckpoints]:
        id_ = self._names.ingest_transactions(self._partition)
        transactions = Transactions(self._clients, id_, self._errors)
        try:
            # The order matters: only fencing makes the checkpoints final.
            transactions.begin(deadline)
            committed = self._checkpoints.read(self._partition, self._errors, deadline)
        except KafkaException as exc:
            transactions.discard()
            raise self._failed(kafka_error(exc), ()) from exc
        except StreamerError:
            transactions.discard()
            raise
        _log.info("partition.opened", partition=self._partition, checkpoints=len(committed.by_channel))
        return transactions, committed

    def _failed(self, error: KafkaError, records: Sequence[ProducerRecord | Tombstone]) -> StreamerError:
        self.close()
        if (fenced := self._fencing.noticed(error)) is not None:
            return fenced
        topics = ", ".join(sorted({record.topic for record in records})) or self._names.checkpoints
        return self._errors.explain(error, doing="appending to", subject=topics)

    def _check_ownership(self) -> None:
        if self._mine(self._partition) is False:
            raise Fenced(
                f"partition {self._partition} of {self._names.checkpoints} now belongs to another process"
            )

    def _check_expected(self, channels: Iterable[Channel]) -> None:
        # A reopened session can find events that another process wrote in the meantime. An
        # append from an older checkpoint would repeat these events.
        for channel in channels:
            if self._committed.by_channel.get(channel) != self._expected.get(channel):
                raise LogUnavailable(f"another process has moved the checkpoint of {channel}")

    def _deadline(self) -> float:
        return self._clients.clock.monotonic() + self._clients.settings.append_deadline_s
