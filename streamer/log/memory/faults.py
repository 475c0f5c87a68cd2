"""Faults of the in-memory log."""

from collections.abc import Callable
from dataclasses import dataclass, field

from streamer.errors import LogUnavailable
from streamer.events import Event, SettledOffsets


@dataclass(slots=True, kw_only=True)
class MemoryFaults:
    """Faults of a log in memory, which tests set.

    `down` makes every call raise `LogUnavailable`. `refuse` selects events that an
    append refuses. With `fail_after_commit`, the next append or settlement takes
    effect and then raises `LogUnavailable`. A partition is crowded when more than
    `room` offsets are settled above `next_offset`.
    """

    down: bool = False
    refuse: Callable[[Event], bool] = field(default=lambda _: False)
    fail_after_commit: bool = False
    room: int | None = None

    def check_up(self) -> None:
        """Raise `LogUnavailable` while the log is down."""
        if self.down:
            raise LogUnavailable("the log is down, because the test has set down = True")

    def check_answered(self) -> None:
        """Raise `LogUnavailable` once if the log is to fail after a commit."""
        if self.fail_after_commit:
            self.fail_after_commit = False
            raise LogUnavailable("the log's answer was lost: read the checkpoint again")

    def is_crowded(self, progress: SettledOffsets) -> bool:
        """Return whether a partition with this progress is crowded."""
        return self.room is not None and len(progress.settled_above) > self.room
