"""Standstill: attempts wait while the log can have moved our partitions to another process."""

from dataclasses import dataclass, field

import structlog

from streamer.clock import Clock
from streamer.dispatch.progress.ledger import Ledger
from streamer.events import SubscriberName

_log = structlog.get_logger()

_BEATS_A_LIMIT = 4


@dataclass(slots=True, kw_only=True)
class StandstillDetector:
    """Detects two causes of lost partitions: the loop stood still, or the log takes no record.

    From then on no attempt begins until the log has taken a record of the
    partitions. The log waits `session_s` seconds for a silent process before it
    gives its partitions to others. `None` is for a log that never does.
    """

    name: SubscriberName
    ledger: Ledger
    clock: Clock
    session_s: float | None
    lasts: bool = field(default=False, init=False)
    _beat: "Beat | None" = field(default=None, init=False)

    async def run(self) -> None:
        """Check periodically until cancelled; return at once if there is nothing to detect."""
        if self.session_s is None:
            return
        # The last heartbeat can be older than the last strike.
        self._beat = Beat(self.clock, self.session_s / 2)
        while True:
            await self.clock.sleep(self._beat.interval_s)
            self._check()
            self._beat.strike()

    def is_over(self) -> bool:
        """Return whether this process certainly owns all its partitions at this moment."""
        # The process can have stood still until now.
        self._check()
        return not self.ledger.ownership_check.lasts

    async def over(self) -> bool:
        """Wait until this process certainly owns all its partitions; return whether that took time."""
        self._check()
        has_waited = False
        while self.ledger.ownership_check.lasts:
            has_waited = True
            await self.ledger.ownership_check.over()
        return has_waited

    def has_ended(self) -> bool:
        """Return true once, after the record that ended a standstill."""
        if not self.lasts or self.ledger.ownership_check.lasts:
            return False
        self.lasts = False
        _log.info("dispatch.resumed", subscriber=self.name)
        return True

    def _check(self) -> None:
        if self.session_s is None or self._beat is None:
            return
        if frozen_s := self._beat.standstill_s():
            self._begin("dispatch.frozen", frozen_s)
        elif (
            not self.ledger.ownership_check.lasts
            and (unconfirmed_s := self.ledger.unconfirmed_s()) > self.session_s
        ):
            self._begin("dispatch.unconfirmed", unconfirmed_s)

    def _begin(self, what: str, seconds: float) -> None:
        self.lasts = True
        self.ledger.doubt_ownership()
        _log.warning(what, subscriber=self.name, for_s=round(seconds, 3))


class Beat:
    """Periodic time stamp of the running loop, whose age shows a standstill.

    A stopped process, or a loop that a plugin blocks, shows in the monotonic
    time between two strikes. A suspended machine shows in wall time only,
    because the monotonic clock can have stopped with it. A wall clock that is
    set forward looks the same.
    """

    def __init__(self, clock: Clock, limit_s: float) -> None:
        """Treat a pause of more than `limit_s` seconds as a standstill."""
        self._clock = clock
        self._limit_s = limit_s
        self.strike()

    @property
    def interval_s(self) -> float:
        """Seconds between two strikes."""
        return self._limit_s / _BEATS_A_LIMIT

    def strike(self) -> None:
        """Note that the loop runs."""
        self._struck = self._clock.monotonic()
        self._struck_at = self._clock.now()

    def standstill_s(self) -> float:
        """Return the duration of a standstill that has just ended, once; otherwise 0.

        The first caller afterwards gets it, whether the periodic check or a
        delivery.
        """
        since_s = max(self._clock.monotonic() - self._struck, self._clock.now() - self._struck_at)
        if since_s <= self._limit_s:
            return 0.0
        self.strike()
        return since_s
