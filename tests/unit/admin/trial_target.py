"""A target for test events."""

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from streamer.events import Delivered, Delivery, Outcome


@dataclass
class TrialTarget:
    """Keeps what it was sent, and answers all of it alike; while `closed` it does not answer."""

    always: Outcome | Exception = field(default_factory=Delivered)
    deliveries: list[Delivery] = field(default_factory=list)
    entered: int = 0
    closed: bool = False
    opens: bool = True
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        """Count, or fail."""
        if not self.opens:
            raise OSError("no route")
        self.entered += 1
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Count."""
        self.entered -= 1

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Answer."""
        self.deliveries.append(delivery)
        self.has_begun.set()
        if self.closed:
            await asyncio.Event().wait()
        if isinstance(self.always, Exception):
            raise self.always
        return self.always
