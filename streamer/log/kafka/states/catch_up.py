"""Readers that bring local copies of a state topic up to the topic's end."""

from collections import defaultdict
from collections.abc import Collection, Mapping

import structlog
from confluent_kafka import Message

from streamer.clock import Clock
from streamer.log.kafka.cluster.bounded_reader import BoundedReader
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.producer import set_aside
from streamer.log.kafka.records.states import StateDecoder
from streamer.log.kafka.states.cache import PlacedRow, StateCache

_AT_ONCE = 2_000
_POLL_S = 0.02
_TELL_EVERY_S = 5.0
_log = structlog.get_logger()


class RebuildProgress:
    """Progress of the readers of state topics, for the log output and the metrics.

    `records` has the number of records that were read, by topic. `remaining` has the
    number of offsets that the running readers still have to read, by topic.
    """

    def __init__(self) -> None:
        self.records: defaultdict[str, int] = defaultdict(int)
        self.remaining: defaultdict[str, int] = defaultdict(int)


class _Teller:
    """Logs the progress of one reader of `topic`, which reads `total` offsets."""

    def __init__(self, topic: str, total: int, clock: Clock, *, is_rebuild: bool) -> None:
        self._topic = topic
        self._total = total
        self._clock = clock
        self._is_rebuild = is_rebuild
        self._began_at = clock.monotonic()
        self._tell_at = self._began_at + _TELL_EVERY_S
        self.records = 0

    def report(self, remaining: int) -> None:
        """Log the progress every few seconds."""
        now = self._clock.monotonic()
        if now < self._tell_at:
            return
        self._tell_at = now + _TELL_EVERY_S
        _log.info(
            "state.rebuilding",
            topic=self._topic,
            records=self.records,
            percent=100 * (self._total - remaining) // max(1, self._total),
            records_per_s=round(self.records / (now - self._began_at)),
        )

    def end(self) -> None:
        """Log the duration; a reader that read only the last records is not worth a line."""
        tell = _log.info if self._is_rebuild else _log.debug
        took_s = round(self._clock.monotonic() - self._began_at, 3)
        tell("state.rebuilt", topic=self._topic, records=self.records, took_s=took_s)


class CatchUp:
    """Reads a state topic from the positions of its local copies to the end, one slice at a time.

    Blocking, for one thread. The reader waits for open transactions before the end. It
    keeps at most one slice in memory.
    """

    def __init__(
        self,
        clients: Clients,
        decoder: StateDecoder,
        caches: Collection[StateCache],
        bounds: Mapping[int, tuple[int, int]],
        progress: RebuildProgress,
        *,
        idle_limit_s: float,
    ) -> None:
        """Begin; `bounds` has the first and the end offset of each cache's partition.

        Raises `LogUnavailable`.
        """
        self._topic = topic = decoder.topic
        self._row = decoder.row
        self._unread: list[Message] = []
        self._clients = clients
        self._progress = progress
        self._caches = {cache.number: cache for cache in caches}
        begun = {number: cache.begin(*bounds[number]) for number, cache in self._caches.items()}
        self._unplaced = {number: unplaced for number, (_, unplaced) in begun.items()}
        self._ends = {number: bounds[number][1] for number in self._caches}
        self._at = {number: begin for number, (begin, _) in begun.items()}
        self._counted = 0
        # The series of the metrics begin with zero.
        progress.records[topic] += 0
        total = self._remaining()
        is_rebuild = any(begin == bounds[number][0] < bounds[number][1] for number, begin in self._at.items())
        self._teller = _Teller(topic, total, clients.clock, is_rebuild=is_rebuild)
        self._reader = self._opened(idle_limit_s) if total else None
        self._count()

    def step(self) -> bool:
        """Read the next slice; return whether everything was read.

        Raises `KafkaException`, and `LogUnavailable`. After `RegistryUnavailable`, the
        caller can call again.
        """
        if self._reader is not None:
            self._unread = self._unread or self._reader.read(_AT_ONCE, _POLL_S)
            self._take_in()
            self._count()
            self._teller.report(self._remaining())
            if not self._reader.is_over:
                return False
            self._teller.end()
        self.close()
        for number, cache in self._caches.items():
            cache.finish(self._ends[number], self._unplaced[number])
        return True

    def close(self) -> None:
        """End the reading."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._progress.remaining[self._topic] -= self._counted
        self._counted = 0

    def _opened(self, idle_limit_s: float) -> BoundedReader:
        return BoundedReader(
            self._clients,
            KafkaErrors(self._clients.settings),
            self._topic,
            {number: (begin, self._ends[number]) for number, begin in self._at.items()},
            idle_limit_s=idle_limit_s,
        )

    def _take_in(self) -> None:
        found: defaultdict[int, list[PlacedRow]] = defaultdict(list)
        done = 0
        try:
            for message in self._unread:
                number, offset = message.partition() or 0, message.offset() or 0
                try:
                    found[number].append(PlacedRow(offset, self._row(message)))
                except ValueError as exc:
                    set_aside(self._clients.foreign, message, exc)
                self._at[number] = offset + 1
                done += 1
        finally:
            # Without its schema, a record waits with all records after it.
            del self._unread[:done]
            for number, rows in found.items():
                self._caches[number].put(rows, self._at[number])
            self._teller.records += done
            self._progress.records[self._topic] += done

    def _remaining(self) -> int:
        return sum(max(0, self._ends[number] - at) for number, at in self._at.items())

    def _count(self) -> None:
        remaining = self._remaining()
        self._progress.remaining[self._topic] += remaining - self._counted
        self._counted = remaining
