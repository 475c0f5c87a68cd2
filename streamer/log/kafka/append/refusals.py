"""Finds the records that brokers refuse, and creates the error of an append with such records."""

from collections.abc import Collection, Iterator, Sequence

from streamer.log.kafka.cluster.producer import Content, ProducerRecord, Tombstone, content
from streamer.log.kafka.cluster.transactions import TransactionFailed

BATCH_BYTES = 1_000_000
"""Size of one batch to the broker, in bytes, unless a single record is larger."""

_OVERHEAD_BYTES = 512


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
    """Yield `records` in batches of at most `stride` bytes, and each record in `apart` alone.

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
