"""Recorder of the settlements that the loop asks for."""

import math
import time
from collections import deque
from collections.abc import Mapping
from functools import partial

import structlog

from streamer.events import Partition, SubscriberName
from streamer.log.kafka.feed.buffer import FeedBuffer
from streamer.log.kafka.progress.assignment import AssignedPartition
from streamer.log.kafka.progress.commits import OffsetCommitter
from streamer.log.kafka.progress.settler import KafkaSettler, NotYet

_log = structlog.get_logger()

_PAUSE_S = 0.05
_WARN_EVERY_S = 10.0


class Recorder:
    """Records the settlements of the loop in order, and reports the result of each.

    A settlement whose record is uncertain is retried in the next turn, after
    the obstacle, such as a rebalance, has passed. The loop waits meanwhile, and
    repeats no finished event.
    """

    def __init__(self, subscriber: SubscriberName, buffer: FeedBuffer, settler: KafkaSettler) -> None:
        """Record the settlements of `buffer` with `settler`."""
        self._subscriber = subscriber
        self._buffer = buffer
        self._settler = settler
        self._warned_at = -math.inf

    def record(self, assigned: Mapping[Partition, AssignedPartition], offsets: OffsetCommitter) -> None:
        """Record the pending settlements.

        Raises `LogUnavailable` when all partitions must be assigned again, from
        the state in the log, and errors that need an operator.
        """
        asked = deque(self._buffer.pending_settlements())
        # Taken after the settlements, which can cover them.
        self._take_unreadable(assigned)
        try:
            self._settler.settle_beginnings()
            # A settlement can cover letters that the one before it had to keep.
            while asked:
                pending = asked[0]
                done = partial(self._buffer.settled, pending)
                self._settler.settle(pending.settlement, assigned, offsets, done)
                asked.popleft()
        except NotYet as reason:
            self._warn(reason)
            self._buffer.wait(_PAUSE_S)
        finally:
            self._buffer.postpone(asked)

    def _take_unreadable(self, assigned: Mapping[Partition, AssignedPartition]) -> None:
        held = sum(len(each.unreadable) for each in assigned.values())
        for partition, letters in self._buffer.take_unreadable(held).items():
            if partition in assigned:
                assigned[partition].unreadable |= letters

    def _warn(self, reason: NotYet) -> None:
        if time.monotonic() - self._warned_at >= _WARN_EVERY_S:
            self._warned_at = time.monotonic()
            _log.warning("progress.not_recorded", subscriber=self._subscriber, reason=str(reason))
