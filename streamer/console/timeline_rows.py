"""Rows of an event's timeline: times, the time since the step before, and a level for the colour."""

from collections.abc import Sequence
from dataclasses import dataclass

from streamer.admin.events.steps import StepKind
from streamer.events import JsonObject
from streamer.observe.durations import difference
from streamer.observe.exchanges import exchange_lines

_LEVELS = {
    StepKind.DELIVERED: "good",
    StepKind.FAILED: "bad",
    StepKind.DEAD_LETTER: "bad",
    StepKind.SET_ASIDE: "bad",
    StepKind.PARKED: "waits",
    StepKind.PAUSED: "waits",
    StepKind.WAITING: "waits",
    StepKind.NEXT: "waits",
}
# The space before a step grows with the time that passed, but not in proportion: an hour beside a
# millisecond would leave nothing to see of the millisecond.
_GAPS = ((1.0, "none"), (60.0, "short"), (3_600.0, "long"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineRow:
    """Row of a timeline, `at` in RFC 3339.

    `day` is set in the first row of each day. `clock` and `since` are empty for a step
    without a time. `gap` is `none`, `short`, `long`, `longest` or `unknown`. `exchange`
    says what a failed attempt sent, and what was answered.
    """

    at: str
    day: str
    clock: str
    since: str
    gap: str
    level: str
    subscriber: str
    said: str
    took: str
    detail: str
    exchange: Sequence[str]


def timeline_rows(steps: Sequence[JsonObject]) -> list[TimelineRow]:
    """Return the rows of the API's timeline."""
    rows, day = list[TimelineRow](), ""
    for step in steps:
        at, since_s = step["at"] or "", step["since_s"]
        rows.append(
            TimelineRow(
                at=at,
                day=at[:10] if at[:10] != day else "",
                clock=at[11:23],
                since="" if since_s is None else difference(since_s),
                gap=_gap(at, since_s),
                level=_LEVELS.get(StepKind(step["kind"]), "quiet"),
                subscriber=step["subscriber"] or "",
                said=step["said"],
                took="" if step["seconds"] is None else difference(step["seconds"]).removeprefix("+"),
                detail=step["detail"],
                exchange=exchange_lines(step),
            )
        )
        day = at[:10] or day
    return rows


def _gap(at: str, since_s: float | None) -> str:
    if not at:
        return "unknown"
    return next((gap for below, gap in _GAPS if (since_s or 0.0) < below), "longest")
