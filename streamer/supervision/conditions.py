"""Conditions of the log, the reading of Salesforce, and the subscribers, with their readiness probes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streamer.clock import Clock
from streamer.events import Channel, SubscriberName
from streamer.ingest.channel_supervisor import ChannelState, ChannelStatus, ChannelSupervisor
from streamer.observe.subscriber_status import SubscriberStatus
from streamer.supervision.health import Health, ProbeKind, ProbeResult

# A single broken connection is not a fault yet.
_OFTEN = 2
_STANDBY = (
    "This process is on standby: other processes read the channels. This process has logged in, and has "
    "joined the group."
)
_STEP_S = 0.02


class LogView(Protocol):
    """A log's view of its condition."""

    @property
    def outage(self) -> str:
        """Reason why the log can't be written or read now; empty while the log works."""
        ...

    @property
    def is_member(self) -> bool:
        """True while this process is a member of the group of processes that share the channels."""
        ...

    @property
    def schema_outage(self) -> str:
        """Reason why new schemas of events can't be read or registered now; empty while they can."""
        ...


@dataclass(slots=True)
class LogCondition:
    """Condition of the log, before and after its opening."""

    _log: LogView | None = field(default=None, init=False)
    _opening_wait: str = field(default="", init=False)

    def unavailable(self, reason: str) -> None:
        """Report that the log can't be opened for `reason`, and that the app will retry."""
        self._opening_wait = reason

    def opened(self, log: LogView) -> None:
        """Report that `log` is open."""
        self._opening_wait = ""
        self._log = log

    @property
    def opening_wait(self) -> str:
        """Reason why the log can't be opened; empty before the first try, and once the log is open."""
        return self._opening_wait

    @property
    def outage(self) -> str:
        """Reason why the open log can't be written or read now; empty while it works, or is not open."""
        return self._log.outage if self._log else ""

    @property
    def schema_outage(self) -> str:
        """Reason why new schemas can't be read or registered now; empty while they can."""
        return self._log.schema_outage if self._log else ""

    @property
    def is_usable(self) -> bool:
        """True while the log is open, and can be read and written."""
        return self._log is not None and not self._log.outage

    @property
    def is_awaited(self) -> bool:
        """True while the log can't be opened, read or written."""
        return bool(self._opening_wait or (self._log and self._log.outage))

    @property
    def is_member(self) -> bool:
        """True while this process is a member of the group of processes that share the channels."""
        return self._log is not None and self._log.is_member

    def register(self, health: Health) -> None:
        """Add the probe to `health`."""
        health.register(ProbeKind.READINESS, "log", self._readiness)

    def _readiness(self) -> ProbeResult:
        if self._log is None:
            return ProbeResult(ok=False, sentence="The log is not open yet.")
        outage = self._log.outage
        return ProbeResult(ok=not outage, sentence=outage or "The log is open, and can be used.")


class Subscribed(Protocol):
    """A source's view of its subscriptions."""

    @property
    def subscribed(self) -> frozenset[str]:
        """Paths that Salesforce has accepted in the current session."""
        ...

    @property
    def overdue(self) -> Mapping[str, int]:
        """Number of consecutive connections without an answer in time, by path; healthy paths are absent."""
        ...


@dataclass(slots=True)
class ReadingCondition:
    """Condition of the login and of this process's channels.

    The members of the log's group share the channels.
    """

    _log: LogCondition
    _supervisor: ChannelSupervisor | None = field(default=None, init=False)
    _source: Subscribed | None = field(default=None, init=False)
    _login_wait: str = field(default="", init=False)
    _instance_url: str = field(default="", init=False)
    _has_begun: bool = field(default=False, init=False)

    def started(self) -> None:
        """Report that this process will read channels, but is not logged in yet."""
        self._has_begun = True
        self._login_wait = "This process has not logged in to Salesforce yet."

    def login_failed(self, reason: str) -> None:
        """Report that the login failed for `reason`, and that another try follows."""
        self._login_wait = reason

    def logged_in(self, instance_url: str = "") -> None:
        """Report that Salesforce has accepted the login, and named the org's own address."""
        self._login_wait, self._instance_url = "", instance_url

    def channels_opened(self, supervisor: ChannelSupervisor, source: Subscribed) -> None:
        """Report that `supervisor` divides the channels, and `source` reads this process's share."""
        self._supervisor, self._source = supervisor, source

    @property
    def has_begun(self) -> bool:
        """True in a process that reads channels."""
        return self._has_begun

    @property
    def login_wait(self) -> str:
        """Reason why Salesforce has not accepted the login yet; empty after the login."""
        return self._login_wait

    @property
    def instance_url(self) -> str:
        """Org's own address; empty before the login."""
        return self._instance_url

    @property
    def supervisor(self) -> ChannelSupervisor | None:
        """Supervisor of the channels, or `None` before the first login and in a process without channels."""
        return self._supervisor

    @property
    def channels(self) -> Mapping[Channel, ChannelStatus]:
        """Status of each channel that this process owns.

        A channel that is retried keeps the status of its failure until Salesforce has
        accepted the subscription.
        """
        statuses = self._supervisor.status if self._supervisor else {}
        subscribed = self.subscribed
        return {
            channel: status.earlier_failure
            if status.earlier_failure and channel.path not in subscribed
            else status
            for channel, status in statuses.items()
        }

    @property
    def subscribed(self) -> frozenset[str]:
        """Paths that Salesforce has accepted."""
        return self._source.subscribed if self._source else frozenset()

    @property
    def has_joined(self) -> bool:
        """True once this process has logged in, joined the group, and got its first share of channels."""
        return bool(self._supervisor and self._supervisor.joined and self._log.is_member)

    @property
    def is_complete(self) -> bool:
        """True while this process owns channels, and has subscribed to all of them."""
        return bool(self.channels) and self.has_joined and not self.problems()

    def problems(self) -> Sequence[str]:
        """Return a sentence for each owned channel that this process does not read."""
        problems = [
            f"{channel.path}: {each.reason}"
            for channel, each in self.channels.items()
            if each.state is not ChannelState.RUNNING
        ]
        problems += [
            f"{channel.path}: Streamer has not subscribed to the channel yet"
            for channel, each in self.channels.items()
            if each.state is ChannelState.RUNNING and channel.path not in self.subscribed
        ]
        overdue = self._source.overdue if self._source else {}
        problems += [
            (
                f"{channel.path}: Salesforce has not answered on {times} connections in a row; Streamer "
                "replaced each connection"
            )
            for channel in self.channels
            if channel.path in self.subscribed and (times := overdue.get(channel.path, 0)) >= _OFTEN
        ]
        return problems

    def register(self, health: Health) -> None:
        """Add the probe to `health`."""
        health.register(ProbeKind.READINESS, "channels", self._readiness)

    def _readiness(self) -> ProbeResult:
        if not self._has_begun:
            return ProbeResult(ok=True, sentence="This process reads no channels.")
        if not self.has_joined:
            return ProbeResult(
                ok=False, sentence="This process has not joined the group that shares the channels yet."
            )
        channels, problems = self.channels, self.problems()
        if not channels:
            return ProbeResult(ok=True, sentence=_STANDBY)
        return ProbeResult(
            ok=not problems, sentence="; ".join(problems) or f"Channels subscribed: {len(channels)}."
        )


class DispatcherStatus(Protocol):
    """A dispatcher's view of its condition."""

    @property
    def following(self) -> bool:
        """True once the dispatcher follows the log from its own position."""
        ...

    @property
    def status(self) -> SubscriberStatus:
        """Current status of the subscriber."""
        ...

    @property
    def stalled_since(self) -> float | None:
        """Monotonic time since when possible work has not been done, or `None` while work continues."""
        ...

    @property
    def unrecorded_since(self) -> float | None:
        """Time since when the log has not recorded finished deliveries, in monotonic seconds, or `None`."""
        ...


@dataclass(slots=True)
class SubscribersCondition:
    """Condition of the subscribers that should follow the log."""

    _dispatchers: dict[SubscriberName, DispatcherStatus] = field(default_factory=dict, init=False)
    _configured: frozenset[SubscriberName] = field(default=frozenset(), init=False)
    _blocked_plugins: dict[SubscriberName, str] = field(default_factory=dict, init=False)

    def expect(self, names: Collection[SubscriberName]) -> None:
        """Report that exactly the subscribers `names` will follow the log."""
        self._configured = frozenset(names)

    def started(self, name: SubscriberName, dispatcher: DispatcherStatus) -> None:
        """Report that `dispatcher` delivers for `name`, and has replaced any earlier dispatcher of `name`."""
        self._dispatchers[name] = dispatcher

    def blocked(self, name: SubscriberName, reason: str) -> None:
        """Report that the plugin of `name` can't be opened for `reason`, and that another try follows."""
        self._blocked_plugins[name] = reason

    def unblocked(self, name: SubscriberName) -> None:
        """Report that the plugin of `name` is open, so that `name` no longer waits for it."""
        self._blocked_plugins.pop(name, None)

    def ended(self, name: SubscriberName) -> None:
        """Report that this process no longer delivers for `name`."""
        self._dispatchers.pop(name, None)
        self._blocked_plugins.pop(name, None)

    @property
    def dispatchers(self) -> Mapping[SubscriberName, DispatcherStatus]:
        """Dispatchers of this process by subscriber."""
        return self._dispatchers

    @property
    def configured(self) -> frozenset[SubscriberName]:
        """Configured subscribers, which should all follow the log."""
        return self._configured

    @property
    def following(self) -> frozenset[SubscriberName]:
        """Subscribers that follow the log."""
        return frozenset(name for name, each in self._dispatchers.items() if each.following)

    @property
    def absent(self) -> frozenset[SubscriberName]:
        """Configured subscribers that do not follow the log, except those whose plugin can't be opened."""
        return self._configured - self.following - self._blocked_plugins.keys()

    @property
    def blocked_plugins(self) -> Mapping[SubscriberName, str]:
        """Reason of each subscriber that does not follow the log because its plugin can't be opened."""
        following = self.following
        return {name: reason for name, reason in self._blocked_plugins.items() if name not in following}

    def plugin_problems(self) -> Sequence[str]:
        """Return a sentence for each subscriber that does not follow the log because of its plugin."""
        return [f"{name}: {reason}" for name, reason in self.blocked_plugins.items()]

    def delivery_problems(self) -> Sequence[str]:
        """Return a sentence for each subscriber whose events are not delivered now."""
        troubles = {name: each.status.trouble for name, each in self._dispatchers.items() if each.following}
        return [f"{name}: {trouble}" for name, trouble in troubles.items() if trouble]

    @property
    def all_follow(self) -> bool:
        """True while all configured subscribers follow the log."""
        return self.following >= self._configured

    async def followed(self, clock: Clock, *, within_s: float) -> None:
        """Wait until every subscriber follows the log, but at most `within_s` seconds.

        Without this wait, a new subscriber that starts at the latest event could miss
        events that arrive during its start.
        """
        end = clock.monotonic() + within_s
        while not self.all_follow and clock.monotonic() < end:
            await clock.sleep(_STEP_S)

    def register(self, health: Health) -> None:
        """Add the probe to `health`.

        A process with an unavailable target stays ready, because the log keeps the
        backlog. The probe's sentence names the target's problem.
        """
        health.register(ProbeKind.READINESS, "subscribers", self._readiness)

    def _readiness(self) -> ProbeResult:
        # A subscriber whose plugin can't be opened waits for its target, so it is not `absent`.
        if absent := sorted(self.absent):
            return ProbeResult(
                ok=False, sentence=f"These subscribers have no position in the log yet: {', '.join(absent)}."
            )
        problems = [*self.plugin_problems(), *self.delivery_problems()]
        follow = f"Subscribers that follow the log: {len(self._configured)}."
        return ProbeResult(ok=True, sentence="; ".join(problems) or follow)
