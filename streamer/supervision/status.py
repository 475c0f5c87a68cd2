"""Status of a running daemon, from the conditions of its parts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streamer.supervision.conditions import LogCondition, ReadingCondition, SubscribersCondition
from streamer.supervision.health import Health, ProbeKind, ProbeResult, State


class StateKeeping(Protocol):
    """A view of the keeper of record states."""

    @property
    def following(self) -> bool:
        """True while the keeper follows the log."""
        ...

    @property
    def busy_since(self) -> float | None:
        """Monotonic time since which the keeper works on the same events; `None` while it waits."""
        ...


@dataclass(slots=True)
class StatesCondition:
    """Condition of the record states, in a process that keeps any."""

    _keeper: StateKeeping | None = field(default=None, init=False)

    def started(self, keeper: StateKeeping) -> None:
        """Report that `keeper` keeps states in this process."""
        self._keeper = keeper

    @property
    def is_configured(self) -> bool:
        """True in a process that keeps states."""
        return self._keeper is not None

    @property
    def is_following(self) -> bool:
        """True unless the keeper does not follow the log."""
        return self._keeper is None or self._keeper.following

    @property
    def busy_since(self) -> float | None:
        """Monotonic time since which the keeper works on the same events; `None` while it waits."""
        return None if self._keeper is None else self._keeper.busy_since

    def register(self, health: Health) -> None:
        """Add the probe to `health`."""
        health.register(ProbeKind.READINESS, "states", self._readiness)

    def _readiness(self) -> ProbeResult:
        if not self.is_following:
            return ProbeResult(ok=False, sentence="The keeper of record states does not follow the log.")
        follows = "The keeper of record states follows the log."
        return ProbeResult(
            ok=True, sentence=follows if self.is_configured else "This process keeps no record states."
        )


@dataclass(slots=True)
class Status:
    """Status of a daemon. The app reports changes to the conditions; probes and gauges read them."""

    log: LogCondition = field(default_factory=LogCondition, init=False)
    reading: ReadingCondition = field(init=False)
    subscribers: SubscribersCondition = field(default_factory=SubscribersCondition, init=False)
    states: StatesCondition = field(default_factory=StatesCondition, init=False)
    _stops: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        """Connect the reading's condition with the log's group."""
        self.reading = ReadingCondition(self.log)

    def stop_requested(self) -> None:
        """Report that the process drains and then ends."""
        self._stops = True

    @property
    def waits(self) -> Sequence[str]:
        """Reasons for waiting for the log or the login."""
        return [reason for reason in (self.log.opening_wait, self.reading.login_wait) if reason]

    @property
    def state(self) -> State:
        """State of the process in one word."""
        if self._stops:
            return State.STOPPING
        if (self.reading.has_begun and not self.reading.has_joined) or self.subscribers.absent:
            return State.STARTING
        works = self.reading.channels or self.subscribers.configured or self.states.is_configured
        return State.ACTIVE if works else State.STANDBY

    @property
    def is_complete(self) -> bool:
        """True while this process reads its channels (at least one), and all subscribers follow the log."""
        return self.reading.is_complete and self.subscribers.all_follow

    def register(self, health: Health) -> None:
        """Add the readiness probes to `health`: for the stop, for waiting, and for the parts."""
        health.register(ProbeKind.READINESS, "connections", self._connections)
        for part in (self.log, self.reading, self.subscribers, self.states):
            part.register(health)

    def _connections(self) -> ProbeResult:
        if self._stops:
            return ProbeResult(ok=False, sentence="This process is stopping.")
        waits = self.waits
        return ProbeResult(
            ok=not waits, sentence="; ".join(waits) or "The process has its log and its login."
        )
