"""What happens to partitions as a subscriber's group gives and takes them."""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress

import structlog
from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from streamer.events import Partition, Progress
from streamer.log.kafka.cluster.record import as_partition
from streamer.log.kafka.feed.context import ConsumerContext
from streamer.log.kafka.feed.decoder import ReadPartition
from streamer.log.kafka.feed.initial_offsets import InitialOffsets
from streamer.log.kafka.feed.partition_reader import MissingOffset, PartitionReader
from streamer.log.kafka.parked.restoration import Restored
from streamer.log.kafka.progress.assignment import AssignedPartition
from streamer.log.kafka.progress.commits import Commits, OffsetCommitter, send_at_once
from streamer.log.kafka.progress.committed_offsets import CommittedOffsets
from streamer.ports import Assigned

_log = structlog.get_logger()


class Rebalance:
    """Takes partitions over and gives them up, in the thread that polls their consumer.

    In this order: committed offsets, then what is parked of the partition,
    then it is announced and read by `reader`. While the second takes a while,
    the partitions that we have already go on. The consumer itself fetches
    nothing: it only shows the group that we have them.
    """

    def __init__(
        self, consumer: Consumer, reader: PartitionReader, commits: Commits, context: ConsumerContext
    ) -> None:
        """Work for `consumer`, whose commits are `commits`."""
        self._consumer = consumer
        self._reader = reader
        self._commits = commits
        self._context = context
        self._buffer = context.buffer
        self._assigned = context.assigned
        self._committed_offsets = CommittedOffsets(context.subscriber, context.admin, context.retry)
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
            self._begin(restored)

    def go_on_after_hole(self, missing: MissingOffset) -> None:
        """Read on from the partition's beginning: the offset that we asked for is not there."""
        partition, ours = missing.partition, self._assigned.get(missing.partition)
        if ours is None or ours.assignment != missing.assignment:
            return
        [beginning] = self._committed_offsets.beginnings([TopicPartition(partition.topic, partition.number)])
        found = beginning.offset
        if found >= missing.offset:
            self._read(ours, found)
        else:
            # The partition is not what it was: nothing that we know of it
            # holds, but what was parked of it is still to be delivered.
            self._read_no_more([partition])
            self._assigned.drop([partition])
            self._buffer.revoke(frozenset([partition]))
            self._context.restorations.begin({partition: Progress(next_offset=found)})
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

    def _on_assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        # Each generation says so, even where it brings nothing new.
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
                self._context.recorder.record(self._assigned, offsets)
        finally:
            self._assigned.drop(gone)

    def _enter_generation(self, consumer: Consumer) -> None:
        # A consumer that is closed because it failed may know none any more,
        # and brokers refuse the former one then.
        with suppress(RuntimeError):
            self._context.settler.enter(consumer.consumer_group_metadata())

    def _on_lost(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Give up what the group has taken away already."""
        gone = self._given_up(places)
        _log.warning("log.partitions_lost", subscriber=self._context.subscriber, partitions=len(places))
        self._assigned.drop(gone)
        self._buffer.revoke(gone)
        consumer.incremental_unassign(places)

    def _given_up(self, places: Iterable[TopicPartition]) -> frozenset[Partition]:
        """Return which of `places` the reader has to hear of, and forget the others."""
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
    # At the end and paused: nothing is fetched that another consumer reads.
    consumer.incremental_assign([TopicPartition(each.topic, each.partition, OFFSET_END) for each in places])
    consumer.pause([TopicPartition(each.topic, each.partition) for each in places])
