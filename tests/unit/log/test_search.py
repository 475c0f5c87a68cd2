"""A search merges partitions by the times of their events, within bounds."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.events import Entry, Partition
from streamer.log.search import search
from streamer.log.search_chunks import (
    LONGEST_CURSOR,
    MOST_BYTES,
    Chunk,
    Collector,
    Room,
    Span,
    decode_cursor,
    encode_cursor,
    epoch_s,
)
from streamer.normalise.malformed import from_epoch_ms
from streamer.ports import EventSearch, LoggedEvent
from tests.contracts.values import an_event

A, B = Partition(topic="a", number=0), Partition(topic="b", number=0)
WANTED = "wanted"


@dataclass
class Source:
    """Partitions with an event at each offset, at so many seconds; `reads` are the spans that were read."""

    times: Mapping[Partition, list[int]]
    wanted: frozenset[int] | None = None
    size: int = 100
    reads: list[Mapping[Partition, Span]] = field(default_factory=list)
    oldest_first: bool = False
    most: int = 50
    room: Room | None = None

    async def spans(self) -> Mapping[Partition, Span]:
        """Return all offsets."""
        return {partition: (0, len(times)) for partition, times in self.times.items()}

    async def read(self, spans: Mapping[Partition, Span]) -> Mapping[Partition, Chunk]:
        """Read the spans upwards, as the logs do."""
        self.reads.append(spans)
        return {partition: self._chunk(partition, *span) for partition, span in spans.items()}

    def _chunk(self, partition: Partition, begin: int, end: int) -> Chunk:
        room = self.room or Room(events=self.most)
        collector = Collector(
            begin=begin,
            end=end,
            room=room,
            oldest_first=self.oldest_first,
        )
        for offset in range(begin, end):
            at = self.times[partition][offset]
            collector.saw(at)
            if self.wanted is None or at in self.wanted:
                event = an_event(f"{partition.topic}{at}", time=from_epoch_ms(at * 1000))
                entry = Entry(partition=partition, offset=offset, event=event, size=self.size)
                collector.add(LoggedEvent(entry=entry))
        return collector.chunk()


def ids(events: list[LoggedEvent] | deque[LoggedEvent]) -> list[str]:
    """Return the ids of events, in their order."""
    return [each.event.id for each in events]


async def all_ids(source: Source, **asked: int | bool) -> list[str]:
    """Return what a search and all that continue it tell."""
    source.oldest_first, source.most = bool(asked.get("oldest_first")), int(asked.get("limit", 50))
    told: list[str] = []
    cursor = ""
    while True:
        found = await search(EventSearch(**asked, cursor=cursor), source)  # type: ignore[arg-type] # as tests write it
        told += ids(list(found.events))
        cursor = found.cursor
        if found.is_whole:
            return told


async def test_partitions_are_merged_by_time() -> None:
    """Also where one of them has all of the newest events."""
    source = Source({A: [1, 3, 5, 7], B: [2, 4, 20, 30]})

    assert await all_ids(source) == ["b30", "b20", "a7", "a5", "b4", "a3", "b2", "a1"]
    assert await all_ids(source, oldest_first=True) == ["a1", "b2", "a3", "b4", "a5", "a7", "b20", "b30"]


@pytest.mark.parametrize("limit", [200, 1_000, 1_503])
@pytest.mark.parametrize("oldest_first", [False, True])
async def test_order_holds_across_answers(limit: int, oldest_first: bool) -> None:  # noqa: FBT001 - pytest passes it
    """However small the answers are."""
    source = Source({A: list(range(0, 3_000, 2)), B: [1, 3, 2_999]})
    told = await all_ids(source, limit=limit, oldest_first=oldest_first)

    times = [int(each[1:]) for each in told]
    assert times == sorted(times, reverse=not oldest_first)
    assert len(times) == 1_503


async def test_quiet_partition_is_not_read_further_than_needed() -> None:
    """The next events come from the other one."""
    source = Source({A: list(range(100_000, 200_000)), B: list(range(100_000))}, most=10)
    found = await search(EventSearch(limit=10), source)

    assert ids(list(found.events)) == [f"a{at}" for at in range(199_999, 199_989, -1)]
    assert len(source.reads) == 1


async def test_search_ends_at_its_bound_and_tells_what_it_has() -> None:
    """Hits in a quiet partition are returned, though the busy one is not searched that far."""
    source = Source({A: list(range(10_000, 60_000)), B: [5, 7]}, wanted=frozenset({7}))
    found = await search(EventSearch(limit=10, scan=2_000), source)

    assert ids(list(found.events)) == ["b7"]
    assert (found.is_whole, found.scanned < 5_000) == (False, True)
    assert found.reached is not None
    assert found.reached > 10_000
    assert await all_ids(source, limit=10, scan=2_000) == ["b7"]


def _every(busy: int, number: int) -> tuple[int, int, int]:
    """Return the times of 1,000 events in a partition, `busy` of them at the same time."""
    first = number // busy * busy * 1_000 + number % busy
    return first, first + busy * 1_000 - number % busy, busy


@pytest.mark.parametrize("is_even", [True, False])
@pytest.mark.parametrize("oldest_first", [False, True])
async def test_many_partitions_hold_few_events_together(*, oldest_first: bool, is_even: bool) -> None:
    """And what has no room is not read over and over, also where two partitions have all that is wanted."""
    places = [Partition(topic="a", number=number) for number in range(40)]
    busy = 40 if is_even else 2
    times = {each: list(range(*_every(busy, each.number))) for each in places}
    room = Room.beside(len(places), 1_000)
    source = Source(times, size=3_000, oldest_first=oldest_first, room=room)
    found = await search(EventSearch(limit=1_000, oldest_first=oldest_first), source)
    read = sum(end - begin for spans in source.reads for begin, end in spans.values())

    expected = range(1_000) if oldest_first else range(39_999, 38_999, -1)
    assert ids(list(found.events)) == [f"a{at}" for at in expected]
    assert (room.events * len(places), room.bytes * len(places)) <= (4_000, 9_000_000)
    assert read <= 1_000 * len(places) + 4_000


async def test_answer_is_bounded_in_bytes() -> None:
    """One event always fits."""
    source = Source({A: [1, 2, 3]}, size=MOST_BYTES)
    found = await search(EventSearch(), source)

    assert (ids(list(found.events)), found.is_whole) == (["a3"], False)
    assert await all_ids(source) == ["a3", "a2", "a1"]
    assert await all_ids(source, oldest_first=True) == ["a1", "a2", "a3"]


async def test_cursor_of_partitions_that_are_gone_is_harmless() -> None:
    """Retention deletes events, and an operator a topic."""
    source = Source({A: [1, 2, 3], B: [4]}, most=1)
    cursor = (await search(EventSearch(limit=1), source)).cursor
    source.times = {A: [1]}

    assert ids(list((await search(EventSearch(limit=1, cursor=cursor), source)).events)) == ["a1"]


async def test_collector_keeps_the_side_where_the_search_begins() -> None:
    """And covers no offsets whose events it has dropped."""
    source = Source({A: [1, 2, 3, 4]}, most=2)
    newest = (await source.read({A: (0, 4)}))[A]
    source.oldest_first = True
    oldest = (await source.read({A: (0, 4)}))[A]

    assert (ids(newest.events), newest.begin, newest.end) == (["a3", "a4"], 2, 4)
    assert (ids(oldest.events), oldest.begin, oldest.end) == (["a1", "a2"], 0, 2)
    assert newest.edge == epoch_s(newest.events[0].event)


def test_cursor_that_would_be_too_long_is_none() -> None:
    """It must fit into the address of a request."""
    many = {
        Partition(topic=f"salesforce.cdc.T{n * 7919}", number=n): (n, 10**9 + n * n) for n in range(5_000)
    }
    assert encode_cursor(many, oldest_first=False) == ""
    some = dict(list(many.items())[:100])
    text = encode_cursor(some, oldest_first=True)
    assert len(text) <= LONGEST_CURSOR
    assert decode_cursor(text, oldest_first=True) == some


@given(st.one_of(st.text(), st.binary().map(lambda raw: raw.decode("latin-1"))))
def test_any_other_text_is_no_cursor(text: str) -> None:
    """It is refused in one way, whatever it is."""
    with pytest.raises(ValueError, match="belongs to a search with other options"):
        decode_cursor(text, oldest_first=False)
