"""Step of a reading."""

from collections.abc import Sequence
from dataclasses import dataclass

from streamer.continuity.progress import ReadingProgress
from streamer.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a reading: its progress, the events of what was read, and when the next step is due.

    `repeated` records of `events` were counted before. The caller appends the step
    before anything that it reads later. `waits` says why the next one is not due at
    once; others can read meanwhile.
    """

    progress: ReadingProgress
    events: Sequence[Event] = ()
    found: int = 0
    repeated: int = 0
    again_in_s: float = 0.0
    waits: str = ""
