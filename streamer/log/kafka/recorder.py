"""Sees each settlement that a reader asked for to its end."""

import math
import time
from collections.abc import Mapping
from functools import partial

import structlog

from streamer.errors import StreamerError
from streamer.events import Partition, SubscriberName
from streamer.log.kafka.handover import Handover, Settling
from streamer.log.kafka.holding import Holding
from streamer.log.kafka.settler import Commit, NotYet, Settler, Uncertain
from streamer.ports import Recorded

_log = structlog.get_logger()

_PAUSE_S = 0.05
_WARN_EVERY_S = 10.0


class Recorder:
    """Takes settlements from the reader in their order, and tells what came of each.

    One of which nothing is in the log for certain is tried again in the next
    turn, when whatever was in its way, such as a rebalance, has been dealt with:
    the reader waits, and nothing that it finished has to be done once more.
    """

    def __init__(self, subscriber: SubscriberName, handover: Handover, settler: Settler) -> None:
        """Record by `settler` what `handover` holds."""
        self._subscriber = subscriber
        self._handover = handover
        self._settler = settler
        self._warned_at = -math.inf

    def record(self, holdings: Mapping[Partition, Holding], commit: Commit) -> None:
        """Record what was asked for.

        Raises `LogUnavailable` when receipts may be in the log, or not: then
        all partitions have to be assigned anew, as the log has them, since a
        receipt must not be written twice.
        """
        waiting: list[Settling] = []
        uncertain: list[tuple[Settling, Uncertain]] = []

        def tell(settling: Settling, outcome: Recorded | StreamerError) -> None:
            if isinstance(outcome, NotYet):
                self._warn(outcome)
                waiting.append(settling)
                return
            if isinstance(outcome, Uncertain):
                uncertain.append((settling, outcome))
            self._handover.settled(settling, outcome)

        for settling in self._handover.settlings():
            if waiting or uncertain:
                # It may cover what the former one was to keep.
                waiting.append(settling)
            else:
                self._settler.settle(settling.settlement, holdings, commit, partial(tell, settling))
        if uncertain:
            [(failed, error)] = uncertain
            for settling in waiting:
                self._handover.settled(settling, error)
            if failed.settlement.receipts:
                raise error
        elif waiting:
            self._handover.postpone(waiting)
            self._handover.wait(_PAUSE_S)

    def _warn(self, reason: NotYet) -> None:
        if time.monotonic() - self._warned_at >= _WARN_EVERY_S:
            self._warned_at = time.monotonic()
            _log.warning("progress.not_recorded", subscriber=self._subscriber, reason=str(reason))
