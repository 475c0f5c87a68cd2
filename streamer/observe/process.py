"""Metrics of the process, and heartbeats of the process's threads."""

from collections.abc import Mapping
from importlib.metadata import version
from platform import python_version
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    ProcessCollector,
)

from streamer import DISTRIBUTION
from streamer.clock import Clock
from streamer.observe.series import Declarations

_BLOCKED_SAYS = (
    "Times that the event loop was blocked for more than a second, by the subscriber whose plugin blocked it."
)
_LAG_BUCKETS_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 5, 15)


class ProcessMetrics:
    """Series of the process, without a channel or subscriber."""

    def __init__(self, clock: Clock, registry: CollectorRegistry) -> None:
        gauge = Declarations(registry).gauge
        self._clock = clock
        self._standby = gauge(
            "standby", "1 while this process is ready but other processes read all channels, 0 otherwise."
        )
        self._loop_lag = Histogram(
            "streamer_event_loop_lag_seconds",
            "Delay with which the event loop runs its timers.",
            buckets=_LAG_BUCKETS_S,
            registry=registry,
        )
        self._loop_blocked = Counter(
            "streamer_event_loop_blocked",
            _BLOCKED_SAYS,
            ["subscriber"],
            registry=registry,
        )
        self._loop_blocked.labels("")
        self._poll_age = _Table(
            gauge("poll_age_seconds", "Time since the last heartbeat of a log thread; 0 at rest.", "thread")
        )
        stuck = "1 while a part of the process makes no progress for an unknown reason, 0 otherwise."
        self._stuck = _Table(gauge("stuck", stuck, "kind", "name"))
        self._log_unavailable = gauge(
            "log_unavailable", "1 while the log can't be opened, read or written, 0 otherwise."
        )
        self._login_awaited = gauge(
            "login_awaited", "1 while this process waits until Salesforce accepts its login, 0 otherwise."
        )
        self._configured = gauge(
            "configuration_applied",
            "1 while the configuration in effect is the configuration in the files, 0 otherwise.",
        )
        self._configured_at = gauge(
            "configuration_applied_timestamp_seconds",
            "Time at which the process last applied a configuration, in seconds since the epoch.",
        )
        self._restart_needed = gauge(
            "configuration_restart_needed",
            "1 while a changed part of the configuration takes effect only at the next start, 0 otherwise.",
        )
        build = Info("streamer_build", "Versions of Streamer and Python.", registry=registry)
        build.info({"version": version(DISTRIBUTION), "python": python_version()})
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)

    def configuration_applied(self) -> None:
        """Record that the configuration in effect equals the files."""
        self._configured.set(1)
        self._configured_at.set(self._clock.now())

    def configuration_refused(self) -> None:
        """Record that the files have a mistake, and that another configuration is in effect."""
        self._configured.set(0)

    def set_restart_needed(self, needed: bool) -> None:  # noqa: FBT001 - a gauge of two states
        """Record whether a part of the configuration waits for the next start."""
        self._restart_needed.set(needed)

    def loop_lagged(self, seconds: float) -> None:
        """Record that the event loop ran a timer `seconds` late."""
        self._loop_lag.observe(seconds)

    def loop_blocked(self, subscriber: str) -> None:
        """Count a block of the event loop, caused by the plugin of `subscriber` unless the name is empty."""
        self._loop_blocked.labels(subscriber).inc()

    def forget_plugin(self, subscriber: str) -> None:
        """Remove the series of a subscriber that is no longer configured."""
        self._loop_blocked.remove_by_labels({"subscriber": subscriber})

    def set_waits(self, *, log: bool, login: bool) -> None:
        """Record whether the process waits for the log, and whether it waits for a login to Salesforce."""
        self._log_unavailable.set(log)
        self._login_awaited.set(login)

    def set_standby(self, standby: bool) -> None:  # noqa: FBT001 - a gauge of two states
        """Record whether other processes read all channels."""
        self._standby.set(standby)

    def polled(self, ages: Mapping[str, float]) -> None:
        """Record the seconds since the last heartbeat of each thread in `ages`; other series disappear."""
        self._poll_age.show({(thread,): age_s for thread, age_s in ages.items()})

    def set_stuck(self, stuck: Mapping[tuple[str, str], bool]) -> None:
        """Record for each part, by kind and name, whether it is stuck; remove the series of other parts."""
        self._stuck.show(stuck)


class _Table:
    """Gauge whose series are replaced together.

    A scrape runs in its own thread. If the gauge were cleared before a change, a scrape
    at this moment could miss series.
    """

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._shown: set[tuple[str, ...]] = set()

    def show(self, values: Mapping[Any, float]) -> None:
        """Show exactly these `values`, by their labels."""
        for labels, value in values.items():
            self._gauge.labels(*labels).set(value)
        for labels in self._shown - values.keys():
            self._gauge.remove(*labels)
        self._shown = set(values)


class Pulse:
    """Heartbeat of one thread, which beats in each round. Only this thread calls the methods."""

    __slots__ = ("_clock", "beat_at")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.beat_at: float | None = clock.monotonic()
        """Time of the last beat, in monotonic seconds; `None` while the thread rests."""

    def beat(self) -> None:
        """Report that the thread makes progress."""
        self.beat_at = self._clock.monotonic()

    def rest(self) -> None:
        """Report that the thread waits for a request or a broker, so the next beat can take any time."""
        self.beat_at = None


class Pulses:
    """Pulses of one process by thread name, timed by `clock`.

    Only a thread that ends normally removes its pulse. The pulse of a dead thread
    stays and grows old.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pulses: dict[str, Pulse] = {}

    def begin(self, name: str) -> Pulse:
        """Return a new pulse for the thread `name`, which replaces an earlier pulse."""
        pulse = self._pulses[name] = Pulse(self._clock)
        return pulse

    def end(self, pulse: Pulse) -> None:
        """Remove `pulse`, because its thread has ended normally."""
        for name in [name for name, each in list(self._pulses.items()) if each is pulse]:
            del self._pulses[name]

    def beats(self) -> Mapping[str, float | None]:
        """Return the last beat of each thread, in monotonic seconds, or `None` while the thread rests."""
        return {name: pulse.beat_at for name, pulse in list(self._pulses.items())}
