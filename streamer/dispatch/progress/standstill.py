"""Keeps attempts back while the log may have given our partitions to another process."""

from dataclasses import dataclass, field

import structlog

from streamer.clock import Clock
from streamer.dispatch.progress.ledger import Ledger
from streamer.events import SubscriberName

_log = structlog.get_logger()

_BEATS_A_LIMIT = 4


@dataclass(slots=True, kw_only=True)
class Standstill:
    """Notices what may have cost us partitions: that the loop stood still, or the log takes no record.

    No attempt begins from then on until the log has taken a record of them. It
    waits `session_s` for a process before it gives its partitions to others;
    `None` is for a log that gives them to nobody.
    """

    name: SubscriberName
    ledger: Ledger
    clock: Clock
    session_s: float | None
    lasts: bool = field(default=False, init=False)
    _beat: "Beat | None" = field(default=None, init=False)

    async def run(self) -> None:
        """Look until cancelled; returns at once when there is nothing to look for."""
        if self.session_s is None:
            return
        # The last heartbeat may be a while ago.
        self._beat = Beat(self.clock, self.session_s / 2)
        while True:
            await self.clock.sleep(self._beat.interval_s)
            self._notice()
            self._beat.strike()

    def is_over(self) -> bool:
        """Return whether everything that we hold is known to be ours at this moment."""
        # We may have stood still until now.
        self._notice()
        return not self.ledger.doubt.lasts

    async def over(self) -> bool:
        """Wait until everything that we hold is known to be ours; returns whether that took time."""
        self._notice()
        has_waited = False
        while self.ledger.doubt.lasts:
            has_waited = True
            await self.ledger.doubt.over()
        return has_waited

    def has_ended(self) -> bool:
        """Whether a standstill is over since a record that was just made."""
        if not self.lasts or self.ledger.doubt.lasts:
            return False
        self.lasts = False
        _log.info("dispatch.resumed", subscriber=self.name)
        return True

    def _notice(self) -> None:
        if self.session_s is None or self._beat is None:
            return
        if frozen_s := self._beat.standstill_s():
            self._begin("dispatch.frozen", frozen_s)
        elif not self.ledger.doubt.lasts and (unconfirmed_s := self.ledger.unconfirmed_s()) > self.session_s:
            self._begin("dispatch.unconfirmed", unconfirmed_s)

    def _begin(self, what: str, seconds: float) -> None:
        self.lasts = True
        self.ledger.question()
        _log.warning(what, subscriber=self.name, for_s=round(seconds, 3))


class Beat:
    """Is struck while the loop turns, and shows afterwards that it did not.

    A process that is stopped, or whose loop a plugin blocks, shows in the time
    between two strokes. A machine that was suspended shows in wall time alone,
    for the monotonic clock may have stood still with it; a wall clock that is
    set forward looks the same.
    """

    def __init__(self, clock: Clock, limit_s: float) -> None:
        """Take a pause of more than `limit_s` for a standstill."""
        self._clock = clock
        self._limit_s = limit_s
        self.strike()

    @property
    def interval_s(self) -> float:
        """How often it is to be struck."""
        return self._limit_s / _BEATS_A_LIMIT

    def strike(self) -> None:
        """Note that the loop turns."""
        self._struck = self._clock.monotonic()
        self._struck_at = self._clock.now()

    def standstill_s(self) -> float:
        """Return how long the loop has just stood still, once, and 0 when it did not.

        Whoever runs first afterwards is told, whether that is who strikes or
        who wants to deliver.
        """
        since_s = max(self._clock.monotonic() - self._struck, self._clock.now() - self._struck_at)
        if since_s <= self._limit_s:
            return 0.0
        self.strike()
        return since_s
