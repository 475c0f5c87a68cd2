"""Contract of the check that ingest makes before it reads a channel."""

from typing import Protocol

from streamer.events import Checkpoint, Start


class ReplayAdmission(Protocol):
    """Decides whether one channel can be read from a position now."""

    async def admit(self, after: Checkpoint | Start, /) -> None:
        """Return if what follows `after` can be read; a `Start` and a checkpoint are as `Source` takes them.

        It is brief. Raises a `Stop` that says what the replay would cost and
        when it is admitted; the caller asks again later, with the position that
        it has then.
        """
        ...
