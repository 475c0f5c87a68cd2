"""Sees each settlement that a reader asked for to its end."""

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
from streamer.log.kafka.progress.settler import NotYet, Settler

_log = structlog.get_logger()

_PAUSE_S = 0.05
_WARN_EVERY_S = 10.0


class Recorder:
    """Takes settlements from the reader in their order, and tells what came of each.

    One that is not certainly in the log is asked for again in the next turn,
    when whatever was in its way, such as a rebalance, has been dealt with: the
    reader waits, and nothing that it finished has to be done once more.
    """

    def __init__(self, subscriber: SubscriberName, buffer: FeedBuffer, settler: Settler) -> None:
        """Record by `settler` what `buffer` holds."""
        self._subscriber = subscriber
        self._buffer = buffer
        self._settler = settler
        self._warned_at = -math.inf

    def record(self, assigned: Mapping[Partition, AssignedPartition], offsets: OffsetCommitter) -> None:
        """Record what was asked for.

        Raises `LogUnavailable` when all partitions have to be assigned anew,
        as the log has them, and what someone has to see to.
        """
        asked = deque(self._buffer.settlings())
        # Taken after what was asked for, which may cover them.
        self._take_unreadable(assigned)
        try:
            self._settler.settle_beginnings()
            # One settlement may cover what the one before it was to keep.
            while asked:
                settling = asked[0]
                done = partial(self._buffer.settled, settling)
                self._settler.settle(settling.settlement, assigned, offsets, done)
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
