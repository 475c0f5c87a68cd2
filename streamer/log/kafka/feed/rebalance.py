"""Rebalance callbacks of a subscriber's group, and the initial offsets of a new group."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

import structlog
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from streamer.clock import Clock
from streamer.errors import LogUnavailable
from streamer.events import Partition, SettledOffsets, Start, SubscriberName
from streamer.log.kafka.cluster.bounded_reader import look_up
from streamer.log.kafka.cluster.errors import RetryPolicy, kafka_error
from streamer.log.kafka.cluster.producer import as_partition
from streamer.log.kafka.cluster.topic_naming import matching
from streamer.log.kafka.feed.context import ConsumerContext
from streamer.log.kafka.feed.decoder import ReadPartition
from streamer.log.kafka.feed.partition_reader import MissingOffset, PartitionReader
from streamer.log.kafka.parked_restoration import Restored
from streamer.log.kafka.progress.assignment import AssignedPartition
from streamer.log.kafka.progress.commits import (
    Commits,
    CommittedOffsets,
    OffsetCommitter,
    committed,
    send_at_once,
)
from streamer.log.kafka.states.restoration import StateRestorations
from streamer.ports import Assigned

_CALL_TIMEOUT_S = 5.0
_TELL_EVERY_S = 30.0

_GROUP_IS_BUSY = frozenset(
    {KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS}
)
_log = structlog.get_logger()


class EnsureTopics(Protocol):
    """Ensures that a subscriber's own topics exist."""

    def __call__(self, *, has_begun: bool) -> None:
        """Check or create the topics; if the subscriber `has_begun`, its parked topic must exist."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialOffsets:
    """Turns `start` into committed offsets, once in the life of a consumer group.

    If a partition has no committed offset later, the partition is new, and it is read
    from its beginning. `marker` is a partition that always exists and is never read.
    The committed offset of `marker` proves that the subscriber has begun, even if no
    event partition existed at that time. `ensure_topics` gets `has_begun`, which says
    whether the subscriber's parked topic must exist already.
    """

    start: Start | datetime
    topics: Sequence[str]
    is_internal: Callable[[str], bool]
    marker: TopicPartition
    ensure_topics: EnsureTopics

    def settle(self, consumer: Consumer, commits: Commits, retry: RetryPolicy) -> None:
        """Commit the first offsets if the group has none; `consumer` has not joined the group yet.

        Raises `KafkaException`, `LogUnavailable`, `LogMisconfigured`.
        """
        try:
            # Another process can commit the first offsets of this subscriber at the same time.
            replace(retry, can_pass=_is_busy).call(self._settle, consumer, commits, retry)
        except KafkaException as exc:
            if not _is_busy(exc):
                raise
            raise LogUnavailable(
                "the first offsets of a subscriber could not be committed, because the "
                "subscriber's consumer group is busy: try again"
            ) from exc

    def _settle(self, consumer: Consumer, commits: Commits, retry: RetryPolicy) -> None:
        partitions = retry.call(self._partitions, consumer)
        has_begun = retry.call(_is_known, consumer, [self.marker, *partitions])
        # The topics come first, so that committed offsets always mean that the topics exist.
        self.ensure_topics(has_begun=has_begun)
        if not has_begun:
            offsets = retry.call(self._offsets, consumer, partitions)
            retry.call(commits.wait_for, consumer, [self.marker, *offsets])

    def _partitions(self, consumer: Consumer) -> list[TopicPartition]:
        topics = consumer.list_topics(timeout=_CALL_TIMEOUT_S).topics
        return [
            TopicPartition(name, number)
            for name in matching(topics, self.topics)
            if not self.is_internal(name)
            for number in topics[name].partitions
        ]

    def _offsets(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        match self.start:
            case datetime() as moment:
                return _offsets_at(consumer, partitions, moment)
            case Start.EARLIEST:
                return look_up(consumer, partitions, OFFSET_BEGINNING)
            case Start.LATEST:
                return look_up(consumer, partitions, OFFSET_END)


def _is_busy(error: Exception) -> bool:
    return isinstance(error, KafkaException) and kafka_error(error).code() in _GROUP_IS_BUSY


def _is_known(consumer: Consumer, partitions: Sequence[TopicPartition]) -> bool:
    return any(partition.offset >= 0 for partition in committed(consumer, partitions))


def _offsets_at(
    consumer: Consumer, partitions: Sequence[TopicPartition], moment: datetime
) -> list[TopicPartition]:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    found = look_up(consumer, partitions, round(aware.timestamp() * 1000))
    # If a partition has no record since `moment`, its next record is the first record since
    # `moment`.
    beyond = look_up(consumer, [each for each in found if each.offset < 0], OFFSET_END)
    return [each for each in found if each.offset >= 0] + beyond


class ShareWait:
    """Wait of this process for its share of the group's partitions; an empty share ends the wait.

    A rebalance waits for every member of the group. If it does not end, the subscriber
    delivers nothing, as if there were no events. So the log output reports the wait.
    """

    def __init__(self, subscriber: SubscriberName, clock: Clock) -> None:
        self._subscriber = subscriber
        self._clock = clock
        self._since: float | None = None
        self._tell_at = 0.0

    def begin(self) -> None:
        """Note that this process joins the group."""
        self._since = self._clock.monotonic()
        self._tell_at = self._since + _TELL_EVERY_S

    def end(self) -> None:
        """Note that the group has given this process a share."""
        self._since = None

    def report(self) -> None:
        """Log twice a minute that the wait continues."""
        now = self._clock.monotonic()
        if self._since is not None and now >= self._tell_at:
            self._tell_at = now + _TELL_EVERY_S
            _log.warning("log.share_awaited", subscriber=self._subscriber, for_s=round(now - self._since, 1))


class Rebalance:
    """Takes over and releases partitions, in the thread that polls the consumer.

    A new partition passes these steps in order: read its committed offsets, restore its
    parked events, announce it to the loop, and let `reader` read it. The restoration
    can take a while; the other partitions continue in the meantime. The group's
    consumer fetches no records, and only holds the assignment.
    """

    def __init__(
        self, consumer: Consumer, reader: PartitionReader, commits: Commits, context: ConsumerContext
    ) -> None:
        """Serve `consumer`; the commits of the consumer are sent by `commits`."""
        self._consumer = consumer
        self._reader = reader
        self._commits = commits
        self._context = context
        self._buffer = context.buffer
        self._assigned = context.assigned
        self._committed_offsets = CommittedOffsets(context.subscriber, context.admin, context.retry)
        self._marker: list[TopicPartition] = []
        self.share_wait = ShareWait(context.subscriber, context.clock)

    def subscribe(self, first: InitialOffsets) -> None:
        """Join the group for the topics of `first`; the initial offsets must be committed."""
        self._marker = [first.marker]
        self.share_wait.begin()
        self._consumer.subscribe(
            list(first.topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def restore(self) -> None:
        """Continue the restoration of new partitions, and announce each restored partition.

        Raises `KafkaException`, `LogUnavailable`, `LogMisconfigured`.
        """
        if restored := self._context.restorations.step():
            self._begin(restored)

    def go_on_after_hole(self, missing: MissingOffset) -> None:
        """Continue at the partition's first offset, because the requested offset is missing."""
        partition, ours = missing.partition, self._assigned.get(missing.partition)
        if ours is None or ours.assignment != missing.assignment:
            return
        [beginning] = self._committed_offsets.beginnings([TopicPartition(partition.topic, partition.number)])
        found = beginning.offset
        if found >= missing.offset:
            self._expire(partition)
            self._read(ours, found)
        else:
            # The partition was replaced, so its progress is invalid; but its parked events must
            # still be delivered.
            self._read_no_more([partition])
            self._assigned.drop([partition])
            self._buffer.revoke(frozenset([partition]))
            self._expire(partition)
            self._context.restorations.begin({partition: SettledOffsets(next_offset=found)})
            self.restore()
        _log.error(
            "log.hole_found",
            subscriber=self._context.subscriber,
            topic=partition.topic,
            partition=partition.number,
            expected_offset=missing.offset,
            found_offset=found,
            missing=max(0, found - missing.offset),
        )

    def _expire(self, partition: Partition) -> None:
        # Dispatch can't do anything about lost events, but states can be read again.
        if isinstance(self._context.restorations, StateRestorations):
            self._buffer.expire(partition)

    def _on_assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self.share_wait.end()
        # The settler must know each generation, even without new partitions.
        self._enter_generation(consumer)
        if not places:
            consumer.incremental_assign([])
            return
        progress, beginnings = self._committed_offsets.look_up(consumer, places)
        _hold_unread(consumer, places)
        self._context.restorations.begin(progress)
        self.restore()
        if beginnings:
            self._settle(beginnings)

    def _settle(self, beginnings: Sequence[TopicPartition]) -> None:
        if self._context.settler.receipts:
            self._context.settler.begin(beginnings)
        else:
            # Also commit the offset of the marker partition again. This offset proves that the
            # subscriber has begun.
            self._committed_offsets.commit(self._consumer, self._commits, [*beginnings, *self._marker])

    def _on_revoke(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Release partitions when the loop has processed the revocation and its settlements are recorded."""
        if gone := self._given_up(places):
            self._hand_over(consumer, gone)
        consumer.incremental_unassign(places)

    def _hand_over(self, consumer: Consumer, gone: frozenset[Partition]) -> None:
        # This process is also a member of the generation that revokes the partitions.
        self._enter_generation(consumer)
        # While a broker is frozen, a commit in this callback waits without a limit.
        self._context.pulse.rest()
        self._buffer.revoke(gone)
        self._commits.repeat_at_once(consumer)
        offsets = OffsetCommitter(consumer=consumer, send=send_at_once)
        clock, processed = self._context.clock, False
        deadline = clock.monotonic() + self._context.hand_over_s
        try:
            while not processed and not self._buffer.closing and (left_s := deadline - clock.monotonic()) > 0:
                processed = self._buffer.wait_until_processed(left_s)
                self._context.recorder.record(self._assigned, offsets)
        finally:
            self._assigned.drop(gone)

    def _enter_generation(self, consumer: Consumer) -> None:
        # A consumer that is closed after a failure can have lost its generation, and brokers
        # then refuse the earlier generation.
        with suppress(RuntimeError):
            self._context.settler.enter(consumer.consumer_group_metadata())

    def _on_lost(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Release partitions that the group has already taken away."""
        self.share_wait.begin()
        gone = self._given_up(places)
        _log.warning("log.partitions_lost", subscriber=self._context.subscriber, partitions=len(places))
        self._assigned.drop(gone)
        self._buffer.revoke(gone)
        consumer.incremental_unassign(places)

    def _given_up(self, places: Iterable[TopicPartition]) -> frozenset[Partition]:
        """Forget `places`; return the partitions whose loss must be announced to the loop."""
        gone = frozenset(map(as_partition, places))
        self._read_no_more(gone)
        self._context.restorations.drop(gone)
        self._context.settler.give_up(gone)
        return gone.intersection(self._assigned)

    def _read_no_more(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            self._reader.end(partition)

    def _begin(self, restored: Iterable[Restored]) -> None:
        number = self._context.number()
        ours = {each.partition: each for each in restored}
        for partition, each in ours.items():
            self._assigned.add(
                AssignedPartition(
                    partition=partition,
                    assignment=number,
                    settled_above=each.progress.settled_above,
                    parked=each.parked,
                )
            )
        self._buffer.assign(
            Assigned(
                assignment=number,
                progress={partition: each.progress for partition, each in ours.items()},
                parked={partition: each.lanes for partition, each in ours.items()},
            )
        )
        for partition, each in ours.items():
            self._read(self._assigned[partition], each.progress.next_offset)

    def _read(self, ours: AssignedPartition, offset: int) -> None:
        self._reader.begin(
            ReadPartition(
                partition=ours.partition, assignment=ours.assignment, settled_above=ours.settled_above
            ),
            offset,
        )


def _hold_unread(consumer: Consumer, places: Sequence[TopicPartition]) -> None:
    # This consumer pauses the partitions, because another consumer fetches them.
    consumer.incremental_assign([TopicPartition(each.topic, each.partition, OFFSET_END) for each in places])
    consumer.pause([TopicPartition(each.topic, each.partition) for each in places])
