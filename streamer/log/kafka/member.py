"""One consumer as a member of a subscriber's group."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamer.events import Partition, Progress, SubscriberName
from streamer.log.kafka.commits import Commits, send_at_once
from streamer.log.kafka.faults import is_denied
from streamer.log.kafka.handover import PAGE_ENTRIES, Handover
from streamer.log.kafka.holding import Holding
from streamer.log.kafka.offsets import decode
from streamer.log.kafka.patience import Patience
from streamer.log.kafka.reading import Reading
from streamer.log.kafka.retention import Hole, OnHole
from streamer.log.kafka.settler import Commit, Settler
from streamer.log.kafka.start import FirstPlace, committed, look_up
from streamer.ports import Assigned
from streamer.pulse import Pulse

_log = structlog.get_logger()

# How long a settlement may wait to be noticed; records are noticed at once.
_POLL_S = 0.05
_ROOM_S = 0.1
_ENDS_EVERY_S = 0.2
# Dead letters that wait for a settlement hold the bytes of their records.
_MAX_UNREADABLE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """Whom a member works with, from one consumer to the next.

    `number` gives each assignment a number of its own. A reader has
    `hand_over_s` seconds to hear that partitions are to go.
    """

    subscriber: SubscriberName
    handover: Handover
    reading: Reading
    settler: Settler
    patience: Patience
    on_hole: OnHole
    pulse: Pulse
    number: Callable[[], int]
    hand_over_s: float


class Member:
    """Reads what the group gives to this process, and records what was finished.

    Everything happens in the one thread that calls `turn`: no call of another
    thread on a consumer gets through while a rebalance is being dealt with.
    """

    def __init__(self, consumer: Consumer, commits: Commits, crew: Crew) -> None:
        """Work with `consumer`, which has not joined its group yet, and whose commits are `commits`."""
        self._consumer = consumer
        self._commits = commits
        self._crew = crew
        self._handover = crew.handover
        self._reading = crew.reading
        self._held_back: frozenset[Partition] = frozenset()
        self._ends_due = 0.0
        self._marker: TopicPartition | None = None

    def join(self, first: FirstPlace) -> None:
        """Settle where a new subscriber begins, then join. Raises `KafkaException`, `LogUnavailable`."""
        first.settle(self._consumer, self._commits, self._crew.patience)
        self._marker = first.marker
        self._consumer.subscribe(
            list(first.topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def turn(self) -> None:
        """Record, read and hand over once, within a fraction of a second. Raises `KafkaException`."""
        self._record(partial(self._commits.send, self._consumer))
        self._commits.give_up()
        self._hold_back()
        message = self._consumer.poll(_POLL_S)
        if message is not None:
            self._take_in(message)
            # The first one was waited for; what came with it is here.
            for following in self._consumer.consume(PAGE_ENTRIES - 1, 0):
                self._take_in(following)
        self._look_up_ends()
        if fresh := self._reading.take():
            self._handover.put(fresh)

    def _record(self, commit: Commit) -> None:
        """Record the settlements that were asked for."""
        for settling in self._handover.settlings():
            self._crew.settler.settle(
                settling.settlement,
                self._reading.holdings,
                commit,
                partial(self._handover.settled, settling),
            )

    def _hold_back(self) -> None:
        # A reader that is merely slower than we are makes room in a moment;
        # pausing would throw away what was fetched.
        self._handover.wait_for_room(_ROOM_S)
        ours = self._reading.holdings
        choked = self._reading.unreadable >= _MAX_UNREADABLE
        wanted = frozenset(ours) if choked else self._handover.held_back(ours)
        if paused := wanted - self._held_back:
            self._consumer.pause(_places(paused))
        if resumed := (self._held_back - wanted).intersection(ours):
            self._consumer.resume(_places(resumed))
        self._held_back = wanted

    def _take_in(self, message: Message) -> None:
        error = message.error()
        if error is None:
            self._reading.sort(message)
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._go_on_after_hole(message)
        elif error.fatal() or is_denied(error):
            raise KafkaException(error)
        else:
            # librdkafka goes on trying by itself.
            _log.warning("log.troubled", subscriber=self._crew.subscriber, reason=error.str())

    def _look_up_ends(self) -> None:
        """Learn where partitions end and how far we are in them.

        Records that end a transaction take up offsets and are never handed to
        us: only the consumer's position says that we are past them.
        """
        due = time.monotonic() >= self._ends_due
        if due:
            self._ends_due = time.monotonic() + _ENDS_EVERY_S
        partitions = list(self._reading.holdings) if due else self._reading.touched
        if not partitions:
            return
        positions = self._consumer.position(_places(partitions))
        for partition, place in zip(partitions, positions, strict=True):
            _, end = self._consumer.get_watermark_offsets(place, cached=True)
            if place.offset >= 0:
                stretch = self._reading.reached(partition, place.offset)
                stretch.end = max(stretch.end, end)

    def _on_assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        # Each generation says so, even where it brings nothing new.
        self._crew.settler.enter(consumer.consumer_group_metadata())
        if not places:
            consumer.incremental_assign([])
            return
        progress, beginnings = self._progress(places)
        self._assign(progress)
        self._begin(progress)
        # A partition that is read from its beginning has that as its offset
        # from now on: should retention overtake us, it shows.
        self._commit_beginnings(beginnings)

    def _assign(self, progress: Mapping[Partition, Progress]) -> None:
        self._consumer.incremental_assign(
            [TopicPartition(p.topic, p.number, at.next_offset) for p, at in progress.items()]
        )
        # A pause outlives the assignment under which it was made.
        self._held_back -= progress.keys()
        self._consumer.resume(_places(progress))

    def _begin(self, progress: Mapping[Partition, Progress]) -> None:
        number = self._crew.number()
        self._reading.hold(
            Holding(partition=partition, assignment=number, settled_above=at.settled_above)
            for partition, at in progress.items()
        )
        self._handover.assign(Assigned(assignment=number, progress=progress))

    def _progress(
        self, places: Sequence[TopicPartition]
    ) -> tuple[dict[Partition, Progress], list[TopicPartition]]:
        """Return what is settled in `places`, and the beginnings of those in which nothing is."""
        insist = self._crew.patience.insist
        stored = insist(committed, self._consumer, places)
        new = [place for place in stored if place.offset < 0]
        beginnings = insist(look_up, self._consumer, new, OFFSET_BEGINNING)
        progress = {_partition(place): self._decoded(place) for place in stored if place.offset >= 0}
        progress |= {_partition(place): Progress(next_offset=place.offset) for place in beginnings}
        return progress, beginnings

    def _decoded(self, place: TopicPartition) -> Progress:
        try:
            return decode(place.offset, place.metadata)
        except ValueError as exc:
            _log.warning(
                "progress.partly_unreadable",
                subscriber=self._crew.subscriber,
                topic=place.topic,
                partition=place.partition,
                reason=str(exc),
            )
            return Progress(next_offset=place.offset)

    def _commit_beginnings(self, beginnings: Sequence[TopicPartition]) -> None:
        if not beginnings:
            return
        marker = [self._marker] if self._marker is not None else []
        self._commits.send(self._consumer, [*beginnings, *marker], self._beginnings_committed)

    def _beginnings_committed(self, error: KafkaError | None) -> None:
        if error is not None:
            _log.warning("progress.not_recorded", subscriber=self._crew.subscriber, reason=error.str())

    def _on_revoke(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Give partitions up, once the reader knows and what it asked for until then is recorded."""
        gone = self._ours(places)
        # What commits in here waits for as long as a broker is frozen.
        self._crew.pulse.rest()
        self._handover.revoke(gone)
        deadline = time.monotonic() + self._crew.hand_over_s
        told = False
        while not told and not self._handover.closing and (left_s := deadline - time.monotonic()) > 0:
            told = self._handover.wait_until_told(left_s)
            self._record(partial(send_at_once, consumer))
        self._reading.drop(gone)
        consumer.incremental_unassign(places)

    def _on_lost(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Give up what the group has taken away already."""
        gone = self._ours(places)
        _log.warning("log.partitions_lost", subscriber=self._crew.subscriber, partitions=len(gone))
        self._reading.drop(gone)
        self._handover.revoke(gone)
        consumer.incremental_unassign(places)

    def _ours(self, places: Iterable[TopicPartition]) -> frozenset[Partition]:
        return frozenset(map(_partition, places)).intersection(self._reading.holdings)

    def _go_on_after_hole(self, message: Message) -> None:
        """Read on from the partition's beginning: the offset that we asked for is not there."""
        place = TopicPartition(message.topic() or "", message.partition() or 0)
        partition = _partition(place)
        if partition not in self._reading.holdings:
            return
        [beginning] = self._crew.patience.insist(look_up, self._consumer, [place], OFFSET_BEGINNING)
        # The position that failed can't be moved, only assigned anew.
        self._consumer.incremental_unassign([place])
        self._assign({partition: Progress(next_offset=beginning.offset)})
        hole = Hole(
            subscriber=self._crew.subscriber,
            partition=partition,
            expected=message.offset() or 0,
            found=beginning.offset,
        )
        if hole.found >= hole.expected:
            self._reading.reached(partition, hole.found)
        else:
            # The partition is not what it was: nothing that we know of it holds.
            self._reading.drop([partition])
            self._handover.revoke(frozenset([partition]))
            self._begin({partition: Progress(next_offset=hole.found)})
        self._report(hole)

    def _report(self, hole: Hole) -> None:
        _log.error(
            "log.hole_found",
            subscriber=hole.subscriber,
            topic=hole.partition.topic,
            partition=hole.partition.number,
            expected_offset=hole.expected,
            found_offset=hole.found,
            missing=hole.missing,
        )
        self._crew.on_hole(hole)


def _partition(place: TopicPartition) -> Partition:
    return Partition(topic=place.topic, number=place.partition)


def _places(partitions: Collection[Partition]) -> list[TopicPartition]:
    return [TopicPartition(partition.topic, partition.number) for partition in partitions]
