"""Finds a subscriber's oldest event, and lists its parked keys for operators."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from heapq import nsmallest

from streamer.clock import Clock
from streamer.dispatch.lanes.delay_queue import DelayQueue
from streamer.dispatch.lanes.lanes import InFlight, Lane, Lanes
from streamer.observe.subscriber_status import ParkedKey, ParkedKeys, ParkedState

# With 100,000 parked keys, a search blocks the event loop for some tens of milliseconds.
_LANES_A_SECOND = 1_000


class OldestEvent:
    """Finds the oldest undelivered event of a subscriber among the heads of its lanes.

    An event that waits for its other halves (`after`) is ignored, because upstream
    subscribers are responsible for its delay. The result of a search through many
    lanes is used for some seconds.
    """

    def __init__(self, lanes: Lanes, clock: Clock) -> None:
        self._lanes = lanes
        self._clock = clock
        self._next_search_at = 0.0
        self._committed_at: float | None = None

    @property
    def committed_at(self) -> float | None:
        """Commit time of the event in Salesforce, in epoch seconds; `None` if no event waits."""
        now = self._clock.monotonic()
        if now >= self._next_search_at:
            times = [at for lane in self._lanes if (at := _waits_since(lane)) is not None]
            self._committed_at = min(times, default=None)
            self._next_search_at = now + len(times) // _LANES_A_SECOND
        return self._committed_at


def _waits_since(lane: Lane) -> float | None:
    """Return the time since which the lane's head waits, in epoch seconds."""
    if lane.halves.awaited is not None:
        return None
    if lane.entries:
        return datetime.fromisoformat(lane.head.event.time).timestamp()
    # The event is only in the log. It failed soon after it arrived, so its first failure is
    # close enough.
    return lane.retries.first_failed_at


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedListing:
    """Lists the parked lanes in the partitions of this process."""

    lanes: Lanes
    delay_queue: DelayQueue
    in_flight: InFlight

    def keys(self, most: int, *, key: str | None = None) -> ParkedKeys:
        """Return the `most` parked lanes that are due first, and the total number.

        With `key`, lanes of other keys are ignored and not counted.
        """
        lanes = [lane for lane in self._parked() if key is None or lane.name == key]
        first = nsmallest(most, lanes, key=lambda lane: lane.retries.due_at)
        return ParkedKeys(total=len(lanes), keys=tuple(self._listed(lane) for lane in first))

    def _parked(self) -> Iterator[Lane]:
        return (lane for lane in self.lanes if lane.is_parked)

    def _listed(self, lane: Lane) -> ParkedKey:
        return ParkedKey(
            key=lane.name,
            partition=lane.partition,
            offset=lane.head_offset,
            events=len(lane.parked),
            state=self._state(lane),
            attempts=lane.retries.attempts,
            due_at=lane.retries.due_at,
            first_failed_at=lane.retries.first_failed_at,
            first_error=lane.retries.first_error,
            last_error=lane.retries.last_error,
        )

    def _state(self, lane: Lane) -> ParkedState:
        if lane in self.in_flight:
            return ParkedState.TRYING
        return ParkedState.WAITING if lane in self.delay_queue else ParkedState.DUE
