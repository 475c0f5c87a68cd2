"""Context of the API's resources: the daemon's subscribers and the open log."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field

from streamer.admin.errors import ApiError
from streamer.admin.events.tail import Tail
from streamer.admin.gate import WrongTokens
from streamer.admin.ports import AdminLog, DaemonState
from streamer.clock import Clock
from streamer.continuity import SnapshotForecaster
from streamer.controls import ControlState
from streamer.errors import LogUnavailable
from streamer.events import JsonObject, SubscriberName
from streamer.settings import SubscriberSettings

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
