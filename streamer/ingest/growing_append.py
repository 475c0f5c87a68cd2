"""Append that grows with an answer, and all that is committed together with it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streamer.errors import EventsRefused, LogMisconfigured
from streamer.events import Checkpoint, ContinuityRecord, DeadLetter, Event
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ports import Append, Appended


class IngestObserver(Protocol):
    """Counts and measures appends; must not block or raise."""

    def taken(self, events: Sequence[Event], read_at: float) -> None:
        """These events, read at `read_at` (epoch seconds), will be in the log with the next append."""
        ...

    def appended(self, appended: Appended, seconds: float) -> None:
        """An append reached the log after a wait of `seconds`."""
        ...


@dataclass(slots=True, kw_only=True)
class GrowingAppend:
    """Append to the log, and what its commit holds beside the events.

    Events that the log refuses are set aside by `quarantine`. `position` is the
    channel's checkpoint after the commit. `gaps` are the gap events that were taken
    in, and `is_quiet` says that no message was.
    """

    append: Append
    quarantine: Quarantine
    observer: IngestObserver
    position: Checkpoint | None
    set_aside: list[DeadLetter] = field(default_factory=list)
    continuity: list[ContinuityRecord] = field(default_factory=list)
    redriven: list[str] = field(default_factory=list)
    gaps: list[Event] = field(default_factory=list)
    is_quiet: bool = True
    _events: int = field(default=0, init=False)
    _first: Event | None = field(default=None, init=False)

    def add(self, read: Sequence[Event | DeadLetter], read_at: float) -> None:
        """Add what was read at `read_at`, in epoch seconds."""
        events = [item for item in read if type(item) is Event]
        if len(events) < len(read):
            self.set_aside += [item for item in read if type(item) is DeadLetter]
        if events:
            self._events += len(events)
            self._first = self._first or events[0]
            self.observer.taken(events, read_at)
            try:
                self.append.add(events)
            except EventsRefused as refused:
                self._set_aside(refused)

    async def commit(self, checkpoint: Checkpoint) -> Appended:
        """Commit all of it together with `checkpoint`.

        Raises what the log raises, and `LogMisconfigured` when it refuses no event in particular.
        """
        while True:
            try:
                await self.append.commit(
                    checkpoint,
                    set_aside=self.set_aside,
                    continuity=self.continuity,
                    redriven=self.redriven,
                )
            except EventsRefused as refused:
                self._set_aside(refused)
            else:
                return Appended(
                    checkpoint=checkpoint,
                    events=self._events,
                    first=self._first,
                    set_aside=self.set_aside,
                    continuity=self.continuity,
                )

    def _set_aside(self, refused: EventsRefused) -> None:
        if not refused.events:
            # With nothing to set aside, the same append would be refused for ever.
            raise LogMisconfigured(
                f"The log refuses an append and names no event of it: {refused}"
            ) from refused
        self._events -= len(refused.events)
        self.set_aside += self.quarantine.refused(refused)
