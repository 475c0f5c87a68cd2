"""Joining of the halves of an event: each of several upstream subscribers forwards one half."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from streamer.dispatch.commands import SETTLE, Command, Park, SetHeadAside, Wait
from streamer.dispatch.forwarding import Upstream, joined
from streamer.dispatch.lanes.lanes import Lane
from streamer.dispatch.state import DispatchState
from streamer.events import Entry, Event, EventId, Reject, SubscriberName
from streamer.ports import Feed

_AT_ONCE = 20
# The first wait is in memory: the halves of an event usually come at almost the same time, and
# parking would cost a record for each half.
_IN_MEMORY_S = 10.0
# If all halves of an event are dead letters, they are redriven one after another, so each half
# waits for the others.
_AFTER_REDRIVE_S = 60.0
_LATE_HINT = "Look at the receipts in the event, and send the event to the target by hand."
_LOST_HINT = "Find out why the upstream subscriber did not forward the event, then redrive the dead letter."


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """Joins the halves of events; all halves of an event are in the same lane.

    The halves stay in the lane unchanged until the event is settled. So after a crash,
    this process or the next owner of the partition joins the halves again. An event
    whose halves are not complete after `limit_s` seconds becomes a dead letter. After a
    redrive, the event waits for at least a minute.
    """

    upstream: Upstream
    state: DispatchState
    limit_s: float

    async def join(self, lane: Lane, feed: Feed) -> Command | None:
        """Join the head with its other halves in `lane`; return a command if the head can't be tried.

        The lane waits while halves are missing, and the head becomes a dead letter when
        the missing halves are overdue. Raises `LogUnavailable`.
        """
        head = lane.head
        if not self.upstream.missing(head.event):
            return None
        others = await self._others(lane, head, feed)
        # The head is the first half in the list, because it came first.
        event = joined([head.event, *(other.event for other in others)])
        missing = self.upstream.missing(event)
        if missing and not self.upstream.is_late(head.event) and self._left_s(lane) > 0:
            # Operators see this text in the list of parked keys.
            lane.retries.last_error = f"waits until {' and '.join(missing)} forwards the event"
            return self._waits(lane)
        if lane.entries and lane.entries[0] is head:
            whole = Entry(partition=head.partition, offset=head.offset, event=event, size=head.size)
            self.state.lanes.replace_head(lane, whole, tuple(others))
        lane.halves.awaited = None
        return self._overdue(lane.head.event, missing) if missing else None

    def is_awaited(self, lane: Lane, entry: Entry) -> bool:
        """Return true if `entry`, which has just joined `lane`, can be a half of the lane's head."""
        if lane.retries.attempts:
            return False
        # A restored lane does not know which event it waits for, so any event counts.
        return lane.halves.awaited == entry.event.id or (lane.halves.awaited is None and lane.is_parked)

    def _waits(self, lane: Lane) -> Command:
        left_s, event = max(0.0, self._left_s(lane)), lane.head.event.id
        if lane.halves.awaited is None and not lane.is_parked:
            return Wait(delay_s=min(_IN_MEMORY_S, left_s), awaits=event)
        return Park(delay_s=left_s, awaits=event)

    def _overdue(self, event: Event, absent: Sequence[SubscriberName]) -> Command:
        if self.upstream.repeats(event):
            return SETTLE
        missing = " and ".join(absent)
        if self.upstream.is_late(event):
            reason = (
                f"the event was redriven after the halves from {missing} had been settled without this half"
            )
            failure = Reject(reason=reason, hint=_LATE_HINT, sent=False)
        else:
            reason = f"{missing} has not forwarded the event within {self.limit_s:g} s"
            failure = Reject(reason=reason, hint=_LOST_HINT, sent=False)
        return SetHeadAside(failure=failure, reason="incomplete")

    def _left_s(self, lane: Lane) -> float:
        ends_at = self.upstream.heard_at(lane.head.event) + self.limit_s
        if (redriven_at := lane.redriven.get(lane.head_offset)) is not None:
            ends_at = max(ends_at, redriven_at + _AFTER_REDRIVE_S)
        return ends_at - self.state.clock.now()

    async def _others(self, lane: Lane, head: Entry, feed: Feed) -> list[Entry]:
        if lane.halves.places is None:
            lane.halves.places = await self._found_places(lane, feed)
        held = {entry.offset: entry for entry in lane.entries if entry.event.id == head.event.id}
        looked_for: set[int] = set()
        while True:
            # A half can have arrived while other halves were recalled.
            offsets = sorted(at for at in lane.halves.places.get(head.event.id, ()) if at > head.offset)
            absent = [at for at in offsets if at not in held and at not in looked_for]
            if not absent:
                found = [held[at] for at in offsets if at in held]
                return [each for each in found if self.upstream.match(head.event, each.event)]
            looked_for.update(absent)
            recalled = await self.state.ledger.recall(feed, lane.partition, absent)
            held |= {entry.offset: entry for entry in recalled}

    async def _found_places(self, lane: Lane, feed: Feed) -> dict[EventId, list[int]]:
        """Return the offsets of all entries of `lane` by event, read from the log for a restored lane."""
        places: dict[EventId, list[int]] = {}
        parked, begin = list(lane.parked), 0
        while begin < len(parked):
            batch = parked[begin : begin + _AT_ONCE]
            for entry in await self.state.ledger.recall(feed, lane.partition, batch):
                places.setdefault(entry.event.id, []).append(entry.offset)
            begin += len(batch)
            if begin == len(parked):
                # Other entries can have joined the lane in the meantime.
                parked = list(lane.parked)
                begin = bisect_right(parked, batch[-1])
        return places
