"""Monitor of the org's limits: reads them every five minutes, and warns before events run out."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Protocol

import structlog

from streamer.backoff import Backoff, Delays
from streamer.clock import Clock
from streamer.errors import RetryLater, SalesforceUnavailable, StreamerError
from streamer.quota.limits import Limit, LimitsReading, OrgLimit, limits_of
from streamer.salesforce.rest import RequestRefused

WINDOW_S = 3600.0
"""Time span in seconds of the readings that determine the rate."""

# Salesforce's numbers are accurate within five minutes, so a shorter time gives no rate.
_LEAST_S = 900.0
_HORIZON_S = 24 * 3600.0
_MOST_READINGS = 64

_log = structlog.get_logger()

_EVERY_S = 300.0
_FRESH_S = 10.0
_HOUR_S = 3600.0
_BACKOFF = Backoff(first_s=60.0, limit_s=_HOUR_S)
# After a day, a rolling 24 hours no longer contains earlier use.
_OLDEST_S = 24 * _HOUR_S
_SOON_S = 6 * _HOUR_S
_LATE_S = 9 * _HOUR_S


@dataclass(slots=True)
class Forecast:
    """Extrapolates the remainder of an allowance in a rolling 24 hours.

    The remainder falls with use, and recovers 24 hours after the use; only the sum
    of use and recovery can be seen. The forecast assumes that the last hour's trend
    continues. There is no forecast in three cases: less than 15 minutes are known,
    the remainder does not fall, or the remainder lasts for more than 24 hours,
    because today's use has recovered by then.
    """

    _readings: deque[tuple[float, Limit]] = field(default_factory=lambda: deque(maxlen=_MOST_READINGS))

    def add(self, limit: Limit | None, read_at: float) -> None:
        """Add a reading at `read_at` in monotonic seconds; `None` if the org does not have the limit."""
        if limit is None or (self._readings and self._readings[-1][1].most != limit.most):
            # If the maximum has changed, the difference of two remainders does not measure use.
            self._readings.clear()
        if limit is not None:
            self._readings.append((read_at, limit))
        self.forget_before(read_at - WINDOW_S)

    def forget_before(self, read_at: float) -> None:
        """Drop the readings before `read_at`."""
        while self._readings and self._readings[0][0] < read_at:
            self._readings.popleft()

    def seconds_left(self) -> float | None:
        """Return the seconds between the last reading and the end of the allowance, or `None`."""
        if not self._readings or not self._readings[-1][1].most:
            return None
        (began, first), (ended, last) = self._readings[0], self._readings[-1]
        if not last.remaining:
            return 0.0
        used, seconds = first.remaining - last.remaining, ended - began
        if seconds < _LEAST_S or used <= 0:
            return None
        left_s = last.remaining * seconds / used
        return left_s if left_s <= _HORIZON_S else None


def headroom(limit: Limit) -> float | None:
    """Return how many times the use of the last 24 hours fits into a rolling allowance.

    At an even rate, use recovers a day later, so one reading is enough: the rate can
    continue if the result is at least 1.0. `None` if nothing was used.
    """
    used = limit.most - limit.remaining
    return limit.most / used if used > 0 else None


class LimitsObserver(Protocol):
    """Records the org's limits. Its methods must not block or raise."""

    def limits_read(self, limits: Mapping[str, tuple[int, int]], at: float) -> None:
        """The limits were read at `at` (epoch seconds); `limits` has each maximum and remainder by name."""
        ...

    def used_up(self, limit: str, at: float | None) -> None:
        """The forecast says that a limit will be used up at `at` (epoch seconds).

        `None` means no forecast.
        """
        ...

    def forgotten(self) -> None:
        """The limits are no longer read."""
        ...


@dataclass(slots=True, kw_only=True)
class _Failures:
    """Consecutive failures to read the limits: the delays after the failures, and the last logged kind."""

    delays: Delays = field(default_factory=lambda: Delays(_BACKOFF))
    logged: type[StreamerError] | None = None

    def note(self, error: StreamerError, reason: str, pause_s: float) -> None:
        """Log the failure if it is the first failure of its kind."""
        # A refusal needs an operator, so it is logged even after a transient failure.
        if type(error) is not self.logged:
            self.logged = type(error)
            _log.warning("limits.not_read", reason=reason, tried_again_in_s=round(pause_s))

    def end(self) -> None:
        """Record that the limits were read."""
        if self.logged is not None:
            self.logged = None
            _log.info("limits.read_again")
        self.delays.reset()


@dataclass(slots=True, kw_only=True)
class _EventsLeft:
    """Forecast of the end of the delivered events; logs when the end becomes near or no longer is near."""

    observer: LimitsObserver
    _forecast: Forecast = field(default_factory=Forecast, init=False)
    _runs_out: bool = field(default=False, init=False)

    def add(self, delivered: Limit | None, read_at: float, now: float) -> None:
        """Add a reading, at `read_at` in monotonic seconds and `now` in epoch seconds."""
        self._forecast.add(delivered, read_at)
        left_s = self._forecast.seconds_left()
        used_up_at = None if left_s is None else now + left_s
        self.observer.used_up(OrgLimit.DELIVERED_EVENTS.value, used_up_at)
        self._tell(delivered, left_s, used_up_at)

    def age(self, read_at: float) -> None:
        """Without a new reading, drop readings that are too old at `read_at` (monotonic seconds)."""
        self._forecast.forget_before(read_at - WINDOW_S)
        if self._forecast.seconds_left() is None:
            self.observer.used_up(OrgLimit.DELIVERED_EVENTS.value, None)

    def _tell(self, delivered: Limit | None, left_s: float | None, used_up_at: float | None) -> None:
        remaining = delivered.remaining if delivered else None
        if used_up_at is not None and left_s is not None and left_s <= _SOON_S and not self._runs_out:
            self._runs_out = True
            _log.warning(
                "delivered_events.run_out",
                used_up_at=_iso(used_up_at),
                remaining=remaining,
                most=delivered.most if delivered else None,
                reason="at the rate of the last hour, the allowance will be used up; after that, Salesforce "
                "delivers events to no client until events of earlier hours no longer count (after "
                "24 hours)",
            )
        elif self._runs_out and (left_s is None or left_s > _LATE_S):
            self._runs_out = False
            _log.info("delivered_events.suffice", remaining=remaining)


@dataclass(slots=True, kw_only=True)
class LimitsMonitor:
    """Reads the limits of one org while `run` is running, and keeps the latest reading.

    `read` returns the answer to `GET …/limits`, which is accurate within five minutes
    and costs a request. A failure affects nothing else. Reading needs the permission
    View Setup and Configuration: a refusal is logged once, and the limits are then
    requested every hour.
    """

    read: Callable[[], Awaitable[Any]]
    clock: Clock
    observer: LimitsObserver
    _reading: LimitsReading | None = field(default=None, init=False)
    _tried: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _events_left: _EventsLeft = field(init=False)
    _failures: _Failures = field(default_factory=_Failures, init=False)
    _renewable_at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        """Start without a reading."""
        self._events_left = _EventsLeft(observer=self.observer)

    @property
    def latest(self) -> LimitsReading | None:
        """Latest reading, or `None` if there is no reading or the latest reading is a day old."""
        reading = self._reading
        if reading is None or self.clock.monotonic() - reading.read_at > _OLDEST_S:
            return None
        return reading

    async def renew(self) -> None:
        """Read the limits now, unless a reading was tried a few seconds ago or was refused."""
        if self.clock.monotonic() >= self._renewable_at:
            await self._next()

    async def tried(self, within_s: float) -> None:
        """Wait until the limits have been requested once, successfully or not, but at most `within_s`."""
        if self._tried.is_set():
            return
        try:
            async with self.clock.timeout(within_s):
                await self._tried.wait()
        except TimeoutError:
            return

    async def run(self) -> None:
        """Read the limits until this task is cancelled."""
        try:
            while True:
                pause_s = await self._next()
                self._tried.set()
                await self.clock.sleep(pause_s)
        finally:
            self.observer.forgotten()

    async def _next(self) -> float:
        """Read the limits once, and return the seconds until the next reading."""
        pause_s = await self._asked()
        is_read = pause_s == _EVERY_S
        self._renewable_at = self.clock.monotonic() + (_FRESH_S if is_read else pause_s)
        return pause_s

    async def _asked(self) -> float:
        try:
            limits = limits_of(await self.read())
            if not limits:
                raise SalesforceUnavailable(
                    "the answer to GET limits contains no limit that this version of Streamer knows"
                )
        except RequestRefused as error:
            self._not_read(error, _refusal(error), _HOUR_S)
            return _HOUR_S
        except StreamerError as error:
            asked_s = (error.after_s if isinstance(error, RetryLater) else None) or 0.0
            pause_s = max(asked_s, self._failures.delays.next_s())
            self._not_read(error, str(error), pause_s)
            return pause_s
        self._take(limits)
        return _EVERY_S

    def _not_read(self, error: StreamerError, reason: str, pause_s: float) -> None:
        self._failures.note(error, reason, pause_s)
        self._events_left.age(self.clock.monotonic())

    def _take(self, limits: Mapping[OrgLimit, Limit]) -> None:
        self._failures.end()
        now = self.clock.now()
        reading = self._reading = LimitsReading(limits=limits, at=now, read_at=self.clock.monotonic())
        told = {each.value: (limit.most, limit.remaining) for each, limit in limits.items()}
        self.observer.limits_read(told, now)
        self._events_left.add(limits.get(OrgLimit.DELIVERED_EVENTS), reading.read_at, now)


def _refusal(error: RequestRefused) -> str:
    if error.status != HTTPStatus.FORBIDDEN:
        return str(error)
    return (
        f"{error}: give the user of org.auth the permission View Setup and Configuration. Until then, "
        "Streamer has no metrics of the org's limits, and starts replays without checking the remaining "
        "events"
    )


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
