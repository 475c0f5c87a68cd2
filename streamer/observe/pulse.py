"""Pulses: signs of life of the log's threads."""

from collections.abc import Mapping

from streamer.clock import Clock


class Pulse:
    """Sign of life of one thread, which beats in each round. Only that thread calls the methods."""

    __slots__ = ("_clock", "beat_at")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.beat_at: float | None = clock.monotonic()
        """Time of the last beat, in monotonic seconds; `None` while the thread rests."""

    def beat(self) -> None:
        """Report that work goes on."""
        self.beat_at = self._clock.monotonic()

    def rest(self) -> None:
        """Report that the next beat can take any time: the thread waits for a request, or for a broker."""
        self.beat_at = None


class Pulses:
    """Pulses of one process, by the names of their threads; `clock` times them.

    A thread that dies leaves its pulse behind, which then grows old: only a
    thread that ends normally removes its own.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pulses: dict[str, Pulse] = {}

    def begin(self, name: str) -> Pulse:
        """Return a new pulse for the thread `name`, which replaces a former one."""
        pulse = self._pulses[name] = Pulse(self._clock)
        return pulse

    def end(self, pulse: Pulse) -> None:
        """Remove `pulse`: its thread has ended normally."""
        for name in [name for name, each in list(self._pulses.items()) if each is pulse]:
            del self._pulses[name]

    def beats(self) -> Mapping[str, float | None]:
        """Return the last beat of each thread, in monotonic seconds; `None` for one that rests."""
        return {name: pulse.beat_at for name, pulse in list(self._pulses.items())}
