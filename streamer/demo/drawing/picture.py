"""Picture of the demo at one moment, as values: the stations of the chain, and what happens."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from streamer.demo.deals import Deal
from streamer.demo.outage import OutageCourse, OutagePhase


class StationState(StrEnum):
    """State of a target, in the word that the picture shows."""

    UP = "UP"
    DOWN = "DOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """One box of the chain.

    The org and the log have no `state`. `counts` are finished texts. `waiting` is the
    number of deals that wait for this target, and `most_waiting` the number that
    fills the bar. `rates` are events per second, the latest last. `deals` are the
    deals that wait, or the deal that came last.
    """

    title: str
    counts: Sequence[str]
    state: StationState | None = None
    is_open: bool = False
    waiting: int = 0
    most_waiting: int = 0
    letters: int = 0
    latency_s: float | None = None
    rates: Sequence[float] = ()
    deals: Sequence[Deal] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPicture:
    """The stations, the narration and the timeline, `elapsed_s` after the beginning.

    The demo runs for `for_s` seconds, or until an operator stops it.
    """

    stations: Sequence[Station]
    narration: str
    timeline: Sequence[str]
    console_url: str
    elapsed_s: float
    for_s: float | None = None


def counted(number: int, name: str) -> str:
    """Return a number with its noun."""
    if number == 1:
        return f"1 {name}"
    return f"{number:,} {name.removesuffix('y')}ies" if name.endswith("y") else f"{number:,} {name}s"


def narration(outage: OutageCourse, elapsed_s: float, *, due: int | None = None) -> str:
    """Return sentences about what happens now; `due` is set once the demo waits for late deliveries."""
    if due is not None:
        waits = f"{due:,} deliveries are still due, and the demo waits for them."
        return f"The org wins no more deals. {waits if due else 'Every delivery has ended.'}"
    plan = outage.plan
    match outage.phase:
        case OutagePhase.AHEAD:
            soon = "" if plan is None else f" The ERP goes down in {_left(plan.at_s, elapsed_s)} s."
            return f"Each won deal gets an invoice, a shipment, and both numbers in Salesforce.{soon}"
        case OutagePhase.DOWN:
            end_s = (outage.down_at or 0.0) + (0.0 if plan is None else plan.lasts_s)
            return (
                "The ERP is down. Streamer keeps its events in the log. "
                f"The ERP returns in {_left(end_s, elapsed_s)} s."
            )
        case OutagePhase.DRAINING:
            return f"The ERP is back. Streamer delivers the {len(outage.waited):,} deals that waited."
        case OutagePhase.DRAINED:
            return (
                f"{outage.drained_after_s or 0.0:.1f} s after the ERP came back, it had every invoice that "
                f"waited. At most {outage.most_waiting:,} deals waited."
            )


def plain_line(picture: DemoPicture) -> str:
    """Return the picture as one line of text, for a pipe."""
    parts = [_plain_station(each) for each in picture.stations]
    return f"{picture.elapsed_s:5.1f} s  {' | '.join(parts)}"


def _plain_station(station: Station) -> str:
    troubles = [str(station.state)] if station.state is StationState.DOWN else []
    troubles += ["circuit open"] if station.is_open else []
    troubles += [f"{station.waiting:,} waiting"] if station.waiting and station.state is not None else []
    troubles += [counted(station.letters, "dead letter")] if station.letters else []
    details = f" ({', '.join(troubles)})" if troubles else ""
    return f"{station.title} {station.counts[0]}{details}"


def _left(end_s: float, elapsed_s: float) -> int:
    # Rounded up, so that the last second is not 0.
    return max(1, ceil(end_s - elapsed_s))
