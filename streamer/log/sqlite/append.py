"""Growing append to a log file."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace

from streamer.clock import Clock
from streamer.errors import EventsRefused
from streamer.events import Checkpoint, ContinuityRecord, DeadLetter, Event
from streamer.log.sqlite.rows.appends import AppendRows, EventRow, encode, event_row
from streamer.log.sqlite.rows.dead_letters import letter_key

Write = Callable[[AppendRows], Awaitable[None]]
"""Commits an append; raises as `Append.commit` does."""


class SqliteAppend:
    """Rows of the events that have been added, until they are committed."""

    def __init__(self, write: Write, clock: Clock) -> None:
        self._write = write
        self._clock = clock
        self._rows: list[EventRow] = []
        self.size = 0

    def add(self, events: Sequence[Event], /) -> None:
        """Encode `events`; raises `EventsRefused` for events that JSON cannot represent."""
        now_s = int(self._clock.now())
        refused: list[Event] = []
        for event in events:
            try:
                row = event_row(event, now_s)
            except TypeError:
                refused.append(event)
            else:
                self._rows.append(row)
                self.size += row[2]
        if refused:
            raise EventsRefused(f"{len(refused)} events hold data that JSON can't", events=refused)

    async def commit(
        self,
        checkpoint: Checkpoint,
        /,
        *,
        set_aside: Sequence[DeadLetter] = (),
        continuity: Sequence[ContinuityRecord] = (),
        redriven: Collection[str] = (),
    ) -> None:
        """Make the rows durable, together with other waiting appends; wait while the file is full."""
        rows = encode(self._rows, checkpoint, set_aside, continuity, now=self._clock.now())
        await self._write(replace(rows, redriven=[letter_key(id_) for id_ in redriven]))
