"""State of a lane's head: its retries, and the halves of its event if several subscribers forward it."""

from collections.abc import Collection
from dataclasses import dataclass

from streamer.dispatch.lanes.attempt_history import NO_ATTEMPTS, AttemptHistory, TextPool
from streamer.events import Entry, EventId, FailedAttempt, Setback


@dataclass(slots=True, kw_only=True)
class RetryState:
    """Attempts at the head of a lane, and when the next attempt is due; times are in epoch seconds.

    `attempts` does not count attempts that failed because of an outage; `history` also
    has these.
    """

    attempts: int = 0
    tried_s: float = 0.0
    first_tried_at: float | None = None
    first_failed_at: float | None = None
    first_error: str = ""
    last_error: str = ""
    due_at: float = 0.0
    history: AttemptHistory = NO_ATTEMPTS

    @property
    def failed_attempts(self) -> tuple[FailedAttempt, ...]:
        """The failed attempts that are kept: the first and the last ones."""
        return self.history.attempts

    def failed(self, attempt: FailedAttempt, reason: str, texts: TextPool) -> None:
        """Count a failed attempt and its duration, and keep the whole `reason`."""
        reason = texts.shared(reason)
        self.noted(attempt, texts)
        self.attempts += 1
        self.tried_s += attempt.seconds
        self.last_error = reason
        if self.first_failed_at is None:
            self.first_failed_at, self.first_error = attempt.at, reason

    def noted(self, attempt: FailedAttempt, texts: TextPool) -> None:
        """Keep an attempt that did not deliver the head, without counting it."""
        self.history = AttemptHistory.of(attempt.added_to(self.failed_attempts), texts)

    def give_back(self, attempts: int) -> None:
        """Subtract attempts whose failure was not the head's fault."""
        left = max(0, self.attempts - attempts)
        self.tried_s *= left / max(1, self.attempts)
        self.attempts = left
        if not self.attempts:
            self.first_failed_at, self.first_error, self.last_error = None, "", ""

    @property
    def fails_since(self) -> float:
        """Time of the first kept attempt that failed, or infinity without one."""
        return self.history.first_at

    @property
    def setback(self) -> Setback:
        """Failures of the head, in the form that the log stores."""
        return Setback(
            attempts=self.attempts,
            first_failed_at=self.due_at if self.first_failed_at is None else self.first_failed_at,
            due_at=self.due_at,
            first_error=self.first_error,
            last_error=self.last_error,
            failed_attempts=self.failed_attempts,
        )


@dataclass(slots=True, kw_only=True)
class Halves:
    """Halves of one event, in a lane of a subscriber that has several upstream subscribers.

    `joined` has the other halves after these halves were joined with the head.
    `awaited` is the event of the head while halves are missing. `places` has the
    offsets of all entries of the lane by event; `None` if these offsets are unknown or
    not needed.
    """

    joined: tuple[Entry, ...] = ()
    awaited: EventId | None = None
    places: dict[EventId, list[int]] | None = None

    def forget_places(self, event: EventId, offsets: Collection[int]) -> None:
        """Drop the settled `offsets` of an event; keep offsets that a redrive has added since."""
        if self.places is not None:
            left = [offset for offset in self.places.pop(event, ()) if offset not in offsets]
            if left:
                self.places[event] = left
