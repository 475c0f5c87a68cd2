"""Flood guard: pauses a subscriber whose events are set aside in large numbers."""

from collections import deque
from dataclasses import dataclass

from streamer.events import SubscriberName


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardLimits:
    """Thresholds for the number of dead letters.

    There are too many when `consecutive` letters come without a delivery in
    between, or when more than `ratio` of the last `window` events (at least
    `minimum`) were set aside. A mistaken pause costs a delay and loses nothing,
    while an operator has to sort a flood by hand. So both thresholds trip at about
    50 letters, which a person can still read. Bad data alone never amount to half
    of all events.
    """

    consecutive: int = 50
    ratio: float = 0.5
    window: int = 200
    minimum: int = 100


class FloodGuard:
    """Detects a flood of dead letters, for example after a change that broke a mapping or the target.

    It reports a flood once, and the caller pauses the subscriber. Attempts that
    were in flight then are counted but not judged. The caller does not report
    skipped events.
    """

    def __init__(self, subscriber: SubscriberName, limits: GuardLimits) -> None:
        self._subscriber = subscriber
        self._limits = limits
        # True for each of the last events that was set aside.
        self._last: deque[bool] = deque(maxlen=max(limits.window, limits.minimum))
        self._consecutive = 0
        self._has_reported = False

    def reset(self) -> None:
        """Forget everything, because an operator resumed the subscriber."""
        self._last.clear()
        self._consecutive = 0
        self._has_reported = False

    def delivered(self) -> None:
        """Count a delivery."""
        self._last.append(False)
        self._consecutive = 0

    def set_aside(self) -> str | None:
        """Count a dead letter; if it is one too many, return a sentence for the operator."""
        self._last.append(True)
        self._consecutive += 1
        if self._has_reported or not (flood := self._flood()):
            return None
        self._has_reported = True
        return (
            f"{flood} became dead letters, so {self._subscriber} is paused; nothing is lost. See with "
            "`streamer deadletters list` what they have in common, mend it, then run "
            f"`streamer subscribers resume {self._subscriber}`."
        )

    def _flood(self) -> str:
        ended, letters = len(self._last), sum(self._last)
        if self._consecutive >= self._limits.consecutive:
            return f"{self._consecutive} events in a row"
        if ended >= self._limits.minimum and letters > self._limits.ratio * ended:
            return f"{letters} of the last {ended} events"
        return ""
