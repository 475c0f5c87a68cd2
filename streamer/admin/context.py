"""Context of the API's resources: the daemon's subscribers, its configuration in effect, and the open log."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from streamer.admin.events.tail import Tail
from streamer.admin.gate import WrongTokens
from streamer.admin.schemas import ApiError
from streamer.clock import Clock
from streamer.continuity import SnapshotForecaster
from streamer.controls import ControlState
from streamer.dispatch.delivery.enrichment import Enrichment
from streamer.dispatch.delivery.route import Route
from streamer.errors import LogUnavailable
from streamer.events import Event, JsonObject, SubscriberName
from streamer.observe.subscriber_status import ParkedKeys, SubscriberStatus
from streamer.ports import ControlledLog, RecordedPositions, Subscriber, Subscription
from streamer.settings import Settings, SubscriberSettings


class RunningSubscriber(Protocol):
    """Subscriber for which this process delivers."""

    @property
    def status(self) -> SubscriberStatus:
        """Present status of the subscriber."""
        ...

    def probe_now(self) -> None:
        """Try its target now: end a hold, and let an open breaker probe at once."""
        ...

    def parked(self, most: int, *, key: str | None = None) -> ParkedKeys:
        """Return the `most` parked keys that are due first; with `key` only its own."""
        ...


class CurrentPlan(Protocol):
    """Configuration in effect."""

    @property
    def settings(self) -> Settings:
        """Settings in effect."""
        ...

    @property
    def subscribers(self) -> Mapping[SubscriberName, Callable[[], Subscriber]]:
        """Factories of the subscribers' plugins."""
        ...

    @property
    def routes(self) -> Mapping[SubscriberName, Route]:
        """Predicate, projection and text of each subscriber."""
        ...

    def subscription(self, name: SubscriberName) -> Subscription:
        """Return what a subscriber selects of the log."""
        ...

    def admits(self, name: SubscriberName) -> Callable[[Event], bool]:
        """Return a test whether an event is for a subscriber, or can be with its look-ups.

        The test raises `BrokenRoute`.
        """
        ...


class Verdict(Protocol):
    """Treatment of an event by one subscriber, under the configuration in effect."""

    @property
    def matches(self) -> bool:
        """True when the event is for the subscriber, and its expressions do not fail on it."""
        ...

    @property
    def why(self) -> str:
        """Reason why it does not match; empty when it does."""
        ...

    @property
    def error(self) -> str:
        """Sentence of an expression that fails on the event; empty when none does."""
        ...

    @property
    def absent(self) -> Sequence[str]:
        """Names of receipts and looked-up records that are not known, and on which the verdict depends."""
        ...


class AdminLog(ControlledLog, RecordedPositions, Protocol):
    """Log, as operators look at it and control it."""


class DaemonState(Protocol):
    """Configured subscribers, and those for which this process delivers."""

    @property
    def plan(self) -> CurrentPlan:
        """Configuration in effect."""
        ...

    def enrichment(self, name: SubscriberName) -> Enrichment | None:
        """Return what looks records up for a subscriber, `None` where it needs none."""
        ...

    def verdict(self, name: SubscriberName, event: Event) -> Verdict:
        """Return what becomes of an event at a configured subscriber."""
        ...

    @property
    def dispatchers(self) -> Mapping[SubscriberName, RunningSubscriber]:
        """Subscribers for which this process delivers."""
        ...


MOST_SEARCHES = 4
"""Most searches for events at a time in one process: each holds some MB, and a thread."""
_SWITCHBOARD_TIMEOUT_S = 5.0
_NOT_OPEN = "The log is not open: the daemon is starting, stopping or waiting for it; see /readyz."


def _at_once(_board: ControlState) -> bool:
    return True


@dataclass(slots=True, kw_only=True)
class AdminContext:
    """Subscribers of this process, the log while it is open, and the org while it is read.

    `wrong_tokens` are counted for the API and the console together. `diagnose`
    returns the process's own state, once it is served.
    """

    daemon: DaemonState
    clock: Clock
    diagnose: Callable[[], Awaitable[JsonObject]] | None = field(default=None, init=False)
    _log: AdminLog | None = field(default=None, init=False)
    _tail: Tail | None = field(default=None, init=False)
    _forecaster: SnapshotForecaster | None = field(default=None, init=False)
    _searches: int = field(default=0, init=False)
    wrong_tokens: WrongTokens = field(init=False)

    def __post_init__(self) -> None:
        self.wrong_tokens = WrongTokens(clock=self.clock)

    @contextmanager
    def with_log(self, log: AdminLog) -> Iterator[None]:
        """Use `log` inside the context."""
        self._log = log
        self._tail = tail = Tail(log.history, self.clock)
        try:
            yield
        finally:
            self._log = self._tail = None
            tail.close()

    @contextmanager
    def with_forecaster(self, forecaster: SnapshotForecaster) -> Iterator[None]:
        """Use `forecaster` inside the context."""
        self._forecaster = forecaster
        try:
            yield
        finally:
            self._forecaster = None

    @contextmanager
    def searching(self) -> Iterator[None]:
        """Search for events inside the context. Raises `ApiError` 409 when there are too many searches."""
        if self._searches >= MOST_SEARCHES:
            raise ApiError(409, f"{MOST_SEARCHES} searches of this process are under way already: try again.")
        self._searches += 1
        try:
            yield
        finally:
            self._searches -= 1

    @property
    def forecaster(self) -> SnapshotForecaster | None:
        """Forecaster of snapshots while this process reads Salesforce, otherwise `None`."""
        return self._forecaster

    @property
    def log(self) -> AdminLog:
        """Open log. Raises `LogUnavailable` while there is none."""
        if self._log is None:
            raise LogUnavailable(_NOT_OPEN)
        return self._log

    @property
    def tail(self) -> Tail:
        """Newest events of the open log. Raises `LogUnavailable` while there is none."""
        if self._tail is None:
            raise LogUnavailable(_NOT_OPEN)
        return self._tail

    def subscriber_settings(self, name: str) -> SubscriberSettings:
        """Return the settings of the subscriber `name`. Raises `ApiError` when it is not configured."""
        subscribers = self.daemon.plan.settings.subscribers
        if name not in subscribers:
            known = ", ".join(sorted(subscribers)) or "none"
            raise ApiError(404, f"There is no subscriber of that name; configured: {known}.")
        return subscribers[SubscriberName(name)]

    async def control_state(self, until: Callable[[ControlState], bool] = _at_once) -> ControlState:
        """Return the first control state for which `until` is true.

        Raises `LogUnavailable` when the log shows none within 5 s.
        """
        try:
            async with (
                self.clock.timeout(_SWITCHBOARD_TIMEOUT_S),
                aclosing(self.log.controls.switched()) as boards,
            ):
                async for board in boards:
                    if until(board):
                        return board
        except TimeoutError:
            raise LogUnavailable(
                f"The log did not show its switches within {_SWITCHBOARD_TIMEOUT_S:g} s. A change that was "
                "just requested can still take effect."
            ) from None
        raise LogUnavailable("The log was closed: the daemon is stopping.")
