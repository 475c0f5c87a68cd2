"""Which dead letters a later event has made pointless."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import aclosing

from streamer.errors import BrokenRoute
from streamer.events import DeadLetter, Event, Partition
from streamer.ports import LogReader, Subscription

_Lane = tuple[Partition, str]


async def superseded(
    letters: Iterable[DeadLetter],
    reader: LogReader,
    subscription: Subscription,
    admits: Callable[[Event], bool],
    *,
    aside: Iterable[DeadLetter] = (),
) -> frozenset[str]:
    """Return the ids of those of `letters` whose key the target has had something later of.

    That is an event behind the letter in its partition which the subscriber
    is done with and its route `admits`. Events that are dead letters
    themselves never reached the target, and so do not count, nor do those on
    which the route breaks: `aside` are all letters that the subscriber has
    beside `letters`, with or without an event, which matter for that alone. An
    event that is set aside only after they were listed may count as delivered.

    Letters of other subscribers, and those without an event or a place in the
    log, are never superseded. Raises `LogUnavailable`.
    """
    ours, others = (_of(subscription, each) for each in (letters, aside))
    waiting: dict[_Lane, dict[str, int]] = defaultdict(dict)
    begin: dict[Partition, int] = {}
    for letter in ours:
        if letter.event is not None and letter.partition is not None and letter.offset is not None:
            waiting[letter.partition, letter.event.key][letter.id] = letter.offset
            begin[letter.partition] = min(letter.offset, begin.get(letter.partition, letter.offset))
    # Of one that was lost only the place is known.
    undelivered = {(letter.partition, letter.offset) for letter in (*ours, *others)}

    found: set[str] = set()
    async with aclosing(reader.settled_events(subscription, begin)) as entries:
        async for entry in entries:
            lane = entry.partition, entry.event.key
            is_delivered = (entry.partition, entry.offset) not in undelivered
            if lane not in waiting or not is_delivered or not _admitted(entry.event, admits):
                continue
            found.update(id_ for id_, offset in waiting[lane].items() if offset < entry.offset)
            waiting[lane] = {id_: at for id_, at in waiting[lane].items() if at > entry.offset}
            if not waiting[lane]:
                del waiting[lane]
            if not waiting:
                break
    return frozenset(found)


def _of(subscription: Subscription, letters: Iterable[DeadLetter]) -> list[DeadLetter]:
    return [letter for letter in letters if letter.subscriber == subscription.subscriber]


def _admitted(event: Event, admits: Callable[[Event], bool]) -> bool:
    try:
        return admits(event)
    except BrokenRoute:
        return False
