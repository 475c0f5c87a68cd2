"""Redrives of dead letters: which ones a later event has superseded."""

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from itertools import chain, islice
from typing import NamedTuple

from streamer.dispatch.chains.forwarding import Upstream, joined
from streamer.dispatch.delivery.attempts import Attempts
from streamer.dispatch.lanes.lanes import Lane
from streamer.dispatch.progress.latest_deliveries import HasPlace
from streamer.dispatch.state import DispatchState
from streamer.errors import BrokenRoute
from streamer.events import DeadLetter, Entry, Event, EventId, LetterHead, Partition, SubscriberName
from streamer.ports import LogReader, Subscription

COMPARED_AT_ONCE = 50_000
"""Letters that are compared with later events of their keys in one reading of the log."""
_Lane = tuple[Partition, str]

# Of events whose halves are settled, those of dead letters alone stay without each other.
_MOST_HALVES = 10_000
_Order = tuple[DeadLetter, bool]


class PlacedLetter(NamedTuple):
    """Letter that a subscriber can get again; `size` is the whole letter's, in bytes."""

    id: str
    subscriber: SubscriberName
    key: str
    partition: Partition
    offset: int
    size: int

    @classmethod
    def of(cls, head: LetterHead) -> "PlacedLetter":
        """Return the place of a letter that can be redriven."""
        assert head.subscriber is not None  # noqa: S101 - a subscriber has read it
        assert head.key is not None  # noqa: S101 - it is to be delivered
        assert head.partition is not None  # noqa: S101 - it was read from there
        return cls(head.id, head.subscriber, head.key, head.partition, head.offset or 0, head.size)


class LetterPlaces:
    """Places of any number of letters of one subscriber: their events never reached the target."""

    def __init__(self, letters: Iterable[DeadLetter | LetterHead] = ()) -> None:
        """Begin with `letters`."""
        self._offsets: dict[Partition, set[int]] = defaultdict(set)
        for letter in letters:
            self.add(letter)

    def add(self, letter: DeadLetter | LetterHead) -> None:
        """Add a letter, with or without an event; one that has no place is ignored."""
        if letter.partition is not None and letter.offset is not None:
            self._offsets[letter.partition].add(letter.offset)

    def has(self, partition: Partition, offset: int) -> bool:
        """Return true if the event there is a dead letter."""
        return offset in self._offsets.get(partition, ())


def pages(letters: Iterable[PlacedLetter], most: int = COMPARED_AT_ONCE) -> Iterator[list[PlacedLetter]]:
    """Yield all of `letters` in pages of about `most`, those of one key together.

    A page has neighbours of one partition, so that little of the log is read
    for it.
    """
    keys: dict[tuple[Partition, str], list[PlacedLetter]] = defaultdict(list)
    for letter in sorted(
        letters, key=lambda each: (each.partition.topic, each.partition.number, each.offset)
    ):
        keys[letter.partition, letter.key].append(letter)
    page: list[PlacedLetter] = []
    for some in keys.values():
        if page and len(page) + len(some) > most:
            yield page
            page = []
        page += some
    if page:
        yield page


_Queue = tuple[SubscriberName, Partition]
_Numbered = tuple[int, PlacedLetter]


class RedrivePlan:
    """Letters in the order in which the log lists them, those of a key by their offsets.

    So the letters of a key are delivered in their order, and the log is read
    from its beginning to its end. Each step costs what it returns, whatever
    the number of letters.
    """

    def __init__(self, letters: Sequence[PlacedLetter] = ()) -> None:
        """Plan `letters`, as the log lists them."""
        self._ids = {letter.id for letter in letters}
        self._dropped: set[str] = set()
        self._taken: dict[str, _Numbered] = {}
        self._queues: dict[_Queue, deque[_Numbered]] = defaultdict(deque)
        for number, letter in enumerate(_by_offset_in_key(letters)):
            self._queues[letter.subscriber, letter.partition].append((number, letter))

    def __contains__(self, id_: str) -> bool:
        return id_ in self._ids

    @property
    def taken(self) -> Collection[str]:
        """Ids of the letters that were taken, and are not known to be gone."""
        return self._taken.keys()

    def drop(self, ids: Iterable[str]) -> None:
        """Leave letters out: they are gone, or not to be delivered."""
        for id_ in ids:
            if id_ in self._ids:
                self._ids.remove(id_)
                self._dropped.add(id_)
                self._taken.pop(id_, None)

    def take(
        self, holds: Callable[[SubscriberName, Partition], bool], *, letters: int, size: int
    ) -> list[PlacedLetter]:
        """Take the next letters from the queues that this process `holds`: at most so many, and of that size.

        One letter always fits.
        """
        held = [queue for (name, partition), queue in self._queues.items() if holds(name, partition)]
        taken: list[PlacedLetter] = []
        while len(taken) < letters and size > 0 and (queues := [*filter(self._trimmed, held)]):
            number, letter = min(queues, key=lambda queue: queue[0][0]).popleft()
            self._taken[letter.id] = number, letter
            taken.append(letter)
            size -= letter.size
        return taken

    def put_back(self, ids: Iterable[str]) -> None:
        """Put letters that were taken back to the beginnings of their queues."""
        back = sorted(self._taken.pop(id_) for id_ in set(ids) if id_ in self._taken)
        for number, letter in reversed(back):
            self._queues[letter.subscriber, letter.partition].appendleft((number, letter))

    def waiting(self) -> Iterator[PlacedLetter]:
        """Yield the letters that were not taken."""
        queues = [*filter(self._trimmed, self._queues.values())]
        return (letter for _, letter in chain(*queues) if letter.id not in self._dropped)

    def first(self, most: int) -> list[str]:
        """Return the ids of at most `most` letters that were not taken."""
        return [letter.id for letter in islice(self.waiting(), most)]

    def _trimmed(self, queue: deque[_Numbered]) -> bool:
        """Forget the letters at the beginning of `queue` that were left out; return true if others follow."""
        while queue and queue[0][1].id in self._dropped:
            queue.popleft()
        return bool(queue)


def _by_offset_in_key(letters: Iterable[PlacedLetter]) -> Iterator[PlacedLetter]:
    keys: dict[tuple[_Queue, str], list[PlacedLetter]] = defaultdict(list)
    letters = list(letters)
    for letter in letters:
        keys[(letter.subscriber, letter.partition), letter.key].append(letter)
    ordered = {key: iter(sorted(some, key=lambda each: each.offset)) for key, some in keys.items()}
    return (next(ordered[(letter.subscriber, letter.partition), letter.key]) for letter in letters)


async def superseded(
    letters: Iterable[HasPlace],
    reader: LogReader,
    subscription: Subscription,
    admits: Callable[[Event], bool],
    *,
    aside: LetterPlaces,
) -> frozenset[str]:
    """Return the ids of the `letters` that a later event of their key has superseded.

    Such an event stands behind the letter in its partition, the subscriber has
    settled it, and the subscriber's route `admits` it. An event that is itself
    a dead letter, or on which the route breaks, never reached the target and
    does not count: therefore `aside` are the places of all letters of the
    subscriber, with or without an event. An event that is set aside after the letters were
    listed can count as delivered. One that comes in halves counts where its
    first half stands, once
    all are settled and none belongs to a letter.

    Letters of other subscribers, and those without an event or a place in the
    log, are never superseded. Raises `LogUnavailable`.
    """
    waiting: dict[_Lane, dict[str, int]] = defaultdict(dict)
    begin: dict[Partition, int] = {}
    for letter in letters:
        if letter.subscriber != subscription.subscriber:
            continue
        if letter.key is not None and letter.partition is not None and letter.offset is not None:
            waiting[letter.partition, letter.key][letter.id] = letter.offset
            begin[letter.partition] = min(letter.offset, begin.get(letter.partition, letter.offset))

    found: set[str] = set()
    halves = _Halves(upstream=Upstream(names=subscription.after))
    async with aclosing(reader.settled_events(subscription, begin)) as entries:
        async for entry in entries:
            lane = entry.partition, entry.event.key
            if lane not in waiting or aside.has(entry.partition, entry.offset):
                continue
            whole = halves.whole(entry)
            if whole is None or not _admitted(whole.event, admits):
                continue
            found.update(id_ for id_, offset in waiting[lane].items() if offset < whole.offset)
            waiting[lane] = {id_: at for id_, at in waiting[lane].items() if at > whole.offset}
            if not waiting[lane]:
                del waiting[lane]
            if not waiting:
                break
    return frozenset(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Halves:
    """Settled halves of events that several subscribers forward, as far as they were read."""

    upstream: Upstream
    _first: dict[EventId, Entry] = field(default_factory=dict)

    def whole(self, entry: Entry) -> Entry | None:
        """Return the event of `entry` at the place of its first half, or `None` while others are missing."""
        if not self.upstream.joins or not self.upstream.missing(entry.event):
            return entry
        id_ = entry.event.id
        first = self._first.pop(id_, None)
        whole = entry if first is None else replace(first, event=joined([first.event, entry.event]))
        if not self.upstream.missing(whole.event):
            return whole
        self._first[id_] = whole
        if len(self._first) > _MOST_HALVES:
            del self._first[next(iter(self._first))]
        return None


def _admitted(event: Event, admits: Callable[[Event], bool]) -> bool:
    try:
        return admits(event)
    except BrokenRoute:
        return False


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
    that are watched. The letters in `waiting` join lanes whose attempts are in flight.
    """

    subscription: Subscription
    reader: LogReader
    attempts: Attempts
    state: DispatchState
    waiting: dict[Lane, dict[str, _Order]] = field(default_factory=lambda: defaultdict(dict), init=False)

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
        for letter, include_superseded in self.waiting.pop(lane).values():
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
            self.waiting[lane][letter.id] = letter, include_superseded
        else:
            state.rejoin(entry, letter)
        return Redriven.TAKEN
