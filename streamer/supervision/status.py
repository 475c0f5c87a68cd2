"""Status of a running daemon's parts, and the readiness that follows from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streamer.clock import Clock
from streamer.events import Channel
from streamer.ingest.channel_supervisor import ChannelState, ChannelStatus, ChannelSupervisor
from streamer.supervision.health import Health, ProbeKind, ProbeResult, State
from streamer.supervision.subscribers_condition import SubscribersCondition

_STEP_S = 0.02
# A single connection can break silently.
_OFTEN = 2


class Subscribed(Protocol):
    """A source's view of its subscriptions."""

    @property
    def subscribed(self) -> frozenset[str]:
        """Paths that Salesforce has accepted in the present session."""
        ...

    @property
    def overdue(self) -> Mapping[str, int]:
        """Consecutive connections that brought nothing in time, by path; healthy paths are absent."""
        ...


class LogCondition(Protocol):
    """A log's view of its condition."""

    @property
    def outage(self) -> str:
        """Reason for which the log can't be written or read at the moment; empty while it can."""
        ...

    @property
    def is_member(self) -> bool:
        """True while this process is a member of the group that shares the channels."""
        ...


@dataclass(slots=True)
class Status:
    """Condition of the daemon's parts.

    The app reports each event by one method; probes and gauges read the properties.
    """

    _log: LogCondition | None = field(default=None, init=False)
    _supervisor: ChannelSupervisor | None = field(default=None, init=False)
    _source: Subscribed | None = field(default=None, init=False)
    subscribers: SubscribersCondition = field(default_factory=SubscribersCondition, init=False)
    _log_wait: str = field(default="", init=False)
    _login_wait: str = field(default="", init=False)
    _ingests: bool = field(default=False, init=False)
    _stops: bool = field(default=False, init=False)

    def log_unavailable(self, reason: str) -> None:
        """Report that the log can't be opened, for `reason`; the app tries again."""
        self._log_wait = reason

    def log_opened(self, log: LogCondition) -> None:
        """Report that `log` is open."""
        self._log_wait = ""
        self._log = log

    def ingest_started(self) -> None:
        """Report that this process reads channels, and that it is not logged in yet."""
        self._ingests = True
        self._login_wait = "Not logged in to Salesforce yet."

    def login_failed(self, reason: str) -> None:
        """Report that Salesforce can't be reached, for `reason`; the login is tried again."""
        self._login_wait = reason

    def logged_in(self) -> None:
        """Report that Salesforce has accepted the login."""
        self._login_wait = ""

    def channels_opened(self, supervisor: ChannelSupervisor, source: Subscribed) -> None:
        """Report that `supervisor` shares the channels and `source` reads this process's."""
        self._supervisor, self._source = supervisor, source

    def stop_requested(self) -> None:
        """Report that the process drains and ends."""
        self._stops = True

    @property
    def log(self) -> LogCondition | None:
        """Open log; `None` before it is open."""
        return self._log

    @property
    def supervisor(self) -> ChannelSupervisor | None:
        """Supervisor of the channels; `None` before the first login, and in a process that reads none."""
        return self._supervisor

    @property
    def channels(self) -> Mapping[Channel, ChannelStatus]:
        """Status of each channel that this process owns."""
        return self._supervisor.status if self._supervisor else {}

    @property
    def subscribed(self) -> frozenset[str]:
        """Paths that Salesforce has accepted."""
        return self._source.subscribed if self._source else frozenset()

    @property
    def ingests(self) -> bool:
        """True in a process that reads channels."""
        return self._ingests

    @property
    def stops(self) -> bool:
        """True while the process drains and ends."""
        return self._stops

    @property
    def awaits_log(self) -> bool:
        """True while the log can't be opened, read or written."""
        return bool(self._log_wait or (self._log and self._log.outage))

    @property
    def awaits_login(self) -> bool:
        """True until Salesforce has accepted the login."""
        return bool(self._login_wait)

    @property
    def waits(self) -> Sequence[str]:
        """Reasons for waiting for the log or the login."""
        return [reason for reason in (self._log_wait, self._login_wait) if reason]

    @property
    def has_joined(self) -> bool:
        """True once this process is logged in, a member of the group, and has its first share of channels."""
        return bool(self._supervisor and self._supervisor.joined and self._log and self._log.is_member)

    @property
    def state(self) -> State:
        """State of the process in one word."""
        if self._stops:
            return State.STOPPING
        if (self._ingests and not self.has_joined) or self.subscribers.absent:
            return State.STARTING
        return State.ACTIVE if self.channels or self.subscribers.configured else State.STANDBY

    @property
    def is_complete(self) -> bool:
        """True while this process owns channels, all are subscribed, and all subscribers follow the log."""
        is_reading = bool(self.channels) and self.has_joined and not self.channel_problems()
        return is_reading and self.subscribers.all_follow

    def channel_problems(self) -> Sequence[str]:
        """Return a sentence for each owned channel that is not read."""
        problems = [
            f"{channel.path}: {each.reason}"
            for channel, each in self.channels.items()
            if each.state is not ChannelState.RUNNING
        ]
        problems += [
            f"{channel.path}: not subscribed yet"
            for channel, each in self.channels.items()
            if each.state is ChannelState.RUNNING and channel.path not in self.subscribed
        ]
        overdue = self._source.overdue if self._source else {}
        problems += [
            f"{channel.path}: Salesforce has left {times} connections in a row unanswered; each was replaced"
            for channel in self.channels
            if channel.path in self.subscribed and (times := overdue.get(channel.path, 0)) >= _OFTEN
        ]
        return problems

    async def followed(self, clock: Clock, *, within_s: float) -> None:
        """Wait until every subscriber follows the log, but for at most `within_s`.

        A new subscriber that starts at the latest event must not miss events that
        arrive while it is being set up.
        """
        end = clock.monotonic() + within_s
        while not self.subscribers.all_follow and clock.monotonic() < end:
            await clock.sleep(_STEP_S)


_STANDBY = (
    "Standby: the channels are read by other processes; this one is logged in and a member of the group."
)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Readiness probes of the daemon's parts.

    A target that is away leaves the process ready: its backlog stays in the
    log. The sentence of the subscribers says what is wrong with it.
    """

    status: Status

    def register(self, health: Health) -> None:
        """Add the probes to `health`."""
        health.register(ProbeKind.READINESS, "connections", self._connections)
        health.register(ProbeKind.READINESS, "log", self._log)
        health.register(ProbeKind.READINESS, "channels", self._channels)
        health.register(ProbeKind.READINESS, "subscribers", self._subscribers)

    def _connections(self) -> ProbeResult:
        if self.status.stops:
            return ProbeResult(ok=False, sentence="This process is stopping.")
        if self.status.waits:
            return ProbeResult(ok=False, sentence="; ".join(self.status.waits))
        return ProbeResult(ok=True, sentence="Nothing is being waited for.")

    def _log(self) -> ProbeResult:
        log = self.status.log
        if log is None:
            return ProbeResult(ok=False, sentence="The log is not open yet.")
        outage = log.outage
        return ProbeResult(ok=not outage, sentence=outage or "The log can be used.")

    def _channels(self) -> ProbeResult:
        if not self.status.ingests:
            return ProbeResult(ok=True, sentence="This process reads no channels.")
        if not self.status.has_joined:
            return ProbeResult(
                ok=False, sentence="This process has not joined the group that shares the channels yet."
            )
        channels, problems = self.status.channels, self.status.channel_problems()
        if not channels:
            return ProbeResult(ok=True, sentence=_STANDBY)
        return ProbeResult(
            ok=not problems, sentence="; ".join(problems) or f"Channels subscribed: {len(channels)}."
        )

    def _subscribers(self) -> ProbeResult:
        # A plugin that can't be opened waits for its target.
        if absent := sorted(self.status.subscribers.absent):
            return ProbeResult(ok=False, sentence=f"{', '.join(absent)}: no place in the log yet.")
        problems = [*self.status.subscribers.plugin_problems(), *self.status.subscribers.delivery_problems()]
        follow = f"Subscribers that follow the log: {len(self.status.subscribers.configured)}."
        return ProbeResult(ok=True, sentence="; ".join(problems) or follow)
