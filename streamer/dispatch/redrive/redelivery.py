"""Redelivery of dead letters: each event returns to its place in its lane."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum, auto

from streamer.clock import Clock
from streamer.dispatch.delivery.attempts import Attempts
from streamer.dispatch.lanes.delay_queue import DelayQueue
from streamer.dispatch.lanes.in_flight import InFlight
from streamer.dispatch.lanes.lane import Lane
from streamer.dispatch.lanes.lanes import Lanes
from streamer.dispatch.progress.ledger import Ledger
from streamer.dispatch.redrive.latest_deliveries import LatestDeliveries
from streamer.dispatch.redrive.placed_letters import HasPlace, LetterPlaces
from streamer.dispatch.redrive.superseded import superseded
from streamer.events import DeadLetter, Entry, Partition
from streamer.ports import LogReader, Subscription

_Order = tuple[DeadLetter, bool]


class Redriven(Enum):
    """What became of a dead letter that was to be redriven."""

    TAKEN = auto()
    """Its event is in its lane, or joins it when the attempt in flight has ended."""
    SUPERSEDED = auto()
    """A later event of its key was delivered, so it stays a dead letter."""
    NOT_OURS = auto()
    """Another process owns its partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redelivery:
    """Puts the events of dead letters back into their lanes, ahead of later events.

    The record that parks an event also removes its letter.
    """

    subscription: Subscription
    reader: LogReader
    attempts: Attempts
    lanes: Lanes
    ledger: Ledger
    delay_queue: DelayQueue
    in_flight: InFlight
    clock: Clock
    _latest: LatestDeliveries = field(default_factory=LatestDeliveries, init=False)
    _waiting: dict[Lane, dict[str, _Order]] = field(default_factory=lambda: defaultdict(dict), init=False)

    async def superseded(self, letters: Collection[HasPlace], aside: LetterPlaces) -> frozenset[str]:
        """Return the ids of `letters` that a later event has superseded, and watch their keys from now on.

        `aside` are the places of all letters of the subscriber. Raises `LogUnavailable`.
        """
        self._latest.watch(letters)
        admits = self.attempts.admits
        try:
            # The log does not show what is not recorded yet.
            await self.ledger.caught_up()
            return await superseded(letters, self.reader, self.subscription, admits, aside=aside)
        except BaseException:
            # What was delivered before is still unknown.
            self._latest.forget(letters)
            raise

    def watches(self, letter: HasPlace) -> bool:
        """Return true once `superseded` was asked about the key of `letter`, while its partition is ours."""
        return self._latest.watches(letter)

    def watch_nothing(self) -> None:
        """Forget all keys, since no redrive is open any more."""
        self._latest.clear()

    def revoked(self, partitions: frozenset[Partition]) -> None:
        """Forget the keys of partitions that were lost."""
        self._latest.drop(partitions)

    def delivered(self, entry: Entry) -> None:
        """Note a delivered event, which supersedes earlier letters of its key."""
        self._latest.note(entry)

    def redrive(self, letter: DeadLetter, *, include_superseded: bool) -> Redriven:
        """Park the event of a dead letter at its place in its lane, due at once.

        The later events of the lane are delivered after it, also those whose
        turn has come but which a pause, a hold or the breaker keeps back. While
        the lane is being tried, the event joins it when the attempt has ended.
        """
        if letter.event is None or letter.partition is None or letter.offset is None:
            return Redriven.NOT_OURS
        if letter.partition not in self.ledger.partitions:
            return Redriven.NOT_OURS
        if self.ledger.is_redriven(letter):
            # The log has not recorded that redrive yet; the event can even be delivered by now.
            return Redriven.TAKEN
        if not include_superseded and self._latest.supersede(letter):
            return Redriven.SUPERSEDED
        event = self.attempts.redriven(letter.event)
        entry = Entry(partition=letter.partition, offset=letter.offset, event=event)
        lane = self.lanes.lane_of(entry)
        if lane is not None and entry.offset in lane.parked:
            # The letter was listed before the log recorded its redrive.
            return Redriven.TAKEN
        if lane is not None and lane in self.in_flight:
            self._waiting[lane][letter.id] = letter, include_superseded
        else:
            self._join(letter, entry, lane)
        return Redriven.TAKEN

    def attempt_ended(self, lane: Lane) -> None:
        """Let the events join that waited for the end of an attempt."""
        if lane not in self._waiting:
            return
        for letter, include_superseded in self._waiting.pop(lane).values():
            self.redrive(letter, include_superseded=include_superseded)

    def _join(self, letter: DeadLetter, entry: Entry, lane: Lane | None) -> None:
        now = self.clock.now()
        has_turn = lane is not None and lane not in self.delay_queue
        if lane is not None and not lane.is_parked:
            lane.due_at = now
            absorbed = self.lanes.absorb(lane)
            self.ledger.park(lane.change(joined=self.lanes.park(lane)), absorbed)
        lane = self.lanes.join(entry)
        lane.due_at = lane.redriven[entry.offset] = now
        self.ledger.redrive(lane.change(joined=[entry]), letter)
        if not has_turn:
            self.delay_queue.put(lane, 0.0)
