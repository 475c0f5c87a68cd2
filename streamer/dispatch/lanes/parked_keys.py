"""Listing of the parked lanes of one subscriber, from memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nsmallest

from streamer.dispatch.lanes.delay_queue import DelayQueue
from streamer.dispatch.lanes.in_flight import InFlight
from streamer.dispatch.lanes.lane import Lane
from streamer.dispatch.lanes.lanes import Lanes
from streamer.observe.subscriber_status import ParkedKey, ParkedKeys, ParkedState


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedListing:
    """Lists the lanes that the log keeps, in the partitions of this process."""

    lanes: Lanes
    delay_queue: DelayQueue
    in_flight: InFlight

    def keys(self, most: int, *, key: str | None = None) -> ParkedKeys:
        """Return the `most` lanes that are due first, and the number of all; with `key` only its own."""
        lanes = [lane for lane in self._parked() if key is None or lane.name == key]
        first = nsmallest(most, lanes, key=lambda lane: lane.due_at)
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
            attempts=lane.attempts,
            due_at=lane.due_at,
            first_failed_at=lane.first_failed_at,
            first_error=lane.first_error,
            last_error=lane.last_error,
        )

    def _state(self, lane: Lane) -> ParkedState:
        if lane in self.in_flight:
            return ParkedState.TRYING
        return ParkedState.WAITING if lane in self.delay_queue else ParkedState.DUE
