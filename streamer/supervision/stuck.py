"""Finds what should get on and does not."""

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


class Part(StrEnum):
    """What can be stuck."""

    THREAD = "thread"
    CHANNEL = "channel"
    SUBSCRIBER = "subscriber"


Name = tuple[Part, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What one part does: it has been at the same thing since `since`, in monotonic seconds.

    `None` when there is nothing to do, or a reason for not getting on.
    """

    since: float | None
    limit_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """A part that has been at the same thing for too long; `since` in seconds since the epoch."""

    part: Part
    name: str
    since: float
    for_s: float

    def __str__(self) -> str:
        """Return a sentence for the operator."""
        since = datetime.fromtimestamp(self.since, UTC).isoformat(timespec="seconds")
        return (
            f"The {self.part} {self.name} has not got on for {self.for_s:.0f} s, since {since}, and nothing "
            "explains it; where every thread and task stands is in the log, at stuck.found."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckLimits:
    """For how long nothing may come of the work of each part, in seconds."""

    log_s: float
    subscribers_s: Mapping[SubscriberName, float]

    def of_subscriber(self, name: SubscriberName) -> float:
        """Return the limit of a subscriber, also of one that is configured no more and still ends."""
        return self.subscribers_s.get(name, self.log_s)

    @classmethod
    def of(cls, settings: Settings) -> "StuckLimits":
        """Return what is configured, raised above what each part may take by its own deadlines."""
        asked_s = settings.observe.stuck_after_s
        # An append waits behind another one, for topics that are made, for its
        # own deadline, and for its producer to be discarded.
        append_s = settings.log.kafka.append_deadline_s if settings.log.kafka else 0.0
        return cls(
            log_s=max(asked_s, _APPENDS * append_s),
            subscribers_s={
                name: max(asked_s, _ATTEMPTS * each.deliver_timeout_s)
                for name, each in settings.subscribers.items()
            },
        )


class StuckDetector:
    """Judges by what it has seen itself, so that nobody is blamed for a process that was stopped."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked_at = self._awake_since = clock.monotonic()
        self._idle_at: dict[Name, float] = {}

    def judge(self, activities: Mapping[Name, Activity]) -> list[Stuck]:
        """Return what is stuck of `activities`, which are all there are."""
        now = self._clock.monotonic()
        if now - self._looked_at > _ASLEEP_S:
            # Stopped by a signal, or a loop that did not turn: they need a moment to show that they live.
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
            # What was explained until a moment ago did not count.
            for_s = now - max(activity.since, self._idle_at[part, name], self._awake_since)
            if for_s > activity.limit_s:
                yield Stuck(part=part, name=name, since=self._clock.now() - for_s, for_s=for_s)
