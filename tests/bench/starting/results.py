"""Results of starting and of idling."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.results import Part, Ratio, Row, measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts(Part):
    """CPU seconds of each start: of an empty Python program, and of two commands."""

    nothing_s: Sequence[float]
    help_s: Sequence[float]
    check_s: Sequence[float]

    @property
    def complete(self) -> bool:
        """True: a command that fails ends the bench."""
        return True

    def ratios(self) -> Sequence[Ratio]:
        """Return the CPU of the commands by that of the empty program."""
        return (
            Ratio(
                what="CPU of `streamer --help` by `python -c pass`",
                each=[one / nothing for one, nothing in zip(self.help_s, self.nothing_s, strict=True)],
                aim="at most 8",
            ),
            Ratio(
                what="CPU of `streamer check` by `python -c pass`",
                each=[one / nothing for one, nothing in zip(self.check_s, self.nothing_s, strict=True)],
                aim="at most 20",
            ),
        )

    def figures(self) -> Sequence[Row]:
        """Return the CPU of each program."""
        return (
            Row("CPU of `python -c pass`", measured(self.nothing_s, "{:.3f} s")),
            Row("CPU of `streamer --help`", measured(self.help_s, "{:.3f} s")),
            Row("CPU of `streamer check`", measured(self.check_s, "{:.3f} s")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle(Part):
    """CPU and memory of a daemon that has nothing to do, over `looked_s`."""

    looked_s: float
    cpu_s: float
    resident_mb: float

    @property
    def complete(self) -> bool:
        """True: nothing was sent."""
        return True

    def figures(self) -> Sequence[Row]:
        """Return both."""
        return (
            Row("idle daemon: part of a core", f"{100 * self.cpu_s / self.looked_s:.2f} %", "at most 0.5 %"),
            Row("idle daemon: memory", f"{self.resident_mb:.0f} MB", "at most 80 MB"),
        )
