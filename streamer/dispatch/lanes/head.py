"""Head of a lane: its retries, and its halves where several subscribers forward an event."""

from collections.abc import Collection
from dataclasses import dataclass

from streamer.events import Entry, EventId, Setback


@dataclass(slots=True, kw_only=True)
class RetryState:
    """Attempts at the head of a lane, and the time at which the next one is due; times are epoch seconds."""

    attempts: int = 0
    tried_s: float = 0.0
    first_tried_at: float | None = None
    first_failed_at: float | None = None
    first_error: str = ""
    last_error: str = ""
    due_at: float = 0.0

    def failed(self, error: str, now: float, *, took_s: float = 0.0) -> None:
        """Count one failed attempt, and the time that it took."""
        self.attempts += 1
        self.tried_s += took_s
        self.last_error = error
        if self.first_failed_at is None:
            self.first_failed_at, self.first_error = now, error

    def give_back(self, attempts: int) -> None:
        """Subtract attempts that failed for no fault of the head."""
        left = max(0, self.attempts - attempts)
        self.tried_s *= left / max(1, self.attempts)
        self.attempts = left
        if not self.attempts:
            self.first_failed_at, self.first_error, self.last_error = None, "", ""

    @property
    def setback(self) -> Setback:
        """Failures of the head, for the log to keep."""
        return Setback(
            attempts=self.attempts,
            first_failed_at=self.due_at if self.first_failed_at is None else self.first_failed_at,
            due_at=self.due_at,
            first_error=self.first_error,
            last_error=self.last_error,
        )


@dataclass(slots=True, kw_only=True)
class Halves:
    """Entries of one event in the lane of a subscriber that comes after several others.

    `joined` are those beside the head, once they are joined; `awaited` is the
    event of the head while some are missing. `places` are the offsets of all
    entries by event, if they are known and needed.
    """

    joined: tuple[Entry, ...] = ()
    awaited: EventId | None = None
    places: dict[EventId, list[int]] | None = None

    def forget_places(self, event: EventId, offsets: Collection[int]) -> None:
        """Drop the places of an event at `offsets`, which are settled; a redrive can have others of it."""
        if self.places is not None:
            left = [offset for offset in self.places.pop(event, ()) if offset not in offsets]
            if left:
                self.places[event] = left
