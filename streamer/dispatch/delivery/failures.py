"""Failures of one target: their begin and end in the log, and the last of them."""

from dataclasses import dataclass, field

import structlog

from streamer.clock import Clock
from streamer.events import EventId, Hold, Retry, SubscriberName
from streamer.observe.subscriber_status import LastFailure

_log = structlog.get_logger()

_QUIET_S = 10.0


@dataclass(slots=True, kw_only=True)
class Failures:
    """Says once that attempts begin to fail, with the error, and once that they have stopped failing.

    They have stopped when one succeeds, none has failed for 10 s, and no event
    waits in the log for another attempt.
    """

    name: SubscriberName
    clock: Clock
    last: LastFailure | None = field(default=None, init=False)
    _began_at: float = field(default=0.0, init=False)

    def failed(self, event_id: EventId, outcome: Retry | Hold, trace_id: str = "") -> None:
        """Note a failed attempt; a hold has its own log line."""
        error, failure = outcome.reason, outcome.failure
        if self.last is None:
            self._began_at = self.clock.now()
            if isinstance(outcome, Retry):
                about = {"event_id": event_id, "failure": failure, "error": error}
                if trace_id:
                    about["trace_id"] = trace_id
                _log.warning("subscriber.failing", subscriber=self.name, **about)
        count = 1 if self.last is None else self.last.count + 1
        self.last = LastFailure(error=error, failure=failure, at=self.clock.now(), count=count)

    def worked(self, parked: int) -> None:
        """Note a successful attempt, while `parked` events wait in the log for another one."""
        last = self.last
        if last is None or parked or self.clock.now() < last.at + _QUIET_S:
            return
        seconds = round(self.clock.now() - self._began_at)
        _log.info("subscriber.recovered", subscriber=self.name, failures=last.count, after_s=seconds)
        self.last = None
