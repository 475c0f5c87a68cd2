"""Status of a running daemon, from the conditions of its parts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from streamer.supervision.conditions import (
    LogCondition,
    ReadingCondition,
    StatesCondition,
    SubscribersCondition,
)
from streamer.supervision.health import Health, ProbeKind, ProbeResult, State


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
