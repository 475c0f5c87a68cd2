"""Dead letters that a later event has superseded."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from streamer.dispatch.redrive import LetterPlaces, superseded
from streamer.errors import BrokenRoute
from streamer.events import DeadLetter, Entry, Event, Partition, Setback, SubscriberName
from streamer.log.memory import MemoryLog, partition_of
from streamer.ports import LaneChange, Subscription
from tests.contracts.follower import Follower, following
from tests.contracts.values import a_dead_letter, an_append, an_event, append_to

TARGET = SubscriberName("target")
ACCOUNT = "salesforce.cdc.Account.updated"
ONCE = Setback(attempts=1, first_failed_at=1.0, due_at=2.0, first_error="500", last_error="500")


@dataclass(slots=True, kw_only=True)
class Watched(MemoryLog):
    """Remembers where reading was to begin, and how much was read."""

    asked: list[Mapping[Partition, int]] = field(default_factory=list)
    count: int = 0

    async def settled_events(
        self, subscription: Subscription, begin: Mapping[Partition, int]
    ) -> AsyncGenerator[Entry, None]:
        """Read as any other log."""
        self.asked.append(dict(begin))
        async for entry in MemoryLog.settled_events(self, subscription, begin):
            self.count += 1
            yield entry


def letter_of(entry: Entry) -> DeadLetter:
    """Return the letter of an event that the target could not be given."""
    return replace(
        a_dead_letter(f"letter of {entry.event.id}"),
        subscriber=TARGET,
        event=entry.event,
        partition=entry.partition,
        offset=entry.offset,
    )


async def among(
    log: MemoryLog,
    letters: Iterable[DeadLetter],
    *,
    admits: Callable[[Event], bool] = lambda _: True,
    aside: Iterable[DeadLetter] = (),
) -> set[str]:
    """Return the events whose letters are superseded."""
    subscription = Subscription(subscriber=TARGET, patterns=("salesforce.*",))
    letters = list(letters)
    places = LetterPlaces([*letters, *aside])
    ids = await superseded(letters, log, subscription, admits, aside=places)
    return {id_.removeprefix("letter of ") for id_ in ids}


async def read(log: MemoryLog, follower: Follower, *keys: str, what: str = ACCOUNT) -> list[Entry]:
    """Append one event for each of `keys`, named by its number in the log, and read them."""
    first = len(log.partitions.entries)
    await append_to(log, an_append(*(an_event(first + n, key=key, what=what) for n, key in enumerate(keys))))
    await follower.read_until(str(len(log.partitions.entries) - 1))
    return follower.entries[first:]


async def test_letter_is_superseded_by_a_later_event_of_its_key() -> None:
    """By one of its key, and by none of another; the later event itself is not."""
    log = MemoryLog()
    async with following(log) as follower:
        entries = await read(log, follower, "a", "b", "a")
        await follower.settle()

        assert await among(log, map(letter_of, entries[:2])) == {"0"}


async def test_event_before_the_letter_supersedes_nothing() -> None:
    """It is older than what the target lacks."""
    log = MemoryLog()
    async with following(log) as follower:
        entries = await read(log, follower, "a", "a")
        await follower.settle()

        assert await among(log, [letter_of(entries[1])]) == set()


async def test_event_that_is_a_letter_too_supersedes_nothing() -> None:
    """It does not matter if it is among the requested letters or beside them."""
    log = MemoryLog()
    async with following(log) as follower:
        entries = await read(log, follower, "a", "a")
        await follower.settle()
        first, second = map(letter_of, entries)

        assert await among(log, [first, second]) == set()
        assert await among(log, [first], aside=[second]) == set()
        assert await among(log, [first], aside=[replace(second, event=None)]) == set()


async def test_all_letters_of_a_key_are_superseded_by_one_event() -> None:
    """Those before it; one behind it is not."""
    log = MemoryLog()
    async with following(log) as follower:
        entries = await read(log, follower, "a", "a", "a", "a")
        await follower.settle()

        assert await among(log, [letter_of(entries[n]) for n in (0, 1, 3)]) == {"0", "1"}


async def test_event_that_is_parked_or_open_supersedes_nothing() -> None:
    """The target has not had it yet."""
    log = MemoryLog()
    async with following(log) as follower:
        first, second, _ = await read(log, follower, "a", "a", "a")
        park = LaneChange(partition=second.partition, lane="a", setback=ONCE, joined=[second])
        await follower.settle(but=["2"], lanes=[park])
        assert await among(log, [letter_of(first)]) == set()
        await follower.settle()

        assert await among(log, [letter_of(first)]) == {"0"}


def breaks(_: Event) -> bool:
    """Fail as a route does on an event of an unexpected shape."""
    raise BrokenRoute("when fails on this event")


@pytest.mark.parametrize("admits", [lambda _: False, breaks])
async def test_event_that_the_route_does_not_let_through_supersedes_nothing(
    admits: Callable[[Event], bool],
) -> None:
    """It was passed over, or set aside."""
    log = MemoryLog()
    async with following(log) as follower:
        entries = await read(log, follower, "a", "a")
        await follower.settle()

        assert await among(log, [letter_of(entries[0])], admits=admits) == set()


async def test_same_key_in_another_partition_is_another_key() -> None:
    """Nothing says which of the two came later."""
    log = MemoryLog()
    async with following(log) as follower:
        [entry] = await read(log, follower, "a")
        await read(log, follower, "a", "a", what="salesforce.cdc.Contact.updated")
        await follower.settle()

        assert await among(log, [letter_of(entry)]) == set()


@pytest.mark.parametrize(
    "lacking",
    [{"event": None}, {"partition": None}, {"offset": None}, {"subscriber": SubscriberName("other")}],
)
async def test_letter_without_a_place_of_the_subscriber_is_never_superseded(
    lacking: dict[str, Any],
) -> None:
    """Nothing says what would be later than it."""
    log = MemoryLog()
    async with following(log) as follower:
        entries = await read(log, follower, "a", "a")
        await follower.settle()

        assert await among(log, [replace(letter_of(entries[0]), **lacking)]) == set()


async def test_only_partitions_with_letters_are_read_and_from_the_first_of_them_on() -> None:
    """A log of a year is not read for a letter of today."""
    log = Watched()
    async with following(log) as follower:
        entries = await read(log, follower, "a", "b", "c", "b", "c")
        await read(log, follower, "a", what="salesforce.cdc.Contact.updated")
        await follower.settle()

        assert await among(log, [letter_of(entries[2]), letter_of(entries[1])]) == {"1", "2"}
        assert log.asked == [{partition_of(ACCOUNT): entries[1].offset}]


async def test_reading_stops_when_every_letter_is_superseded() -> None:
    """The rest of the log has nothing to add."""
    log = Watched()
    async with following(log) as follower:
        entries = await read(log, follower, "a", "b", "a", "b", *("c" * 100))
        await follower.settle()

        assert await among(log, map(letter_of, entries[:2])) == {"0", "1"}
        assert log.count == 4
