"""Base of a catalogue of faults: arms them, disarms them and counts their strikes."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from streamer.sandbox.faults.armed import ArmedFaults, Fault
from streamer.sandbox.org.bus import EventBus

Count = Annotated[int, Field(ge=0)]
Times = Annotated[int, Field(ge=1)] | None


class FaultCatalogue:
    """Catalogue without faults."""

    def __init__(self, bus: EventBus) -> None:
        """Build the catalogue without armed faults; some faults change the messages on `bus`."""
        self.armed = ArmedFaults()
        self._bus = bus

    @property
    def struck(self) -> Counter[str]:
        """Number of strikes of each fault, by name."""
        return self.armed.struck

    @property
    def lost(self) -> int:
        """Number of events that count as delivered although a fault kept them from the client."""
        return self.armed.lost

    def heal(self, name: str | None = None) -> None:
        """Disarm the faults with this name, or all faults, and release half-open connections and streams."""
        self.armed.heal(name)

    def _arm(self, name: str, on: Sequence[str], *, after_events: int = 0, **more: Any) -> None:
        self.armed.arm(Fault(name=name, on=frozenset(on), **more), after_events=after_events)
