"""Rule when the org is asked about a span of time: see `streamer.ports.Replication`."""

from streamer.clock import CLOCKS_DIFFER_S
from streamer.ports import Changed, Deletions

COVERED_S = 60.0
"""Pause before the org is asked again about a span that it does not cover yet."""


def coverable_in_s(until: float, now: float) -> float:
    """Return in how many seconds an answer can cover the time `until`; before that, none is asked for."""
    return max(0.0, until + CLOCKS_DIFFER_S - now)


def end_of(until: float) -> float:
    """Return the end of the span to ask for, so that the answer holds all that the org did before `until`.

    The org's clock can be ahead of this one.
    """
    return until + CLOCKS_DIFFER_S


def asked_again_in_s(answer: Changed | Deletions, start: float) -> float:
    """Return in how many seconds to continue after an `answer` about the time since `start`."""
    return 0.0 if answer.has_more and answer.until > start else COVERED_S
