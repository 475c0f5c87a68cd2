"""Search for dead letters that a later event has superseded."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from streamer.dispatch.chains.forwarding import Upstream, joined
from streamer.dispatch.progress.latest_deliveries import HasPlace
from streamer.dispatch.redrive.placed_letters import LetterPlaces
from streamer.errors import BrokenRoute
from streamer.events import Entry, Event, EventId, Partition
from streamer.ports import LogReader, Subscription

_Lane = tuple[Partition, str]

# Of events whose halves are settled, those of dead letters alone stay without each other.
_MOST_HALVES = 10_000


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
