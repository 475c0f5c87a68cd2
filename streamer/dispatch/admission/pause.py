"""Pause of a subscriber, until it is resumed."""


class Pause:
    """Stops all deliveries of a subscriber, for a reason of an operator, the guard or the target."""

    def __init__(self) -> None:
        self._reason: str | None = None

    @property
    def lasts(self) -> bool:
        """True from `begin` to `end`."""
        return self._reason is not None

    @property
    def reason(self) -> str:
        """The reason in a sentence; empty while no pause lasts."""
        return "" if self._reason is None else f"paused: {self._reason}"

    def begin(self, reason: str) -> None:
        """Pause, or change the reason of the present pause."""
        self._reason = reason

    def end(self) -> None:
        """Let deliveries go on."""
        self._reason = None
