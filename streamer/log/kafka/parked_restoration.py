"""Restores the parked lanes of newly assigned partitions from the parked topic."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from confluent_kafka import Message

from streamer.errors import ForeignRecord
from streamer.events import ParkedLane, Partition, Setback, SettledOffsets
from streamer.log.foreign_records import ForeignRecords
from streamer.log.kafka.cluster.bounded_reader import BoundedReader
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors, RetryPolicy
from streamer.log.kafka.cluster.producer import Headers, set_aside
from streamer.log.kafka.parked_index import ParkedIndex
from streamer.log.kafka.records.events import ChunkOffsets, is_complete, with_chunk, without_chunk
from streamer.log.kafka.records.parked import ParkedRecordKey, ParkedTopic, chunk_count
from streamer.log.kafka.topics.admin import KafkaAdmin
from streamer.log.records import RECORD_START, decode_setback

_AT_ONCE = 2_000
_POLL_S = 0.02
_LOST = Setback(
    attempts=1,
    first_failed_at=0.0,
    due_at=0.0,
    first_error=(
        "the earlier failures of this key are unknown, because another program has overwritten their record"
    ),
    last_error=(
        "the earlier failures of this key are unknown, because another program has overwritten their record"
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """Restored partition with its progress and its parked lanes.

    `recorded_offsets` are the offsets of all events that have a record in the
    parked topic.
    """

    partition: Partition
    progress: SettledOffsets
    parked: ParkedIndex
    lanes: Sequence[ParkedLane]
    recorded_offsets: frozenset[int]


@dataclass(slots=True)
class _Lane:
    """Setback of a lane, and the chunk offsets of its events by event offset.

    `is_removed` is true after a tombstone of the setback. `is_damaged` is true when
    a foreign record has the key of the setback.
    """

    setback: Setback | None = None
    is_removed: bool = False
    is_damaged: bool = False
    locations: dict[int, ChunkOffsets] = field(default_factory=dict)


class Restoration:
    """Reads the parked topic for some partitions, one slice at a time; blocking, for one thread.

    The restoration keeps no event bodies in memory. The reader finds all records that
    were committed before it started. These are all records of a lane: no other process
    can change the lane after the group has assigned the partition to this process.
    """

    def __init__(
        self,
        reader: BoundedReader | None,
        progress: Mapping[Partition, SettledOffsets],
        foreign_records: ForeignRecords,
    ) -> None:
        """Read with `reader`; `None` means that nothing is parked.

        Report foreign records to `foreign_records`.
        """
        self._foreign = foreign_records
        self._reader = reader
        self._progress = dict(progress)
        self._found: dict[tuple[str, int], defaultdict[str, _Lane]] = {
            (each.topic, each.number): defaultdict(_Lane) for each in progress
        }

    @property
    def partitions(self) -> frozenset[Partition]:
        """Partitions that are being restored."""
        return frozenset(self._progress)

    def step(self) -> bool:
        """Read the next slice; return whether everything was read.

        A record that Streamer did not write is logged and skipped. Raises
        `KafkaException`, `LogUnavailable`, and `LogMisconfigured` for a record of a
        newer Streamer.
        """
        if self._reader is None:
            return True
        self._apply_all(self._reader.read(_AT_ONCE, _POLL_S))
        if self._reader.is_over:
            self.close()
        return self._reader is None

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Forget revoked partitions."""
        for partition in partitions:
            self._progress.pop(partition, None)
            self._found.pop((partition.topic, partition.number), None)

    def restored(self) -> Iterator[Restored]:
        """Yield each partition that is still assigned to this process, with its lanes."""
        for partition, progress in self._progress.items():
            all_lanes = self._found[partition.topic, partition.number]
            # An event whose lane has no record was removed together with the lane.
            found = {
                name: (setback, _complete(lane.locations))
                for name, lane in all_lanes.items()
                if (setback := _setback_of(lane)) is not None
            }
            lanes = [
                ParkedLane(lane=name, offsets=tuple(sorted(locations)), setback=setback)
                for name, (setback, locations) in found.items()
                if locations
            ]
            parked = ParkedIndex({name: locations for name, (_, locations) in found.items()})
            recorded_offsets = frozenset(offset for lane in all_lanes.values() for offset in lane.locations)
            yield Restored(
                partition=partition,
                progress=progress,
                parked=parked,
                lanes=lanes,
                recorded_offsets=recorded_offsets,
            )

    def close(self) -> None:
        """Close the reader."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _apply_all(self, messages: Iterable[Message]) -> None:
        for message in messages:
            try:
                self._apply_one(message)
            except (ValueError, ForeignRecord) as exc:
                # The foreign record is skipped, so the newest valid record with the same key is
                # used.
                set_aside(self._foreign, message, exc)

    def _apply_one(self, message: Message) -> None:
        key = ParkedRecordKey.decode(message.key())
        lanes = self._found.get((key.topic, key.number))
        # A partition of the parked topic also holds records of other source partitions.
        if lanes is not None and not _apply(lanes[key.lane], key, message):
            # Forget the lane; the tombstones of a removed lane stay in the topic for a day.
            del lanes[key.lane]


def _apply(lane: _Lane, key: ParkedRecordKey, message: Message) -> bool:
    """Apply a record to `lane`; return whether the lane still has a setback or events."""
    value = message.value()
    if key.offset is None:
        _apply_setback(lane, value)
    elif value is not None and key.chunk == 0 and not value.startswith(RECORD_START):
        raise ValueError("the record's value is not an event")
    elif offsets := _chunk_offsets(lane.locations.get(key.offset, ()), key, message):
        lane.locations[key.offset] = offsets
    else:
        lane.locations.pop(key.offset, None)
    return bool(lane.setback or lane.locations)


def _apply_setback(lane: _Lane, value: bytes | None) -> None:
    if value is None:
        lane.setback, lane.is_removed = None, True
        return
    try:
        lane.setback = decode_setback(value)
    except ForeignRecord:
        lane.is_damaged = True
        raise
    lane.is_removed = False


def _setback_of(lane: _Lane) -> Setback | None:
    """Return the setback of a lane, or `None` for a removed lane.

    If a foreign record has replaced the setback, the events of the lane are due at
    once.
    """
    if lane.setback is None and lane.is_damaged and not lane.is_removed:
        return _LOST
    return lane.setback


def _complete(locations: Mapping[int, ChunkOffsets]) -> dict[int, ChunkOffsets]:
    return {offset: chunks for offset, chunks in locations.items() if is_complete(chunks)}


def _chunk_offsets(known: ChunkOffsets, key: ParkedRecordKey, message: Message) -> ChunkOffsets:
    if message.value() is None:
        return without_chunk(known, key.chunk)
    chunks = chunk_count(cast("Headers | None", message.headers()))
    return with_chunk(known, key.chunk, message.offset() or 0, chunks=chunks)


class Restorations:
    """All running restorations of a group member, one for each assignment."""

    def __init__(self, clients: Clients, admin: KafkaAdmin, topic: ParkedTopic, retry: RetryPolicy) -> None:
        self._clients = clients
        self._admin = admin
        self._topic = topic
        self._retry = retry
        self._errors = KafkaErrors(clients.settings)
        self._running: list[Restoration] = []

    def begin(self, progress: Mapping[Partition, SettledOffsets]) -> None:
        """Start to restore partitions; their committed offsets must have been read before.

        The group returns no offset while a transaction that moves the offset is open.
        So the parked events of a previous owner are below the end offsets that are read
        now, even if the transaction that wrote these events is still undecided. Raises
        `KafkaException`.
        """
        homes = {self._topic.home(partition) for partition in progress}
        read_ranges = self._retry.call(self._admin.bounds, self._topic.name, homes)
        reader = None
        if any(begin < end for begin, end in read_ranges.values()):
            limit_s = self._retry.limit_s
            reader = BoundedReader(
                self._clients, self._errors, self._topic.name, read_ranges, idle_limit_s=limit_s
            )
        self._running.append(Restoration(reader, progress, self._clients.foreign))

    def __contains__(self, partition: Partition) -> bool:
        return any(partition in each.partitions for each in self._running)

    def __bool__(self) -> bool:
        return bool(self._running)

    def step(self) -> list[Restored]:
        """Read the next slice of each restoration; return the partitions that are complete.

        Raises `KafkaException`, `LogUnavailable`, `LogMisconfigured`.
        """
        done = [each for each in self._running if each.step()]
        self._running = [each for each in self._running if each not in done]
        return [restored for each in done for restored in each.restored()]

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Forget revoked partitions."""
        gone = frozenset(partitions)
        for each in self._running:
            each.drop(gone)

    def abandon(self) -> None:
        """End all restorations."""
        for each in self._running:
            each.close()
        self._running = []

    def finished(self, progress: Mapping[Partition, SettledOffsets]) -> list[Restored]:
        """Restore partitions completely, for a reader outside of the group; raises the errors of `step`."""
        found: list[Restored] = []
        if progress:
            self.begin(progress)
        try:
            while self:
                found += self.step()
        finally:
            self.abandon()
        return found
