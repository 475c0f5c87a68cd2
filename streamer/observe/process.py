"""What is counted and timed of the process itself."""

from collections.abc import Mapping
from importlib.metadata import version
from platform import python_version

from prometheus_client import CollectorRegistry, Gauge, GCCollector, Histogram, Info, ProcessCollector

from streamer.clock import Clock

_LAG_BUCKETS_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 5, 15)


class ProcessMetrics:
    """The series that belong to no channel and no subscriber."""

    def __init__(self, clock: Clock, registry: CollectorRegistry) -> None:
        def gauge(name: str, says: str, *labels: str) -> Gauge:
            return Gauge(f"streamer_{name}", says, labels, registry=registry)

        self._clock = clock
        self._standby = gauge(
            "standby", "1 while this process is ready and others read all channels, 0 otherwise."
        )
        self._loop_lag = Histogram(
            "streamer_event_loop_lag_seconds",
            "How late the event loop ran what was due.",
            buckets=_LAG_BUCKETS_S,
            registry=registry,
        )
        self._poll_age = gauge(
            "poll_age_seconds", "Time since a thread of the log came round; 0 while it rests.", "thread"
        )
        self._stuck = gauge(
            "stuck", "1 while a part does not get on and nothing explains it, 0 otherwise.", "kind", "name"
        )
        self._configured = gauge(
            "configuration_applied", "1 while the configuration in effect is that of the files, 0 otherwise."
        )
        self._configured_at = gauge(
            "configuration_applied_timestamp_seconds",
            "When a configuration was applied last, in seconds since the epoch.",
        )
        self._restart_needed = gauge(
            "configuration_restart_needed",
            "1 while a part of the configuration waits for the next start, 0 otherwise.",
        )
        build = Info("streamer_build", "Versions of Streamer and Python.", registry=registry)
        build.info({"version": version("streamer"), "python": python_version()})
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)

    def configuration_applied(self) -> None:
        """Note that the configuration in effect is that of the files."""
        self._configured.set(1)
        self._configured_at.set(self._clock.now())

    def configuration_refused(self) -> None:
        """Note that the files hold a mistake, and another configuration is in effect."""
        self._configured.set(0)

    def set_restart_needed(self, needed: bool) -> None:  # noqa: FBT001 - a gauge of two states
        """Note whether a part of the configuration waits for the next start."""
        self._restart_needed.set(needed)

    def loop_lagged(self, seconds: float) -> None:
        """Note that the event loop ran something `seconds` after it was due."""
        self._loop_lag.observe(seconds)

    def set_standby(self, standby: bool) -> None:  # noqa: FBT001 - a gauge of two states
        """Note whether others read all channels."""
        self._standby.set(standby)

    def polled(self, ages: Mapping[str, float]) -> None:
        """Note for how many seconds each thread has not come round; they are all that there are."""
        self._poll_age.clear()
        for thread, age_s in ages.items():
            self._poll_age.labels(thread).set(age_s)

    def set_stuck(self, stuck: Mapping[tuple[str, str], bool]) -> None:
        """Note of each part, by kind and name, whether it is stuck; they are all that there are."""
        self._stuck.clear()
        for (kind, name), is_stuck in stuck.items():
            self._stuck.labels(kind, name).set(is_stuck)
