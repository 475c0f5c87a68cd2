"""Pauses of look-ups: after failures, and while few of the org's requests are left."""

from dataclasses import dataclass, field

from streamer.backoff import Backoff, Delays
from streamer.clock import Clock
from streamer.errors import RetryLater, Stop, StreamerError
from streamer.later import LaterLogger

_log = LaterLogger()

_BACKOFF = Backoff(first_s=1.0, limit_s=60.0)
# A share of a rolling day does not change sooner.
_RESERVE_S = 300.0
_STOP_S = 60.0


@dataclass(slots=True, kw_only=True)
class Allowance:
    """Decides whether Salesforce, or a service, can be asked now.

    After a failure it is asked no more for a second, and longer each time, up
    to a minute or as long as the answer says. While less than `reserve` of the
    org's daily requests is left, one call every five minutes finds out whether
    there is more.
    """

    clock: Clock
    reserve: float
    _until: float = field(default=0.0, init=False)
    _reason: StreamerError | None = field(default=None, init=False)
    _delays: Delays = field(default_factory=lambda: Delays(_BACKOFF), init=False)

    def __post_init__(self) -> None:
        self._until = self.clock.monotonic()

    @property
    def waits(self) -> bool:
        """True from a failure until a call is answered."""
        return self._reason is not None

    @property
    def hindrance(self) -> StreamerError | None:
        """Reason why nothing must be asked now, with the seconds to wait; `None` while it can be."""
        left_s = self._until - self.clock.monotonic()
        if self._reason is None or left_s <= 0:
            return None
        if isinstance(self._reason, Stop):
            return self._reason
        return RetryLater(str(self._reason), after_s=left_s)

    def failed(self, error: RetryLater | Stop) -> None:
        """Begin a pause because of `error`."""
        pause_s = self._delays.next_s()
        if isinstance(error, Stop):
            pause_s = _STOP_S
        elif error.after_s is not None:
            pause_s = max(pause_s, error.after_s)
        self._pause(error, pause_s)

    def answered(self, requests_left: float | None) -> None:
        """Note an answer, after which `requests_left` of the day's requests, a share, are left."""
        self._delays.reset()
        if requests_left is not None and requests_left < self.reserve:
            what = (
                f"look-ups wait, because {requests_left:.0%} of the org's daily requests are left and "
                f"lookups.reserve leaves {self.reserve:.0%} to others"
            )
            self._pause(RetryLater(what), _RESERVE_S)
        elif self._reason is not None:
            self._reason = None
            _log.info("lookups.resumed")

    def _pause(self, reason: StreamerError, seconds: float) -> None:
        self._until = self.clock.monotonic() + seconds
        self._reason = reason
        _log.warning("lookups.waiting", reason=str(reason), tried_again_in_s=round(seconds, 1))
