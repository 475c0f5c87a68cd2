"""Chips that show the outcomes of events in words and colours."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamer.events import EventOutcome

LEVELS = {
    EventOutcome.DEAD: "bad",
    EventOutcome.RETRYING: "waits",
    EventOutcome.WAITING: "waits",
    EventOutcome.UNKNOWN: "quiet",
    EventOutcome.SETTLED: "good",
    EventOutcome.DELIVERED: "good",
    EventOutcome.SKIPPED: "quiet",
}
"""Colours of the outcomes."""


def words_of(outcome: str, count: int = 1) -> str:
    """Return an outcome as the pages write it. The API's `dead` is a dead letter on every page."""
    if outcome != EventOutcome.DEAD:
        return outcome
    return "dead letter" if count == 1 else "dead letters"


@dataclass(frozen=True, slots=True)
class OutcomeChip:
    """Outcome of an event at one or more subscribers, whose names are in `who`."""

    text: str
    level: str
    who: str


def chips_of(outcomes: Mapping[str, EventOutcome]) -> list[OutcomeChip]:
    """Return a chip for each outcome of one event, the worst first.

    Subscribers that skip the event count only if every subscriber skips it.
    """
    shown = shown_of(outcomes)
    counts = Counter(shown.values())
    if counts.keys() == {EventOutcome.SKIPPED}:
        return [OutcomeChip(EventOutcome.SKIPPED.value, "quiet", "no subscriber selects the event")]
    return [
        OutcomeChip(
            text=words_of(outcome)
            if len(shown) == 1
            else f"{counts[outcome]} {words_of(outcome, counts[outcome])}",
            level=LEVELS[outcome],
            who=", ".join(name for name, each in shown.items() if each is outcome),
        )
        for outcome in EventOutcome
        if counts[outcome]
    ]


def shown_of(outcomes: Mapping[str, EventOutcome]) -> Mapping[str, EventOutcome]:
    """Return the outcomes without those of subscribers that skip the event, unless every subscriber does."""
    selected = {name: each for name, each in outcomes.items() if each is not EventOutcome.SKIPPED}
    return selected or outcomes


def worst_of(outcomes: Mapping[str, EventOutcome]) -> EventOutcome | None:
    """Return the worst outcome of one event, or `None` without subscribers."""
    found: Sequence[EventOutcome] = [*shown_of(outcomes).values()]
    return min(found, key=list(EventOutcome).index, default=None)
