"""Results of the part of the bench in which processes go away."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench.results import Part, Row, measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeovers(Part):
    """The fates of the process that read a channel, and how long events waited then for the other one.

    `let_go_s` is how long a frozen one, once woken, still believed itself the
    owner. `committed` counts each event once, as an independent reader does.
    """

    session_s: float
    killed_s: Sequence[float]
    stopped_s: Sequence[float]
    frozen_s: Sequence[float]
    let_go_s: Sequence[float]
    sent: int
    committed: int
    repeated: int

    @property
    def complete(self) -> bool:
        """Whether every event was committed, once."""
        return (self.committed, self.repeated) == (self.sent, 0)

    def figures(self) -> Sequence[Row]:
        """Return how long events waited, and how many there were."""
        of = f"sessions of {self.session_s:g} s, median of {len(self.killed_s)}"
        return [
            Row(f"owner killed in mid-transaction ({of})", measured(self.killed_s, "{:.2f} s"), "10 s"),
            Row("owner stopped", measured(self.stopped_s, "{:.2f} s"), "2 s"),
            Row("owner frozen in mid-transaction", measured(self.frozen_s, "{:.2f} s"), "10 s"),
            Row(
                "frozen owner, from waking to letting go",
                measured([one * 1000 for one in self.let_go_s], "{:.0f} ms"),
            ),
            Row(
                "events sent meanwhile, committed, repeated",
                f"{self.sent:,} {self.committed:,} {self.repeated:,}",
            ),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling(Part):
    """Processes that were replaced one after the other while events streamed to the log and a target.

    `paused_s` is, for each channel, the longest that an event waited then until
    it could be read as committed. `committed` and `delivered` count each event
    once; what came again is in the other two.
    """

    processes: int
    session_s: float
    paused_s: Mapping[str, float]
    sent: int
    committed: int
    delivered: int
    repeated_in_log: int
    repeated_to_target: int

    @property
    def complete(self) -> bool:
        """Whether every event was committed and delivered, once."""
        return (
            self.committed == self.delivered == self.sent
            and self.repeated_in_log == self.repeated_to_target == 0
        )

    def figures(self) -> Sequence[Row]:
        """Return the pauses, and how many events there were."""
        return [
            *(
                Row(f"rolling restart of {self.processes}: longest pause of {channel}", f"{paused_s:.2f} s")
                for channel, paused_s in self.paused_s.items()
            ),
            Row(
                "events sent meanwhile, committed, delivered",
                f"{self.sent:,} {self.committed:,} {self.delivered:,}",
            ),
            Row(
                "repeated in the log, to the target",
                f"{self.repeated_in_log:,} {self.repeated_to_target:,}",
                "0 0",
            ),
        ]
