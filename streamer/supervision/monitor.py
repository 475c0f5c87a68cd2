"""Monitor: updates a running daemon's gauges, and detects parts that have stalled for an unknown reason."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import structlog

from streamer.channel_paths import ChannelKind
from streamer.clock import Clock
from streamer.events import Channel, SubscriberName
from streamer.observe.metrics import Metrics
from streamer.observe.process import Pulses
from streamer.settings import Settings
from streamer.supervision.conditions import DispatcherStatus
from streamer.supervision.health import Health, ProbeKind, ProbeResult, State
from streamer.supervision.stacks import stacks
from streamer.supervision.status import Status

_APPENDS = 6.0
_ATTEMPTS = 2.0
_ASLEEP_S = 10.0
_INTERVAL_S = 1.0
# A rolling restart or a short outage of a broker ends sooner.
_RECORDED_WITHIN_S = 30.0
# The warning comes six hours before the end of a retention of three days, or two hours before the
# end of one day.
_LAST_PART = 1 / 12
_HOUR_S = 3600.0

_log = structlog.get_logger()


class PartKind(StrEnum):
    """Kind of part that can be stuck."""

    THREAD = "thread"
    CHANNEL = "channel"
    SUBSCRIBER = "subscriber"
    STATES = "states"


Name = tuple[PartKind, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Activity of one part; `since` is the monotonic time of the part's last progress.

    `since` is `None` if the part has no work, or a known reason to wait.
    """

    since: float | None
    limit_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """Part that has stalled for too long; its text form is a sentence for the operator.

    `since` is in epoch seconds.
    """

    part: PartKind
    name: str
    since: float
    for_s: float

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since, UTC).isoformat(timespec="seconds")
        return (
            f"The {self.part} {self.name} has stalled for {self.for_s:.0f} s, since {since}, for an "
            "unknown reason; the daemon's log output has the stacks of all threads and tasks, in the "
            "event stuck.found."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckLimits:
    """Longest allowed stall of each kind of part, in seconds."""

    log_s: float
    subscribers_s: Mapping[SubscriberName, float]

    def of_subscriber(self, name: SubscriberName) -> float:
        """Return the limit of a subscriber, including a removed subscriber that is still ending."""
        return self.subscribers_s.get(name, self.log_s)

    @classmethod
    def of(cls, settings: Settings) -> "StuckLimits":
        """Return the configured limits; a limit that is shorter than the deadlines of its part is raised."""
        asked_s = settings.observe.stuck_after_s
        # An append can wait for another append, for new topics, for its own deadline, and
        # until its producer is discarded.
        append_s = settings.log.kafka.append_deadline_s if settings.log.kafka else 0.0
        return cls(
            log_s=max(asked_s, _APPENDS * append_s),
            subscribers_s={
                name: max(
                    asked_s,
                    _ATTEMPTS
                    * (each.deliver_timeout_s + (settings.lookups.timeout_s if each.enrich else 0.0)),
                )
                for name, each in settings.subscribers.items()
            },
        )


class StuckDetector:
    """Finds stalled parts by comparing successive observations of all parts.

    A part is not blamed for time during which the process was stopped or its loop was
    blocked.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked_at = self._awake_since = clock.monotonic()
        self._idle_at: dict[Name, float] = {}

    def judge(self, activities: Mapping[Name, Activity]) -> list[Stuck]:
        """Return the stalled parts. `activities` must cover all parts."""
        now = self._clock.monotonic()
        if now - self._looked_at > _ASLEEP_S:
            # A signal stopped the process, or its loop was blocked, so the parts need time to make
            # progress.
            self._awake_since = now
        self._looked_at = now
        self._idle_at = {
            name: now if activity.since is None else self._idle_at.get(name, activity.since)
            for name, activity in activities.items()
        }
        return list(self._found(activities, now))

    def _found(self, activities: Mapping[Name, Activity], now: float) -> Iterable[Stuck]:
        for (part, name), activity in activities.items():
            if activity.since is None:
                continue
            # Time during which the part had a known reason to wait does not count.
            for_s = now - max(activity.since, self._idle_at[part, name], self._awake_since)
            if for_s > activity.limit_s:
                yield Stuck(part=part, name=name, since=self._clock.now() - for_s, for_s=for_s)


class Monitor:
    """Checks the daemon's parts once a second, and at each liveness probe.

    While a broker, Salesforce or a target is unavailable, work has a reason to
    wait. Work that waits without a reason is a fault of this process, which a
    restart fixes.
    """

    def __init__(
        self, status: Status, metrics: Metrics, clock: Clock, pulses: Pulses, limits: StuckLimits
    ) -> None:
        self._status = status
        self._metrics = metrics
        self._clock = clock
        self.pulses = pulses
        self.limits = limits
        self._detector = StuckDetector(clock)
        self._stuck: frozenset[Name] = frozenset()

    def register(self, health: Health) -> None:
        """Add the probes to `health`."""
        health.register(ProbeKind.LIVENESS, "progress", self._progress)
        health.register(ProbeKind.READINESS, "positions", self._positions)
        health.register(ProbeKind.READINESS, "records", self._records)

    async def run(self) -> None:
        """Update the gauges until cancelled."""
        while True:
            self._update_channel_gauges()
            self._update_subscriber_gauges()
            self._metrics.process.set_waits(
                log=self._status.log.is_awaited, login=bool(self._status.reading.login_wait)
            )
            self._metrics.process.set_standby(self._status.state is State.STANDBY)
            self._update_thread_gauges()
            self._update_stuck()
            await self._clock.sleep(_INTERVAL_S)

    def _progress(self) -> ProbeResult:
        stuck = self._detector.judge(self._activities())
        return ProbeResult(
            ok=not stuck, sentence=" ".join(map(str, stuck)) or "Every part of the process makes progress."
        )

    def _positions(self) -> ProbeResult:
        """Return a failure if Salesforce will soon drop the next events of a channel."""
        now = self._clock.now()
        late = [
            f"{channel.path}: Salesforce keeps events for {channel.retention_s / _HOUR_S:.0f} h, but "
            f"Streamer has been unable to verify for {(now - verified_at) / _HOUR_S:.1f} h that no event "
            "is missing"
            for channel, verified_at in self._verified_at.items()
            if channel.expires_at(verified_at) - now < channel.retention_s * _LAST_PART
        ]
        return ProbeResult(ok=not late, sentence="; ".join(late) or "No position is about to expire.")

    def _records(self) -> ProbeResult:
        """Return a failure if the log does not record deliveries. A restart repeats unrecorded deliveries."""
        late = [
            f"{name}: the log has recorded no deliveries for {late_s:.0f} s; the daemon's log output "
            "names the reason, in the event progress.not_recorded"
            for name, each in self._status.subscribers.dispatchers.items()
            if (late_s := self._unrecorded_s(each)) > _RECORDED_WITHIN_S
        ]
        return ProbeResult(ok=not late, sentence="; ".join(late) or "The log records deliveries.")

    def _unrecorded_s(self, dispatcher: DispatcherStatus) -> float:
        since = dispatcher.unrecorded_since
        return 0.0 if since is None else self._clock.monotonic() - since

    def _update_channel_gauges(self) -> None:
        reading = self._status.reading
        if reading.supervisor is None:
            return
        owned, verified_at = reading.channels, self._verified_at
        for channel in reading.supervisor.channels:
            metrics = self._metrics.channel(channel)
            metrics.set_owned(channel in owned)
            if channel in owned:
                metrics.set_up(channel.path in reading.subscribed)
            if at := verified_at.get(channel):
                metrics.set_verified(at, expires_at=channel.expires_at(at))

    def _update_subscriber_gauges(self) -> None:
        for name, dispatcher in self._status.subscribers.dispatchers.items():
            metrics = self._metrics.subscriber(name)
            metrics.set_status(dispatcher.status)
            metrics.set_unrecorded(self._unrecorded_s(dispatcher))
        following = self._status.subscribers.following
        for name in self._status.subscribers.configured:
            self._metrics.subscriber(name).set_following(name in following)

    @property
    def _verified_at(self) -> Mapping[Channel, float]:
        """Time until which no event is missing, for each channel with a retention."""
        supervisor = self._status.reading.supervisor
        times = supervisor.verified_at if supervisor else {}
        # Salesforce itself repeats an outbound message until Streamer acknowledges it.
        return {
            each: at for each, at in times.items() if ChannelKind.of(each.path) is not ChannelKind.OUTBOUND
        }

    def _update_thread_gauges(self) -> None:
        now = self._clock.monotonic()
        beats = self.pulses.beats()
        self._metrics.process.polled({name: 0.0 if at is None else now - at for name, at in beats.items()})

    def _update_stuck(self) -> None:
        activities = self._activities()
        found = self._detector.judge(activities)
        names = frozenset((each.part, each.name) for each in found)
        self._metrics.process.set_stuck({name: name in names for name in activities})
        self._log_changes(found, names)
        self._stuck = names

    def _log_changes(self, found: Sequence[Stuck], names: frozenset[Name]) -> None:
        if new := [str(each) for each in found if (each.part, each.name) not in self._stuck]:
            _log.error("stuck.found", stuck=new, stacks=stacks())
        for part, name in self._stuck - names:
            _log.warning("stuck.ended", part=part, name=name)

    def _activities(self) -> Mapping[Name, Activity]:
        return dict([*self._threads(), *self._channels(), *self._subscribers(), *self._states()])

    def _threads(self) -> Iterator[tuple[Name, Activity]]:
        for name, beat_at in self.pulses.beats().items():
            yield (PartKind.THREAD, name), Activity(since=beat_at, limit_s=self.limits.log_s)

    def _channels(self) -> Iterator[tuple[Name, Activity]]:
        reading = self._status.reading
        busy = reading.supervisor.busy_since if reading.supervisor and self._status.log.is_usable else {}
        for channel in reading.channels:
            yield (
                (PartKind.CHANNEL, channel.path),
                Activity(since=busy.get(channel), limit_s=self.limits.log_s),
            )

    def _subscribers(self) -> Iterator[tuple[Name, Activity]]:
        for name, each in self._status.subscribers.dispatchers.items():
            limit_s = self.limits.of_subscriber(name)
            yield (PartKind.SUBSCRIBER, name), Activity(since=each.stalled_since, limit_s=limit_s)

    def _states(self) -> Iterator[tuple[Name, Activity]]:
        states = self._status.states
        if states.is_configured:
            since = states.busy_since if self._status.log.is_usable else None
            yield (PartKind.STATES, "records"), Activity(since=since, limit_s=self.limits.log_s)
