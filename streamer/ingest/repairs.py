"""Contract of the repairs that ingest makes between its batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from streamer.events import ContinuityRecord, Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """What one turn of the repairs has brought: events, and states of continuity records."""

    events: Sequence[Event] = ()
    records: Sequence[ContinuityRecord] = ()


class Repairs(Protocol):
    """Repairs of one channel's holes.

    Its calls are those of one `Ingest`, which commits what a call returns before
    it makes the next. A failed commit ends both.
    """

    def resume(self, holes: Sequence[ContinuityRecord], /) -> None:
        """Go on with the `holes` that are open in the log."""
        ...

    async def repaired(self, gaps: Sequence[Event], read_at: float, /) -> Repaired:
        """Return what can be repaired now, of the new `gaps` of an answer and of the holes before them.

        `read_at` is the time of the answer in epoch seconds. The events must
        enter the log behind those of the answer, and before any later ones: what
        they tell was read after the former, and can be older than the latter. It
        is brief, and raises nothing.
        """
        ...
