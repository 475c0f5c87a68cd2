"""Exclusive session of this process on one partition of the checkpoint topic, and refused records."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import structlog
from confluent_kafka import KafkaError, KafkaException

from streamer.backoff import Backoff, Delays
from streamer.errors import Fenced, LogUnavailable, StreamerError
from streamer.events import Channel, Checkpoint
from streamer.log.kafka.append.encoder import Checkpoints, CommittedCheckpoints
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors, is_fencing, kafka_error
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import Content, ProducerRecord, Tombstone, content
from streamer.log.kafka.cluster.transactions import TransactionFailed, Transactions

BATCH_BYTES = 1_000_000
"""Size of one batch to the broker, in bytes, unless a single record is larger."""

_OVERHEAD_BYTES = 512

_log = structlog.get_logger()

_SMALLEST_STRIDE = 8 * 1024

Mine = Callable[[int], bool | None]
"""Asks whether the group assigns a partition to this process; `None` while this process is in no group."""
_BACKOFF = Backoff(first_s=0.25, limit_s=10.0)


class UnwritableRecords(Exception):
    """The log can never accept some records, so nothing was written.

    `certain` is false when a broker refused several records of one batch, because any
    of these records can be the reason.
    """

    def __init__(self, reason: str, refused: Collection[Content], *, certain: bool) -> None:
        """Store the `reason`, and the contents of the `refused` records."""
        super().__init__(reason)
        self.reason = reason
        self.refused = frozenset(refused)
        self.certain = certain


def refusal_of(failure: TransactionFailed, apart: Collection[Content]) -> UnwritableRecords | None:
    """Return the refusal that made a transaction fail, if any.

    Each record in `apart` was alone in its batch.
    """
    refused = failure.refused
    if not refused:
        return None
    reason = next(iter(refused.values())).str()
    # A record larger than a batch was alone in its batch.
    certain = len(refused) == 1 or all(what in apart or len(what[2] or b"") > BATCH_BYTES for what in refused)
    return UnwritableRecords(reason, refused.keys(), certain=certain)


def batches(
    records: Sequence[ProducerRecord | Tombstone], stride: int, apart: Collection[Content]
) -> Iterator[Sequence[ProducerRecord | Tombstone]]:
    """Yield `records` in batches of at most `stride` bytes; each record in `apart` is a separate batch.

    From a larger batch, the client makes several batches of `BATCH_BYTES` on its own.
    """
    if not apart and stride >= BATCH_BYTES:
        yield records
        return
    batch: list[ProducerRecord | Tombstone] = []
    waiting = 0
    for record in records:
        is_alone = content(record) in apart
        size = (len(record.value) if isinstance(record, ProducerRecord) else 0) + _OVERHEAD_BYTES
        if batch and (is_alone or waiting + size > stride):
            yield batch
            batch, waiting = [], 0
        batch.append(record)
        waiting += stride if is_alone else size
    yield batch


class PartitionSession:
    """Writes to one partition and knows its checkpoints. Blocking, for one thread.

    The session opens on demand, and every failure closes it. An opening session fences
    off transactions that can still be open, and then reads the checkpoints again. So
    the checkpoints of an open session are always final.
    """

    def __init__(self, partition: int, clients: Clients, checkpoints: Checkpoints, mine: Mine) -> None:
        """Serve `partition`; the session calls `mine` before it fences off another process."""
        self._partition = partition
        self._clients = clients
        self._checkpoints = checkpoints
        self._mine = mine
        self._names = Names.of(clients.settings)
        self._errors = KafkaErrors(clients.settings)
        configuration = {
            "transactional.id": self._names.ingest_transactions(partition),
            "transaction.timeout.ms": round(clients.settings.transaction_timeout_s * 1000),
            "batch.size": BATCH_BYTES,
            "delivery.report.only.error": True,
        }
        self._transactions = Transactions(
            clients, self._errors, configuration, known_topic=self._names.checkpoints
        )
        self._is_open = False
        self._committed = CommittedCheckpoints()
        # Last checkpoint that the callers know, by channel: the last checkpoint that this
        # session returned or wrote.
        self._expected: dict[Channel, Checkpoint | None] = {}
        # Pauses after a broker has ended a transaction although this process still owns the
        # partition.
        self._pauses = Delays(_BACKOFF)
        self._stride = BATCH_BYTES

    def committed(self, channel: Channel) -> Checkpoint | None:
        """Return the last committed checkpoint; raises `Fenced`, `LogUnavailable`, or another `Stop`."""
        self._open(self._deadline())
        self._expected[channel] = self._committed.of(channel)
        return self._expected[channel]

    def write(
        self, records: Sequence[ProducerRecord | Tombstone], checkpoints: Mapping[Channel, Checkpoint]
    ) -> None:
        """Commit all `records` or none of them; the records contain the new `checkpoints`.

        Writes nothing and raises `UnwritableRecords` when a broker refused some of the
        records. After any other failure, raises the errors of `committed`.
        `LogUnavailable` can also mean that another process has moved a checkpoint since
        this session last returned that checkpoint.
        """
        deadline = self._deadline()
        self._open(deadline)
        self._check_expected(checkpoints)
        self._write(records, deadline)
        self._committed.by_channel.update(checkpoints)
        self._expected.update(checkpoints)
        self._pauses.reset()
        self._errors.clear()

    def close(self) -> None:
        """Drop the producer within 3 s; the next owner of the partition aborts an open transaction."""
        self._is_open = False
        self._committed = CommittedCheckpoints()
        self._transactions.discard()

    def _write(self, records: Sequence[ProducerRecord | Tombstone], deadline: float) -> None:
        suspects: frozenset[Content] = frozenset()
        while True:
            try:
                self._transactions.write(batches(records, self._stride, suspects), deadline)
            except TransactionFailed as failure:
                refusal = refusal_of(failure, suspects)
                if refusal is None:
                    raise self._failed(failure.error, records) from failure
                self._reopen(deadline)
                if refusal.certain:
                    raise refusal from None
                suspects |= refusal.refused
            else:
                if suspects:
                    self._send_less_at_once()
                return

    def _send_less_at_once(self) -> None:
        # The broker accepted each suspect record alone, so the batch with several records was
        # too large.
        self._stride = max(_SMALLEST_STRIDE, self._stride // 2)
        _log.warning("kafka.batches_made_smaller", partition=self._partition, size_bytes=self._stride)

    def _reopen(self, deadline: float) -> None:
        before = self._committed.by_channel
        self.close()
        self._open(deadline)
        if self._committed.by_channel != before:
            raise LogUnavailable(f"another process has written checkpoints to partition {self._partition}")

    def _open(self, deadline: float) -> None:
        if self._is_open:
            return
        self._check_ownership()
        try:
            # Fence off other processes before reading, because only fencing makes the
            # checkpoints final.
            self._transactions.begin(deadline - self._clients.clock.monotonic())
            self._committed = self._checkpoints.read(self._partition, self._errors, deadline)
        except KafkaException as exc:
            raise self._failed(kafka_error(exc), ()) from exc
        except StreamerError:
            self.close()
            raise
        self._is_open = True
        _log.info("partition.opened", partition=self._partition, checkpoints=len(self._committed.by_channel))

    def _failed(self, error: KafkaError, records: Sequence[ProducerRecord | Tombstone]) -> StreamerError:
        self.close()
        if is_fencing(error):
            return self._fencing(error)
        topics = ", ".join(sorted({record.topic for record in records})) or self._names.checkpoints
        return self._errors.explain(error, doing="appending to", subject=topics)

    def _fencing(self, error: KafkaError) -> Fenced | LogUnavailable:
        """Return Streamer's error for `error`, which says that the producer was fenced off.

        Either another process owns the partition, or the broker ended the transaction
        because the transaction took too long. The group knows the owner. Raises
        `LogUnavailable` when the group does not answer.
        """
        if not self._mine(self._partition):
            return Fenced(
                f"another process owns partition {self._partition} of topic {self._names.checkpoints}"
            )
        reason = f"the broker ended the transaction: {error.str()}"
        return LogUnavailable(reason, after_s=self._pauses.next_s())

    def _check_ownership(self) -> None:
        if self._mine(self._partition) is False:
            raise Fenced(
                f"partition {self._partition} of topic {self._names.checkpoints} now belongs to "
                "another process"
            )

    def _check_expected(self, channels: Iterable[Channel]) -> None:
        # When a session opens again, the log can have new events that another process wrote. An
        # append that continues an older checkpoint would repeat these events.
        for channel in channels:
            if self._committed.by_channel.get(channel) != self._expected.get(channel):
                raise LogUnavailable(f"another process has changed the checkpoint of the channel {channel}")

    def _deadline(self) -> float:
        return self._clients.clock.monotonic() + self._clients.settings.append_deadline_s
