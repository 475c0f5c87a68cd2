"""State of a lane's head: its retries, and the halves of its event if several subscribers forward it."""

import math
from collections.abc import Collection
from dataclasses import dataclass

from streamer.events import Entry, EventId, FailedAttempt, FailureClass, Setback


@dataclass(slots=True, kw_only=True)
class RetryState:
    """Attempts at the head of a lane, and when the next attempt is due; times are in epoch seconds.

    `failed_attempts` also has attempts that were given back, because they were made.
    """

    attempts: int = 0
    tried_s: float = 0.0
    first_tried_at: float | None = None
    first_failed_at: float | None = None
    first_error: str = ""
    last_error: str = ""
    due_at: float = 0.0
    failed_attempts: tuple[FailedAttempt, ...] = ()

    def failed(
        self, error: str, now: float, *, took_s: float = 0.0, failure: FailureClass = FailureClass.OTHER
    ) -> None:
        """Count one failed attempt and its duration."""
        self.noted(error, now, took_s=took_s, failure=failure)
        self.attempts += 1
        self.tried_s += took_s
        self.last_error = error
        if self.first_failed_at is None:
            self.first_failed_at, self.first_error = now, error

    def noted(self, error: str, now: float, *, took_s: float, failure: FailureClass) -> None:
        """Keep an attempt that did not deliver the head, without counting it."""
        attempt = FailedAttempt(at=now, seconds=took_s, failure=failure, error=error)
        self.failed_attempts = attempt.added_to(self.failed_attempts)

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
        return self.failed_attempts[0].at if self.failed_attempts else math.inf

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
