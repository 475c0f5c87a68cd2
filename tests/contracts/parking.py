"""Helpers that park read events, and find them again."""

from dataclasses import replace

from streamer.events import DeadLetter, Entry, ParkedLane, Setback
from streamer.ports import Controls, LaneChange
from tests.contracts.follower import Follower
from tests.contracts.values import ATTEMPTS
from tests.letters import every_letter

KEY = "001000000000001AAA"
ONCE = Setback(
    attempts=1,
    first_failed_at=10.5,
    due_at=20.25,
    first_error="ü 500",
    last_error="ü 500",
    failed_attempts=ATTEMPTS,
)
TWICE = replace(ONCE, attempts=2, due_at=90.0, last_error="timeout")


def joining(*entries: Entry, setback: Setback = ONCE, lane: str = KEY) -> LaneChange:
    """Return the change by which `entries` join a lane."""
    return LaneChange(partition=entries[0].partition, lane=lane, setback=setback, joined=entries)


def leaving(*entries: Entry, setback: Setback | None = ONCE, lane: str = KEY) -> LaneChange:
    """Return the change by which `entries` leave a lane."""
    return LaneChange(
        partition=entries[0].partition, lane=lane, setback=setback, left=[entry.offset for entry in entries]
    )


async def park(follower: Follower, *entries: Entry, setback: Setback = ONCE, lane: str = KEY) -> None:
    """Park `entries`, and settle everything that was read."""
    await follower.settle(lanes=[joining(*entries, setback=setback, lane=lane)])


def lane_of(*entries: Entry, setback: Setback = ONCE, lane: str = KEY) -> list[ParkedLane]:
    """Return the only lane."""
    return [ParkedLane(lane=lane, offsets=tuple(entry.offset for entry in entries), setback=setback)]


async def letters(controls: Controls) -> list[DeadLetter]:
    """Return the dead letters; each must come once."""
    found = await every_letter(controls)
    assert len({letter.id for letter in found}) == len(found)
    return found
