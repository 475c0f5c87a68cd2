"""Keeps attempts back after a process has stood still."""

from dataclasses import dataclass, field

import structlog

from streamer.clock import Clock
from streamer.dispatch.beat import Beat
from streamer.dispatch.ledger import Ledger
from streamer.events import SubscriberName

_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Standstill:
    """Notices that the loop stood still for longer than `limit_s`: its partitions may be lost.

    No attempt begins from then on until the log has taken a record of them.
    `None` is for a log that gives them to nobody else meanwhile.
    """

    name: SubscriberName
    ledger: Ledger
    clock: Clock
    limit_s: float | None
    lasts: bool = field(default=False, init=False)
    _beat: Beat | None = field(default=None, init=False)

    async def run(self) -> None:
        """Look until cancelled; returns at once when there is nothing to look for."""
        if self.limit_s is None:
            return
        self._beat = Beat(self.clock, self.limit_s)
        while True:
            await self.clock.sleep(self._beat.interval_s)
            self._notice()
            self._beat.strike()

    async def over(self) -> bool:
        """Wait until everything that we hold is known to be ours; returns whether that took time."""
        # We may have stood still until this moment.
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
        if self._beat is not None and (frozen_s := self._beat.standstill_s()):
            self.lasts = True
            self.ledger.question()
            _log.warning("dispatch.frozen", subscriber=self.name, for_s=round(frozen_s, 3))
