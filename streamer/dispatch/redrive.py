"""Redrives of dead letters, with the search for dead letters that a later event has superseded."""

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from itertools import chain, islice
from typing import NamedTuple

from streamer.dispatch.delivery.attempts import Attempts
from streamer.dispatch.forwarding import Upstream, joined
from streamer.dispatch.lanes.lanes import Lane
from streamer.dispatch.latest_deliveries import HasPlace
from streamer.dispatch.state import DispatchState
from streamer.errors import BrokenRoute
from streamer.events import DeadLetter, Entry, Event, EventId, LetterHead, Partition, SubscriberName
from streamer.ports import LogReader, Subscription

COMPARED_AT_ONCE = 50_000
"""Number of dead letters that are compared with later events of the same keys in one pass over the log."""
_Lane = tuple[Partition, str]

# Most halves to remember. Normally all halves of an event are found, and only halves without a
# counterpart, such as those of dead letters, stay in memory.
_MOST_HALVES = 10_000
_Order = tuple[DeadLetter, bool]


class PlacedLetter(NamedTuple):
    """Dead letter that can be redriven, of `size` bytes, with the position of its event."""

    id: str
    subscriber: SubscriberName
    key: str
    partition: Partition
    offset: int
    size: int

    @classmethod
    def of(cls, head: LetterHead) -> "PlacedLetter":
        """Return the position of a dead letter that can be redriven."""
        assert head.subscriber is not None  # noqa: S101 - a subscriber has read its event
        assert head.key is not None  # noqa: S101 - its event can be delivered
        assert head.partition is not None  # noqa: S101 - its event was read from there
        return cls(head.id, head.subscriber, head.key, head.partition, head.offset or 0, head.size)


class LetterPlaces:
    """Positions of one subscriber's dead letters, whose events never reached the target."""

    def __init__(self, letters: Iterable[DeadLetter | LetterHead] = ()) -> None:
        """Begin with `letters`."""
        self._offsets: dict[Partition, set[int]] = defaultdict(set)
        for letter in letters:
            self.add(letter)

    def add(self, letter: DeadLetter | LetterHead) -> None:
        """Add a dead letter, with or without an event; ignore a dead letter without a position."""
        if letter.partition is not None and letter.offset is not None:
            self._offsets[letter.partition].add(letter.offset)

    def has(self, partition: Partition, offset: int) -> bool:
        """Return true if the event at this position is a dead letter."""
        return offset in self._offsets.get(partition, ())


def pages(letters: Iterable[PlacedLetter], most: int = COMPARED_AT_ONCE) -> Iterator[list[PlacedLetter]]:
    """Yield all `letters` in pages of about `most`; dead letters of one key are in the same page.

    The dead letters of a page are close to each other in a partition, so that only a
    small part of the log must be read for a page.
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
    """Dead letters in the order of a redrive.

    The order is the order of the log's list, except that the letters of one key change
    places with each other so that their offsets rise. So the events of a key are
    delivered in order, and the log is read from its beginning to its end. The cost of
    each step depends only on the size of its result.
    """

    def __init__(self, letters: Sequence[PlacedLetter] = ()) -> None:
        """Plan a redrive of `letters`, which are in the order of the log's list."""
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
        """Ids of the dead letters that were taken and have not been dropped since then."""
        return self._taken.keys()

    def drop(self, ids: Iterable[str]) -> None:
        """Remove dead letters from the plan, because they no longer exist or must not be delivered."""
        for id_ in ids:
            if id_ in self._ids:
                self._ids.remove(id_)
                self._dropped.add(id_)
                self._taken.pop(id_, None)

    def take(
        self, holds: Callable[[SubscriberName, Partition], bool], *, letters: int, size: int
    ) -> list[PlacedLetter]:
        """Take the next dead letters of the partitions that this process `holds`, within both limits.

        `letters` limits the number of dead letters, and `size` limits their total size
        in bytes; at least one dead letter is always taken.
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
        """Put dead letters that were taken back to the beginning of their queues."""
        back = sorted(self._taken.pop(id_) for id_ in set(ids) if id_ in self._taken)
        for number, letter in reversed(back):
            self._queues[letter.subscriber, letter.partition].appendleft((number, letter))

    def waiting(self) -> Iterator[PlacedLetter]:
        """Yield the dead letters that were not taken."""
        queues = [*filter(self._trimmed, self._queues.values())]
        return (letter for _, letter in chain(*queues) if letter.id not in self._dropped)

    def first(self, most: int) -> list[str]:
        """Return the ids of at most `most` dead letters that were not taken."""
        return [letter.id for letter in islice(self.waiting(), most)]

    def _trimmed(self, queue: deque[_Numbered]) -> bool:
        """Remove dropped dead letters from the beginning of `queue`; return false if it is then empty."""
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
    """Return the ids of the `letters` that a later event with the same key has superseded.

    The later event is in the same partition, the subscriber has settled the event, and
    the subscriber's route `admits` the event. A later event that is a dead letter, or
    on which the route fails, never reached the target and does not count. So `aside`
    must have the positions of all dead letters of the subscriber, with or without an
    event. A later event that becomes a dead letter after the dead letters were listed
    can count as delivered. An event that comes in halves counts at the position of its
    first half, if all halves are settled and no half belongs to a dead letter.

    Dead letters of other subscribers, and dead letters without an event or a position
    in the log, are never superseded. Raises `LogUnavailable`.
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
    """Settled halves that were read so far; several upstream subscribers each forward a half of an event."""

    upstream: Upstream
    _first: dict[EventId, Entry] = field(default_factory=dict)

    def whole(self, entry: Entry) -> Entry | None:
        """Return the joined event of `entry` at its first half's position; `None` if halves are missing."""
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
    """The event is in its lane, or joins its lane when the attempt in flight has ended."""
    SUPERSEDED = auto()
    """A later event with the same key was delivered, so the event stays a dead letter."""
    NOT_OURS = auto()
    """Another process owns the partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redelivery:
    """Puts the events of dead letters back into their lanes, ahead of later events.

    `state.latest` has the latest deliveries of watched keys, which supersede dead
    letters. The events of the dead letters in `waiting` join their lanes when the
    attempts in flight have ended.
    """

    subscription: Subscription
    reader: LogReader
    attempts: Attempts
    state: DispatchState
    waiting: dict[Lane, dict[str, _Order]] = field(default_factory=lambda: defaultdict(dict), init=False)

    async def superseded(self, letters: Collection[HasPlace], aside: LetterPlaces) -> frozenset[str]:
        """Return the ids of the `letters` that a later event with the same key has superseded so far.

        After this call, deliveries of the letters' keys are watched, so that `redrive`
        notices dead letters that are superseded later. `aside` has the positions of all
        dead letters of the subscriber. Raises `LogUnavailable`.
        """
        latest = self.state.latest
        latest.watch(letters)
        admits = self.attempts.admits
        try:
            # Wait for the records first, because the log does not show deliveries that are not
            # recorded yet.
            await self.state.ledger.caught_up()
            return await superseded(letters, self.reader, self.subscription, admits, aside=aside)
        except BaseException:
            # If the log could not be read, deliveries before the watch are unknown, so the watch
            # is useless.
            latest.forget(letters)
            raise

    def redrive(self, letter: DeadLetter, *, include_superseded: bool) -> Redriven:
        """Park the event of a dead letter in its lane by offset, due at once.

        Later events of the lane are delivered after this event. This is also true for a
        later event that already has its turn, and that waits for the end of a pause, a
        hold or an outage. If the lane is being tried, the event joins the lane after
        the attempt has ended.
        """
        if self.state.is_closed:
            return Redriven.NOT_OURS
        return self._redriven(letter, include_superseded=include_superseded)

    def attempt_ended(self, lane: Lane) -> None:
        """Let the events join `lane` that waited for the end of its attempt."""
        for letter, include_superseded in self.waiting.pop(lane).values():
            self._redriven(letter, include_superseded=include_superseded)

    def _redriven(self, letter: DeadLetter, *, include_superseded: bool) -> Redriven:
        state = self.state
        if letter.event is None or letter.partition is None or letter.offset is None:
            return Redriven.NOT_OURS
        if letter.partition not in state.ledger.partitions:
            return Redriven.NOT_OURS
        if state.ledger.is_redriven(letter):
            # The log has not recorded an earlier redrive of the dead letter yet. The event can
            # already be delivered, so it must not be redriven again.
            return Redriven.TAKEN
        if not include_superseded and state.latest.supersede(letter):
            return Redriven.SUPERSEDED
        event = self.attempts.redriven(letter.event)
        entry = Entry(partition=letter.partition, offset=letter.offset, event=event)
        lane = state.lanes.lane_of(entry)
        if lane is not None and entry.offset in lane.parked:
            # The dead letter was listed before the log recorded an earlier redrive, so its event
            # is in the lane already.
            return Redriven.TAKEN
        if lane is not None and lane in state.in_flight:
            self.waiting[lane][letter.id] = letter, include_superseded
        else:
            state.rejoin(entry, letter)
        return Redriven.TAKEN
