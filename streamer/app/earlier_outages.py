"""Outages of targets in which an earlier process ended, from the audit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from streamer.clock import Clock
from streamer.controls import AuditRecord
from streamer.dispatch.dispatcher import Dispatcher
from streamer.errors import LogUnavailable
from streamer.events import SubscriberName
from streamer.ports import Controls

OPENED, CLOSED = "breaker.opened", "breaker.closed"
"""Names of the audit records at the beginning and at the end of an outage."""

_RECALLED = 1_000
_RETRY_S = 1.0


@dataclass(slots=True, kw_only=True)
class EarlierOutages:
    """Tells each dispatcher since when its target was down, if its outage has not ended."""

    clock: Clock
    dispatchers: Mapping[SubscriberName, Dispatcher]
    _since: Mapping[SubscriberName, float] = field(default_factory=dict, init=False)

    async def recall(self, controls: Controls) -> None:
        """Read the audit once, and tell the dispatchers that have started meanwhile."""
        while True:
            try:
                records = await controls.audit(last=_RECALLED)
            except LogUnavailable:
                await self.clock.sleep(_RETRY_S)
            else:
                break
        self._since = open_outages(records)
        for name in self.dispatchers:
            self.tell(name)

    def tell(self, name: SubscriberName) -> None:
        """Tell the dispatcher of `name`, which has just started."""
        if name in self._since:
            self.dispatchers[name].earlier_outage = self._since[name]


def open_outages(records: Iterable[AuditRecord]) -> Mapping[SubscriberName, float]:
    """Return the beginnings of the outages whose end is not in `records` (oldest first), by subscriber."""
    found: dict[SubscriberName, float] = {}
    for record in records:
        if record.subscriber is None:
            continue
        if record.what == OPENED:
            since = record.detail.get("since")
            at = record.at if since is None else datetime.fromisoformat(since).timestamp()
            found[record.subscriber] = at
        elif record.what == CLOSED:
            found.pop(record.subscriber, None)
    return found
