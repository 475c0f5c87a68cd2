"""Whether so many events are set aside that the fault is not theirs."""

from collections import deque
from dataclasses import dataclass

from streamer.events import SubscriberName


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardLimits:
    """How many dead letters are too many.

    They are when `consecutive` come without a delivery in between, or more than
    `ratio` of the last `window` events were set aside, once there were
    `minimum`. A stop by mistake costs a delay and loses nothing, while a flood
    has to be sorted by hand: so both say stop at about 50, which a person can
    still look through. Half of all events is more than bad data amount to.
    """

    consecutive: int = 50
    ratio: float = 0.5
    window: int = 200
    minimum: int = 100


class FloodGuard:
    """Notices a flood of dead letters, as after a change that broke a mapping or the target.

    It says so once, for the subscriber to be paused: what comes of attempts
    that were under way then is noted and not judged. Skipped events are not
    told to it.
    """

    def __init__(self, subscriber: SubscriberName, limits: GuardLimits) -> None:
        """Begin with nothing noted."""
        self._subscriber = subscriber
        self._limits = limits
        # Whether each of the last events was set aside.
        self._last: deque[bool] = deque(maxlen=max(limits.window, limits.minimum))
        self._consecutive = 0
        self._has_spoken = False

    def reset(self) -> None:
        """Forget everything, because a person resumed the subscriber."""
        self._last.clear()
        self._consecutive = 0
        self._has_spoken = False

    def delivered(self) -> None:
        """Note a delivery."""
        self._last.append(False)
        self._consecutive = 0

    def set_aside(self) -> str | None:
        """Note a dead letter; if it is one too many, return a sentence for the operator."""
        self._last.append(True)
        self._consecutive += 1
        if self._has_spoken or not (flood := self._flood()):
            return None
        self._has_spoken = True
        return (
            f"{flood} became dead letters, so {self._subscriber} is paused; nothing is lost. See with "
            "`streamer deadletters list` what they have in common, mend it, then go on with "
            f"`streamer subscribers resume {self._subscriber}`."
        )

    def _flood(self) -> str:
        ended, letters = len(self._last), sum(self._last)
        if self._consecutive >= self._limits.consecutive:
            return f"{self._consecutive} events in a row"
        if ended >= self._limits.minimum and letters > self._limits.ratio * ended:
            return f"{letters} of the last {ended} events"
        return ""
