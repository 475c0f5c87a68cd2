"""Queue of requests from the event loop to a partition's thread."""

import asyncio
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

from streamer.events import Channel
from streamer.log.kafka.append.encoder import EncodedAppend


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QueuedRequest:
    """One request; without an append it asks for the channel's checkpoint.

    `failures` is the number of failures of the channel that the loop knew of.
    """

    channel: Channel
    append: EncodedAppend | None
    failures: int
    answer: asyncio.Future[Any]


class AppendQueue:
    """First-in first-out queue of requests. The loop puts, one thread takes.

    It holds only objects that its callers hold anyway, so they bound it.
    """

    def __init__(self) -> None:
        self._waiting: deque[QueuedRequest] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, asked: QueuedRequest) -> None:
        """Add `asked` at the end."""
        with self._changed:
            self._waiting.append(asked)
            self._changed.notify()

    def close(self) -> None:
        """Note that no more requests follow."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def wait(self) -> bool:
        """Return true as soon as a request waits, false when none can follow."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return bool(self._waiting)

    def take(self, *, append: bool) -> QueuedRequest | None:
        """Return the first request if its kind (append or not) is `append`; else `None`."""
        with self._changed:
            if self._waiting and (self._waiting[0].append is not None) is append:
                return self._waiting.popleft()
            return None

    def take_all(self) -> list[QueuedRequest]:
        """Return all waiting requests."""
        with self._changed:
            taken = list(self._waiting)
            self._waiting.clear()
            return taken
