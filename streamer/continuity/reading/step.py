"""Step of a reading."""

from collections.abc import Sequence
from dataclasses import dataclass

from streamer.continuity.progress import ReadingProgress
from streamer.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a reading: its progress, the events of the records read, and when the next step is due.

    The caller appends the step before anything that it reads later. `waits` says
    why the next step must wait; other readings can use the time.
    """

    progress: ReadingProgress
    events: Sequence[Event] = ()
    found: int = 0
    again_in_s: float = 0.0
    waits: str = ""

    def counted(self) -> tuple[ReadingProgress, int]:
        """Return the progress with the rows of this step, and how many records it adds to PUBLISHED.

        The job after a lost one brings the same rows again. It adds only the rows
        beyond the largest number that a job of this part has brought.
        """
        if self.progress.job is None:
            # Each deletion is told once.
            return self.progress, len(self.events)
        progress = self.progress.with_rows(len(self.events))
        return progress, progress.most_rows - self.progress.most_rows
