"""Signs of life of the threads that serve the log."""

from collections.abc import Mapping

from streamer.clock import Clock


class Pulse:
    """One thread's sign of life: a beat each time it comes round. Its methods are the thread's."""

    __slots__ = ("_clock", "beat_at")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.beat_at: float | None = clock.monotonic()
        """When it beat last, in monotonic seconds; `None` while it rests."""

    def beat(self) -> None:
        """Say that work goes on."""
        self.beat_at = self._clock.monotonic()

    def rest(self) -> None:
        """Say that the next beat may be long in coming, and that this is nobody's fault.

        Nothing is asked for, or a call waits for a broker for as long as the
        broker likes.
        """
        self.beat_at = None


class Pulses:
    """The pulses of one process, by the names of their threads.

    A thread that dies in its work leaves its pulse behind, which then grows
    old: only one that ends in good order takes it away.
    """

    def __init__(self, clock: Clock) -> None:
        """Begin with none; `clock` tells their ages."""
        self._clock = clock
        self._pulses: dict[str, Pulse] = {}

    def begin(self, name: str) -> Pulse:
        """Return the pulse of thread `name`, in the place of a former one's."""
        pulse = self._pulses[name] = Pulse(self._clock)
        return pulse

    def end(self, pulse: Pulse) -> None:
        """Forget `pulse`: its thread has ended as it should."""
        for name in [name for name, each in list(self._pulses.items()) if each is pulse]:
            del self._pulses[name]

    def beats(self) -> Mapping[str, float | None]:
        """Return when each thread beat last, in monotonic seconds; `None` for one that rests."""
        return {name: pulse.beat_at for name, pulse in list(self._pulses.items())}
