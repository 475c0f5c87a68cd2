"""Redelivery of dead letters: each event returns to its place in its lane."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum, auto

from streamer.dispatch.delivery.attempts import Attempts
from streamer.dispatch.lanes.lane import Lane
from streamer.dispatch.progress.latest_deliveries import HasPlace
from streamer.dispatch.redrive.placed_letters import LetterPlaces
from streamer.dispatch.redrive.superseded import superseded
from streamer.dispatch.state import DispatchState
from streamer.events import DeadLetter, Entry
from streamer.ports import LogReader, Subscription

_Order = tuple[DeadLetter, bool]


class Redriven(Enum):
    """Result of the redrive of a dead letter."""

    TAKEN = auto()
    """Its event is in its lane, or joins it when the attempt in flight has ended."""
    SUPERSEDED = auto()
    """A later event of its key was delivered, so it stays a dead letter."""
    NOT_OURS = auto()
    """Another process owns its partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redelivery:
    """Puts the events of dead letters back into their lanes, ahead of later events.

    `latest` in the state knows the deliveries that supersede them, of the keys
    that are watched.
    """

    subscription: Subscription
    reader: LogReader
    attempts: Attempts
    state: DispatchState
    _waiting: dict[Lane, dict[str, _Order]] = field(default_factory=lambda: defaultdict(dict), init=False)

    async def superseded(self, letters: Collection[HasPlace], aside: LetterPlaces) -> frozenset[str]:
        """Return the ids of `letters` that a later event of their key has superseded, until now.

        From now on deliveries of these keys are watched, so that `redrive` can
        tell which letters are superseded later. `aside` are the places of all
        letters of the subscriber. Raises `LogUnavailable`.
        """
        latest = self.state.latest
        latest.watch(letters)
        admits = self.attempts.admits
        try:
            # The log does not show what is not recorded yet.
            await self.state.ledger.caught_up()
            return await superseded(letters, self.reader, self.subscription, admits, aside=aside)
        except BaseException:
            # Earlier deliveries are still unknown.
            latest.forget(letters)
            raise

    def redrive(self, letter: DeadLetter, *, include_superseded: bool) -> Redriven:
        """Park the event of a dead letter at its place in its lane, due at once.

        The later events of the lane are delivered after it, also those whose
        turn has come but which a pause, a hold or the breaker keeps back. While
        the lane is being tried, the event joins it when the attempt has ended.
        """
        if self.state.is_closed:
            return Redriven.NOT_OURS
        return self._redriven(letter, include_superseded=include_superseded)

    def attempt_ended(self, lane: Lane) -> None:
        """Let the events join that waited for the end of an attempt."""
        if lane not in self._waiting:
            return
        for letter, include_superseded in self._waiting.pop(lane).values():
            self._redriven(letter, include_superseded=include_superseded)

    def _redriven(self, letter: DeadLetter, *, include_superseded: bool) -> Redriven:
        state = self.state
        if letter.event is None or letter.partition is None or letter.offset is None:
            return Redriven.NOT_OURS
        if letter.partition not in state.ledger.partitions:
            return Redriven.NOT_OURS
        if state.ledger.is_redriven(letter):
            # The log has not recorded that redrive yet; the event can even be delivered by now.
            return Redriven.TAKEN
        if not include_superseded and state.latest.supersede(letter):
            return Redriven.SUPERSEDED
        event = self.attempts.redriven(letter.event)
        entry = Entry(partition=letter.partition, offset=letter.offset, event=event)
        lane = state.lanes.lane_of(entry)
        if lane is not None and entry.offset in lane.parked:
            # The letter was listed before the log recorded its redrive.
            return Redriven.TAKEN
        if lane is not None and lane in state.in_flight:
            self._waiting[lane][letter.id] = letter, include_superseded
        else:
            state.rejoin(entry, letter)
        return Redriven.TAKEN
