"""Context of the API's resources: the daemon's subscribers, its current configuration, and the open log."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from streamer.admin.events.tail import Tail
from streamer.admin.gate import WrongTokens
from streamer.admin.problems.findings import ProcessCondition
from streamer.admin.processes.reports import OwnReports, ProcessReports
from streamer.admin.schemas import ApiError
from streamer.clock import Clock
from streamer.continuity import SnapshotForecaster
from streamer.controls import ControlState
from streamer.dispatch.delivery.enrichment import Enrichment
from streamer.dispatch.delivery.route import Route
from streamer.errors import LogUnavailable
from streamer.events import Entry, Event, JsonObject, SubscriberName
from streamer.observe.subscriber_status import ParkedKeys, Standing, SubscriberStatus
from streamer.ports import ControlledLog, RecordedPositions, Subscriber, Subscription
from streamer.settings import Settings, SubscriberSettings


class RunningSubscriber(Protocol):
    """Subscriber that this process delivers to."""

    @property
    def status(self) -> SubscriberStatus:
        """Current status of the subscriber."""
        ...

    def probe_now(self) -> None:
        """Try the target now: end a hold, and let an open breaker probe at once."""
        ...

    def parked(self, most: int, *, key: str | None = None) -> ParkedKeys:
        """Return up to `most` parked keys in the sequence of their due times; with `key`, only this key."""
        ...

    def standing(self, entry: Entry) -> Standing | None:
        """Return whether an event waits, is retried or is settled.

        `None` if another process owns its partition.
        """
        ...


class CurrentPlan(Protocol):
    """Configuration in effect."""

    @property
    def settings(self) -> Settings:
        """Settings in effect."""
        ...

    @property
    def sources(self) -> Sequence[Path]:
        """Absolute paths of the configuration's files, or none without a file."""
        ...

    @property
    def subscribers(self) -> Mapping[SubscriberName, Callable[[], Subscriber]]:
        """Factories of the subscribers' plugins."""
        ...

    @property
    def routes(self) -> Mapping[SubscriberName, Route]:
        """Compiled expressions and templates of each subscriber."""
        ...

    def subscription(self, name: SubscriberName) -> Subscription:
        """Return a subscriber's selection of events in the log."""
        ...

    def shown_when(self, name: SubscriberName) -> str | None:
        """Return a subscriber's `when`; a value from the environment or from a file is masked."""
        ...

    def admits(self, name: SubscriberName) -> Callable[[Event], bool]:
        """Return a test that is true for events that a subscriber gets, or can get if look-ups permit it.

        Calling the test raises `BrokenRoute` when the route fails on the event.
        """
        ...


class Verdict(Protocol):
    """Treatment of an event by one subscriber, under the current configuration."""

    @property
    def matches(self) -> bool:
        """True when the subscriber gets the event, and no expression fails on it."""
        ...

    @property
    def why(self) -> str:
        """Reason why the event does not match; empty when it matches."""
        ...

    @property
    def error(self) -> str:
        """Error of the expression that fails on the event; empty when no expression fails."""
        ...

    @property
    def absent(self) -> Sequence[str]:
        """Names of unknown receipts and looked-up records that the verdict depends on."""
        ...


class AdminLog(ControlledLog, RecordedPositions, Protocol):
    """Log with the operations that operators need."""


class DaemonState(Protocol):
    """Configured subscribers, and the dispatchers of this process."""

    @property
    def plan(self) -> CurrentPlan:
        """Configuration in effect."""
        ...

    def enrichment(self, name: SubscriberName) -> Enrichment | None:
        """Return the enrichment that looks up a subscriber's records, or `None` without look-ups."""
        ...

    def verdict(self, name: SubscriberName, event: Event) -> Verdict:
        """Return a configured subscriber's treatment of an event."""
        ...

    @property
    def dispatchers(self) -> Mapping[SubscriberName, RunningSubscriber]:
        """Subscribers that this process delivers to."""
        ...


MOST_SEARCHES = 4
"""Largest number of simultaneous searches for events in one process. A search needs some MB and a thread."""
_SWITCHBOARD_TIMEOUT_S = 5.0
_NOT_OPEN = (
    "The log is not open, because the daemon is starting, stopping or waiting for the log; see /readyz."
)


def _at_once(_board: ControlState) -> bool:
    return True


@dataclass(slots=True, kw_only=True)
class ProcessViews:
    """Functions by which a running daemon shows its own state.

    `diagnose` returns the state for a support bundle, and `flow` the map of the flow as
    JSON. Both are `None` before the daemon serves them. `condition` returns the
    condition of this process. `forecaster` forecasts snapshots while Salesforce is read.
    """

    diagnose: Callable[[], Awaitable[JsonObject]] | None = None
    flow: Callable[[], Awaitable[JsonObject]] | None = None
    condition: Callable[[], ProcessCondition] = ProcessCondition
    forecaster: SnapshotForecaster | None = None


@dataclass(slots=True, kw_only=True)
class AdminContext:
    """Subscribers of this process, the log while it is open, and the views of the process.

    `reports` has the reports of the other processes that share the log. `wrong_tokens`
    counts the wrong tokens at the API and at the console together.
    """

    daemon: DaemonState
    clock: Clock
    views: ProcessViews = field(default_factory=ProcessViews, init=False)
    reports: ProcessReports = field(init=False)
    _log: AdminLog | None = field(default=None, init=False)
    _tail: Tail | None = field(default=None, init=False)
    _searches: int = field(default=0, init=False)
    wrong_tokens: WrongTokens = field(init=False)

    def __post_init__(self) -> None:
        self.wrong_tokens = WrongTokens(clock=self.clock)
        own = OwnReports(clock=self.clock, records=lambda: self.log.processes)
        self.reports = ProcessReports(own=own)

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
        self.views.forecaster = forecaster
        try:
            yield
        finally:
            self.views.forecaster = None

    @contextmanager
    def searching(self) -> Iterator[None]:
        """Reserve one of the searches for events. Raises `ApiError` 409 while too many searches run."""
        if self._searches >= MOST_SEARCHES:
            raise ApiError(
                409,
                f"This process already runs {MOST_SEARCHES} searches, which is the limit: try again later.",
            )
        self._searches += 1
        try:
            yield
        finally:
            self._searches -= 1

    @property
    def forecaster(self) -> SnapshotForecaster | None:
        """Forecaster of snapshots, or `None` while this process does not read Salesforce."""
        return self.views.forecaster

    @property
    def log(self) -> AdminLog:
        """Open log. Raises `LogUnavailable` while no log is open."""
        if self._log is None:
            raise LogUnavailable(_NOT_OPEN)
        return self._log

    @property
    def tail(self) -> Tail:
        """Newest events of the open log. Raises `LogUnavailable` while no log is open."""
        if self._tail is None:
            raise LogUnavailable(_NOT_OPEN)
        return self._tail

    @property
    def blocked_plugins(self) -> Mapping[SubscriberName, str]:
        """Reasons why plugins can't be opened, here or in another process."""
        elsewhere = {
            name: found.blocked
            for _, state in self.reports.answering
            for name, found in state.subscribers.items()
            if found.blocked
        }
        return {**elsewhere, **self.views.condition().blocked_plugins}

    def subscriber_settings(self, name: str) -> SubscriberSettings:
        """Return the settings of the subscriber `name`. Raises `ApiError` for an unknown subscriber."""
        subscribers = self.daemon.plan.settings.subscribers
        if name not in subscribers:
            known = ", ".join(sorted(subscribers)) or "none"
            raise ApiError(404, f"No configured subscriber has this name; configured subscribers: {known}.")
        return subscribers[SubscriberName(name)]

    async def control_state(self, until: Callable[[ControlState], bool] = _at_once) -> ControlState:
        """Return the first control state for which `until` is true.

        Raises `LogUnavailable` if the log shows no such state within 5 s.
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
                f"The log did not answer within {_SWITCHBOARD_TIMEOUT_S:g} s. A change that you just "
                "requested can still take effect."
            ) from None
        raise LogUnavailable("The log is closed, because the daemon is stopping.")
