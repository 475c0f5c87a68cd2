"""Contract of the positions of channels, as an operator looks at them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from streamer.events import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCheckpoint:
    """Last checkpoint of a channel, stored at `stored_at` in epoch seconds, `None` where that is unknown.

    `owner` names the process that reads the channel, and is empty while none does.
    """

    checkpoint: Checkpoint
    stored_at: float | None = None
    owner: str = ""


class RecordedPositions(Protocol):
    """Positions of the channels in a log, for any process. Every method raises `LogUnavailable`."""

    async def stored_checkpoints(self) -> Sequence[StoredCheckpoint]:
        """Return the last committed checkpoint of each channel."""
        ...

    async def appended_since(self, patterns: Sequence[str], at: float, /) -> int:
        """Return the most events that can have been appended since `at`, of types that match `patterns`.

        There can be less: a log counts what is cheap to count. `at` is in epoch seconds.
        """
        ...
