"""What the loop asks of a partition's thread, in the order in which it asked."""

import asyncio
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

from streamer.events import Channel
from streamer.log.kafka.append.encoder import EncodedAppend


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QueuedRequest:
    """A request; without an append it asks for the channel's checkpoint.

    `failures` is how many failures of the channel were told before.
    """

    channel: Channel
    append: EncodedAppend | None
    failures: int
    answer: asyncio.Future[Any]


class AppendQueue:
    """Requests that wait. The loop puts, one thread takes.

    It holds only what its callers hold anyway, so they bound it.
    """

    def __init__(self) -> None:
        """Begin empty and open."""
        self._waiting: deque[QueuedRequest] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, asked: QueuedRequest) -> None:
        """Let the thread have `asked`."""
        with self._changed:
            self._waiting.append(asked)
            self._changed.notify()

    def close(self) -> None:
        """Nothing more will be put."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def wait(self) -> bool:
        """Return true as soon as something waits, false when nothing ever will."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return bool(self._waiting)

    def take(self, *, append: bool) -> QueuedRequest | None:
        """Return the first request if it is, or is not, an append; else `None`."""
        with self._changed:
            if self._waiting and (self._waiting[0].append is not None) is append:
                return self._waiting.popleft()
            return None

    def take_all(self) -> list[QueuedRequest]:
        """Return everything that waits."""
        with self._changed:
            taken = list(self._waiting)
            self._waiting.clear()
            return taken
