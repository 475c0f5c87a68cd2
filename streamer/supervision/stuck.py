"""Detection of parts that have stalled for an unknown reason."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from streamer.clock import Clock
from streamer.events import SubscriberName
from streamer.settings import Settings

_APPENDS = 6.0
_ATTEMPTS = 2.0
_ASLEEP_S = 10.0


class PartKind(StrEnum):
    """Kind of part that can be stuck."""

    THREAD = "thread"
    CHANNEL = "channel"
    SUBSCRIBER = "subscriber"


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
