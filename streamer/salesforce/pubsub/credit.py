"""Number of events that one channel asks for at a time."""

from dataclasses import dataclass, field

_DIVISOR = 8


@dataclass(slots=True)
class Credit:
    """Bound of the outstanding credit, lowered after an answer that was too large to receive.

    As many events as the `usual` credit allows bring the usual bound back: the
    large ones have passed by then.
    """

    usual: int
    most: int = field(init=False)
    _used: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.most = self.usual

    def lower(self) -> None:
        """Ask for fewer events at a time."""
        self.most, self._used = max(1, self.most // _DIVISOR), 0

    def used(self, events: int) -> None:
        """Note events that have come."""
        self._used += events
        if self._used >= self.usual:
            self.most = self.usual
