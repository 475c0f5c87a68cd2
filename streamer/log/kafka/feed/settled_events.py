"""Recorder of a subscriber's settlements, and reader of its settled events."""

import math
import threading
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Collection, Generator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

import structlog
from confluent_kafka import Message

from streamer.clock import Clock
from streamer.errors import LogUnavailable, UnreadableEvent
from streamer.events import Entry, Partition, SettledOffsets, SubscriberName
from streamer.log.kafka.cluster.bounded_reader import BoundedReader
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import RETRY_LIMIT_S, KafkaErrors, RetryPolicy
from streamer.log.kafka.cluster.threads import iterate_in_thread
from streamer.log.kafka.feed.buffer import FeedBuffer
from streamer.log.kafka.feed.decoder import EventReader
from streamer.log.kafka.parked_restoration import Restorations
from streamer.log.kafka.progress.assignment import AssignedPartition
from streamer.log.kafka.progress.commits import CommittedOffsets, OffsetCommitter
from streamer.log.kafka.progress.settler import KafkaSettler, MemberRefused, NotYet
from streamer.log.kafka.records.parked import ParkedTopic
from streamer.log.kafka.topics.admin import KafkaAdmin
from streamer.ports import Subscription

_AT_ONCE = 100
_POLL_S = 0.2
_log = structlog.get_logger()


async def settled_events(
    clients: Clients,
    admin: KafkaAdmin,
    subscription: Subscription,
    begin: Mapping[Partition, int],
    *,
    retry_limit_s: float = RETRY_LIMIT_S,
) -> AsyncGenerator[Entry, None]:
    """Yield the settled events of a subscriber from the offsets in `begin` to the subscriber's progress.

    The generator waits up to `retry_limit_s` seconds for silent brokers or an open
    transaction, and then raises `LogUnavailable`.
    """
    reader = SettledEventReader(clients, admin, subscription, retry_limit_s)
    try:
        async with aclosing(iterate_in_thread(reader.portions(begin), thread="kafka-finished")) as entries:
            async for entry in entries:
                yield entry
    finally:
        reader.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class _SettledRange:
    """Settled offsets of one partition from `begin` on; parked offsets are not settled."""

    begin: int
    progress: SettledOffsets
    parked: Collection[int]

    def covers(self, offset: int) -> bool:
        return offset >= self.begin and self.progress.covers(offset) and offset not in self.parked


class SettledEventReader:
    """Reads the log up to the committed offsets of the subscriber's group, without joining the group.

    Blocking, for one thread; another thread can call `stop`.
    """

    def __init__(
        self, clients: Clients, admin: KafkaAdmin, subscription: Subscription, retry_limit_s: float
    ) -> None:
        """Prepare the reader, which connects when the first portion is read."""
        self._clients = clients
        self._admin = admin
        self._subscriber = subscription.subscriber
        self._reader = EventReader(subscription, clients.schemas)
        self._errors = KafkaErrors(clients.settings)
        self._stopped = threading.Event()
        self._retry = RetryPolicy(
            clock=clients.clock,
            limit_s=retry_limit_s,
            wait=self._stopped.wait,
            is_over=self._stopped.is_set,
        )

    def portions(self, begin: Mapping[Partition, int]) -> Generator[list[Entry], None, None]:
        """Yield entries in lists, which can be empty. Raises `LogUnavailable`, `LogMisconfigured`."""
        with self._errors.explained(
            doing="reading", subject=f"the settled events of subscriber {self._subscriber}"
        ):
            found: defaultdict[str, dict[int, _SettledRange]] = defaultdict(dict)
            for partition, finished_ in self._finished(begin).items():
                found[partition.topic][partition.number] = finished_
            for topic, partitions in found.items():
                yield from self._read(topic, partitions)

    def stop(self) -> None:
        """End all waits for brokers and transactions."""
        self._stopped.set()

    def _finished(self, begin: Mapping[Partition, int]) -> dict[Partition, _SettledRange]:
        progress = self._progress(begin)
        # Read the offsets before the parked events. A parked event that is finished between the
        # two reads then counts as finished.
        parked = self._parked(progress)
        return {
            partition: _SettledRange(begin=begin[partition], progress=at, parked=parked[partition])
            for partition, at in progress.items()
        }

    def _progress(self, partitions: Collection[Partition]) -> dict[Partition, SettledOffsets]:
        committed_offsets = CommittedOffsets(self._subscriber, self._admin, self._retry)
        return committed_offsets.stored_beside(self._clients, self._errors, partitions)

    def _parked(self, progress: Mapping[Partition, SettledOffsets]) -> dict[Partition, frozenset[int]]:
        topic = ParkedTopic.of(self._clients.settings, self._subscriber)
        restorations = Restorations(self._clients, self._admin, topic, self._retry)
        return {each.partition: each.recorded_offsets for each in restorations.finished(progress)}

    def _read(
        self, topic: str, partitions: Mapping[int, _SettledRange]
    ) -> Generator[list[Entry], None, None]:
        bounds = self._retry.call(self._admin.bounds, topic, partitions.keys())
        read_ranges = {
            number: (max(partitions[number].begin, first), min(partitions[number].progress.end, end))
            for number, (first, end) in bounds.items()
        }
        with BoundedReader(self._clients, self._errors, topic, read_ranges, over_holes=True) as reader:
            while not reader.is_over:
                found = (
                    self._entry(topic, partitions, message) for message in reader.read(_AT_ONCE, _POLL_S)
                )
                yield [entry for entry in found if entry is not None]

    def _entry(self, topic: str, partitions: Mapping[int, _SettledRange], message: Message) -> Entry | None:
        number, offset, value = message.partition() or 0, message.offset() or 0, message.value()
        if value is None or not partitions[number].covers(offset):
            return None
        try:
            event = self._reader.event(message, value)
        except UnreadableEvent:
            # The record is a dead letter already.
            return None
        if event is None:
            return None
        return Entry(partition=Partition(topic=topic, number=number), offset=offset, event=event)


_PAUSE_S = 0.05
_WARN_EVERY_S = 10.0


class Recorder:
    """Records the loop's settlements in order, and reports the result of each settlement.

    If a settlement can't be recorded now, for example during a rebalance, the recorder
    retries it in the next turn. The loop waits for the retry, so no finished event is
    delivered again. The brokers can refuse this process as a member of the group,
    although librdkafka reports no lost partition. After `most_refused_s` seconds of
    such refusals, the process must join the group again.
    """

    def __init__(
        self,
        subscriber: SubscriberName,
        buffer: FeedBuffer,
        settler: KafkaSettler,
        clock: Clock,
        *,
        most_refused_s: float,
    ) -> None:
        """Record the settlements of `buffer` with `settler`."""
        self._subscriber = subscriber
        self._buffer = buffer
        self._settler = settler
        self._clock = clock
        self._warned_at = -math.inf
        self._most_refused_s = most_refused_s
        self._refused_since: float | None = None

    def record(self, assigned: Mapping[Partition, AssignedPartition], offsets: OffsetCommitter) -> None:
        """Record the pending settlements.

        Raises `LogUnavailable` when all partitions must be assigned again from the
        state in the log. Also raises errors that need an operator.
        """
        asked = deque(self._buffer.pending_settlements())
        # Take the dead letters after the settlements, because a settlement can cover them.
        self._take_unreadable(assigned)
        try:
            self._settler.settle_beginnings()
            # A settlement can cover dead letters that the previous settlement had to keep.
            while asked:
                pending = asked[0]
                done = partial(self._buffer.settled, pending)
                self._settler.settle(pending.settlement, assigned, offsets, done)
                asked.popleft()
            self._refused_since = None
        except NotYet as reason:
            self._warn(reason)
            self._check_membership(reason)
            self._buffer.wait(_PAUSE_S)
        finally:
            self._buffer.postpone(asked)

    def _take_unreadable(self, assigned: Mapping[Partition, AssignedPartition]) -> None:
        held = sum(len(each.unreadable) for each in assigned.values())
        for partition, letters in self._buffer.take_unreadable(held).items():
            if partition in assigned:
                assigned[partition].unreadable |= letters

    def _check_membership(self, reason: NotYet) -> None:
        """Raise `LogUnavailable` if the brokers have refused this member for too long."""
        now = self._clock.monotonic()
        if not isinstance(reason, MemberRefused):
            self._refused_since = None
        elif self._refused_since is None:
            self._refused_since = now
        elif now - self._refused_since >= self._most_refused_s:
            self._refused_since = None
            raise LogUnavailable(
                f"{reason}; the brokers have refused this member of the consumer group for "
                f"{self._most_refused_s:g} s, so this process joins the group again"
            ) from reason

    def _warn(self, reason: NotYet) -> None:
        now = self._clock.monotonic()
        if now - self._warned_at >= _WARN_EVERY_S:
            self._warned_at = now
            _log.warning("progress.not_recorded", subscriber=self._subscriber, reason=str(reason))
