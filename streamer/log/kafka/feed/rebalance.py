"""What happens to partitions as a subscriber's group gives and takes them."""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

import structlog
from confluent_kafka import Consumer, Message, TopicPartition

from streamer.events import Partition, Progress
from streamer.log.kafka.cluster.record import as_partition
from streamer.log.kafka.feed.context import ConsumerContext
from streamer.log.kafka.feed.initial_offsets import InitialOffsets
from streamer.log.kafka.feed.pausing import PausedPartitions
from streamer.log.kafka.parked.restoration import Restored
from streamer.log.kafka.progress.assignment import AssignedPartition
from streamer.log.kafka.progress.commits import Commits, OffsetCommitter, send_at_once
from streamer.log.kafka.progress.committed_offsets import CommittedOffsets
from streamer.ports import Assigned

_log = structlog.get_logger()


class Rebalance:
    """Takes partitions over and gives them up, in the thread that polls their consumer.

    In this order: committed offsets, then what is parked of the partition,
    then it is announced and read. While the second takes a while, the
    partitions that we have already go on.
    """

    def __init__(
        self, consumer: Consumer, commits: Commits, context: ConsumerContext, pausing: PausedPartitions
    ) -> None:
        """Work for `consumer`, whose commits are `commits` and whose pauses are `pausing`'s."""
        self._consumer = consumer
        self._commits = commits
        self._context = context
        self._pausing = pausing
        self._buffer = context.buffer
        self._reading = context.reading
        self._committed_offsets = CommittedOffsets(context.subscriber, context.admin, context.retry)
        self._late_holes: dict[Partition, Message] = {}
        self._marker: list[TopicPartition] = []

    def subscribe(self, first: InitialOffsets) -> None:
        """Join the group for the topics of `first`, whose place is settled."""
        self._marker = [first.marker]
        self._consumer.subscribe(
            list(first.topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def restore(self) -> None:
        """Read on in what is parked of new partitions, and announce those of which all is found.

        Raises `KafkaException`, `LogUnavailable`, `LogMisconfigured`.
        """
        if restored := self._context.restorations.step():
            self._pausing.release([each.partition for each in restored])
            self._begin(restored)

    def go_on_after_hole(self, message: Message) -> None:
        """Read on from the partition's beginning: the offset that we asked for is not there."""
        place = TopicPartition(message.topic() or "", message.partition() or 0)
        partition = as_partition(place)
        if partition in self._context.restorations:
            self._late_holes[partition] = message
        if partition not in self._reading.assigned:
            return
        [beginning] = self._committed_offsets.beginnings([place])
        # The position that failed can't be moved, only assigned anew.
        self._consumer.incremental_unassign([place])
        self._assign({partition: Progress(next_offset=beginning.offset)})
        expected, found = message.offset() or 0, beginning.offset
        if found >= expected:
            self._reading.reached(partition, found)
        else:
            # The partition is not what it was: nothing that we know of it
            # holds, but what was parked of it is still to be delivered.
            self._reading.drop([partition])
            self._buffer.revoke(frozenset([partition]))
            self._begin_to_restore({partition: Progress(next_offset=found)})
        _log.error(
            "log.hole_found",
            subscriber=self._context.subscriber,
            topic=partition.topic,
            partition=partition.number,
            expected_offset=expected,
            found_offset=found,
            missing=max(0, found - expected),
        )

    def _on_assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        # Each generation says so, even where it brings nothing new.
        self._enter_generation(consumer)
        if not places:
            consumer.incremental_assign([])
            return
        progress, beginnings = self._committed_offsets.look_up(consumer, places)
        self._assign(progress)
        self._begin_to_restore(progress)
        if beginnings:
            self._settle(beginnings)

    def _settle(self, beginnings: Sequence[TopicPartition]) -> None:
        if self._context.settler.receipts:
            self._context.settler.begin(beginnings)
        else:
            # That a subscriber has begun is told by what always is there, too.
            self._committed_offsets.commit(self._consumer, self._commits, [*beginnings, *self._marker])

    def _on_revoke(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Give partitions up, once the reader knows and what it asked for until then is recorded."""
        if gone := self._given_up(places):
            self._hand_over(consumer, gone)
        consumer.incremental_unassign(places)

    def _hand_over(self, consumer: Consumer, gone: frozenset[Partition]) -> None:
        # The generation that takes partitions from us is ours, too.
        self._enter_generation(consumer)
        # What commits in here waits for as long as a broker is frozen.
        self._context.pulse.rest()
        self._buffer.revoke(gone)
        self._commits.repeat_at_once(consumer)
        offsets = OffsetCommitter(consumer=consumer, send=send_at_once)
        deadline = time.monotonic() + self._context.hand_over_s
        told = False
        try:
            while not told and not self._buffer.closing and (left_s := deadline - time.monotonic()) > 0:
                told = self._buffer.wait_until_told(left_s)
                self._context.recorder.record(self._reading.assigned, offsets)
        finally:
            self._reading.drop(gone)

    def _enter_generation(self, consumer: Consumer) -> None:
        # A consumer that is closed because it failed may know none any more,
        # and brokers refuse the former one then.
        with suppress(RuntimeError):
            self._context.settler.enter(consumer.consumer_group_metadata())

    def _on_lost(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Give up what the group has taken away already."""
        gone = self._given_up(places)
        _log.warning("log.partitions_lost", subscriber=self._context.subscriber, partitions=len(places))
        self._reading.drop(gone)
        self._buffer.revoke(gone)
        consumer.incremental_unassign(places)

    def _given_up(self, places: Iterable[TopicPartition]) -> frozenset[Partition]:
        """Return which of `places` the reader has to hear of, and forget the others."""
        gone = frozenset(map(as_partition, places))
        self._context.restorations.drop(gone)
        self._context.settler.give_up(gone)
        self._late_holes = {of: hole for of, hole in self._late_holes.items() if of not in gone}
        return gone.intersection(self._reading.assigned)

    def _assign(self, progress: Mapping[Partition, Progress]) -> None:
        self._consumer.incremental_assign(
            [TopicPartition(p.topic, p.number, at.next_offset) for p, at in progress.items()]
        )

    def _begin_to_restore(self, progress: Mapping[Partition, Progress]) -> None:
        self._context.restorations.begin(progress)
        self.restore()
        self._pausing.hold([partition for partition in progress if partition in self._context.restorations])

    def _begin(self, restored: Iterable[Restored]) -> None:
        number = self._context.number()
        ours = {each.partition: each for each in restored}
        self._reading.hold(
            AssignedPartition(
                partition=partition,
                assignment=number,
                settled_above=each.progress.settled_above,
                parked=each.parked,
            )
            for partition, each in ours.items()
        )
        self._buffer.assign(
            Assigned(
                assignment=number,
                progress={partition: each.progress for partition, each in ours.items()},
                parked={partition: each.lanes for partition, each in ours.items()},
            )
        )
        for hole in [self._late_holes.pop(partition) for partition in ours if partition in self._late_holes]:
            self.go_on_after_hole(hole)
