"""Faults that wait for their moment, and the record of those that struck."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

HANDSHAKE: Final = "handshake"
CONNECT: Final = "connect"
SUBSCRIBE: Final = "subscribe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """What the server is about to do: answer a request of kind `on`.

    `path` is the channel of a subscription, `version` that of the endpoint,
    `events` how many events the answer holds.
    """

    on: str
    path: str | None = None
    version: float = 0.0
    events: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class Fault:
    """One fault that is armed for `times` matching occasions, or until healed for `None`.

    It is due once the server has delivered `due` events in all. `ends_hold`
    says that a held connect is answered at once when the fault is due.
    """

    name: str
    on: frozenset[str]
    times: int | None = 1
    due: int = 0
    path: str | None = None
    since_version: float = 0.0
    needs_events: bool = False
    ends_hold: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    def matches(self, occasion: Occasion) -> bool:
        """Tell whether the occasion is of this fault's kind."""
        return (
            occasion.on in self.on
            and self.path in (None, occasion.path)
            and occasion.version >= self.since_version
            and (occasion.events > 0 or not self.needs_events)
        )


class PendingFaults:
    """Decides which fault strikes when, and counts.

    `struck` counts strikes by name, `delivered` the events that the server
    wrote into answers, `lost` those of them that a fault kept from the client.
    """

    def __init__(self) -> None:
        self.struck: Counter[str] = Counter()
        self.delivered = 0
        self.lost = 0
        self._armed: list[Fault] = []
        self._healed = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []

    @property
    def armed(self) -> tuple[Fault, ...]:
        """The faults that have not struck as often as they should."""
        return tuple(self._armed)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever a fault is armed."""
        self._listeners.append(listener)

    def arm(self, fault: Fault, *, after_events: int = 0) -> None:
        """Let `fault` strike once the server has delivered `after_events` more events."""
        fault.due = self.delivered + after_events
        self._armed.append(fault)
        for listener in self._listeners:
            listener()

    def strike(self, name: str, occasion: Occasion) -> Fault | None:
        """Use up one strike of the first due fault of that name, if one matches."""
        for fault in self._armed:
            if fault.name == name and fault.due <= self.delivered and fault.matches(occasion):
                self._use(fault)
                return fault
        return None

    def ends_hold(self, occasion: Occasion) -> bool:
        """Tell whether a held connect must be answered now because of a fault."""
        return any(
            fault.ends_hold and fault.due <= self.delivered and fault.matches(occasion)
            for fault in self._armed
        )

    def room(self) -> int | None:
        """Return how many events may be delivered before the next fault is due; `None` for any number."""
        return min(
            (fault.due - self.delivered for fault in self._armed if fault.due > self.delivered), default=None
        )

    def heal(self, name: str | None = None) -> None:
        """Disarm the faults of that name, or all, and let held-up answers go."""
        self._armed = [fault for fault in self._armed if name not in (None, fault.name)]
        self._healed.set()
        self._healed = asyncio.Event()

    async def until_healed(self) -> None:
        """Wait for the next `heal`."""
        await self._healed.wait()

    def _use(self, fault: Fault) -> None:
        self.struck[fault.name] += 1
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self._armed.remove(fault)
