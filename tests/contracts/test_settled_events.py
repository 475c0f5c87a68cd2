"""A subscriber's settled events can be read while a process delivers for it, on every log."""

from streamer.events import Entry, Partition, Setback, SubscriberName
from streamer.ports import LaneChange, Subscription
from tests.contracts.follower import Follower, following
from tests.contracts.parking import KEY, ONCE
from tests.contracts.values import CHANGES, an_append, an_event, append_to
from tests.contracts.worlds import Log, World

CONTACT = "salesforce.cdc.Contact.updated"


async def append(log: Log, *names: int | str, what: str = "salesforce.cdc.Account.updated") -> None:
    """Append events of one key with the ids `names`."""
    await log.checkpoint(CHANGES)
    await append_to(log, an_append(*(an_event(name, key=KEY, what=what) for name in names)))


def lane(*entries: Entry, left: tuple[Entry, ...] = (), setback: Setback | None = ONCE) -> LaneChange:
    """Return what parks `entries` and lets go of `left`."""
    partition = (*entries, *left)[0].partition
    return LaneChange(
        partition=partition, lane=KEY, setback=setback, joined=entries, left=[each.offset for each in left]
    )


async def finished(
    log: Log, begin: dict[Partition, int], *patterns: str, name: str = "target"
) -> list[Entry]:
    """Return what a subscriber is done with, from `begin` on."""
    subscription = Subscription(subscriber=SubscriberName(name), patterns=patterns or ("salesforce.*",))
    return [entry async for entry in log.settled_events(subscription, begin)]


def beginnings(follower: Follower) -> dict[Partition, int]:
    """Return the offset of the first event that was read of each partition."""
    firsts: dict[Partition, int] = {}
    for entry in follower.entries:
        firsts.setdefault(entry.partition, entry.offset)
    return firsts


async def test_settled_events_are_finished_below_the_prefix_and_above_it(world: World) -> None:
    """Exactly as they were read; what is open in between is not finished."""
    async with world.open() as log:
        await append(log, 1, 2, 3, 4)
        async with following(log) as follower:
            await follower.read_until("4")
            await follower.settle(but=["2", "4"])

            first, _, third, _ = follower.entries
            assert await finished(log, beginnings(follower)) == [first, third]


async def test_events_that_were_read_and_not_settled_are_not_finished(world: World) -> None:
    """Nor are those that nobody has read yet."""
    async with world.open() as log:
        await append(log, 1)
        async with following(log) as follower:
            await follower.read_until("1")
            await follower.settle()
            await append(log, 2)
            await follower.read_until("2")
            await append(log, 3)

            assert await finished(log, beginnings(follower)) == follower.entries[:1]


async def test_parked_events_are_not_finished_until_they_leave_their_lane(world: World) -> None:
    """Though the progress covers them all the while."""
    async with world.open() as log:
        await append(log, 1, 2, 3)
        async with following(log) as follower:
            await follower.read_until("3")
            first, second, third = follower.entries
            await follower.settle(lanes=[lane(first, second)])
            assert await finished(log, beginnings(follower)) == [third]
            await follower.settle(lanes=[lane(left=(first,))])
            assert await finished(log, beginnings(follower)) == [first, third]
            await follower.settle(lanes=[lane(left=(second,), setback=None)])
            assert await finished(log, beginnings(follower)) == [first, second, third]


async def test_reading_begins_where_it_is_asked_to(world: World) -> None:
    """The reading includes the offset itself; beyond the last settled event it is empty."""
    async with world.open() as log:
        await append(log, 1, 2, 3)
        async with following(log) as follower:
            await follower.read_until("3")
            await follower.settle()

            _, second, third = follower.entries
            assert await finished(log, {second.partition: second.offset}) == [second, third]
            assert await finished(log, {third.partition: third.offset + 1}) == []
            assert await finished(log, {third.partition: third.offset + 1_000}) == []
            assert await finished(log, {}) == []


async def test_only_wanted_types_are_finished(world: World) -> None:
    """Events that the patterns leave out were passed over, not delivered."""
    async with world.open() as log:
        await append(log, 1, what="salesforce.cdc.Account.updated")
        await append(log, 2, what="salesforce.cdc.Account.created")
        async with following(log) as follower:
            await follower.read_until("1", "2")
            await follower.settle()

            read = await finished(log, beginnings(follower), "salesforce.cdc.Account.created")
            assert [entry.event.id for entry in read] == ["2"]


async def test_every_partition_that_is_asked_for_is_read_in_its_order(world: World) -> None:
    """One that nobody knows holds nothing."""
    async with world.open() as log:
        for n in range(0, 40, 2):
            await append(log, n)
            await append(log, n + 1, what=CONTACT)
        async with following(log) as follower:
            await follower.read_until(*map(str, range(40)))
            await follower.settle()

            begin = beginnings(follower)
            read = await finished(log, begin | {Partition(topic="unknown", number=7): 0})
            assert {of: [each for each in read if each.partition == of] for of in begin} == {
                of: [each for each in follower.entries if each.partition == of] for of in begin
            }
            assert len(read) == 40


async def test_subscriber_that_was_never_seen_is_done_with_nothing(world: World) -> None:
    """Another subscriber's settled events are not its own."""
    async with world.open() as log:
        await append(log, 1)
        async with following(log) as follower:
            await follower.read_until("1")
            await follower.settle()

            assert await finished(log, beginnings(follower), name="stranger") == []


async def test_much_is_read_to_its_end(world: World) -> None:
    """The log reads in portions, unseen by the caller, who can stop between them."""
    async with world.open() as log:
        await append(log, *range(1_300))
        async with following(log) as follower:
            await follower.read_until("1299")
            await follower.settle()

            assert await finished(log, beginnings(follower)) == follower.entries
            subscription = Subscription(subscriber=SubscriberName("target"), patterns=("salesforce.*",))
            reading = log.settled_events(subscription, beginnings(follower))
            assert await anext(reading) == follower.entries[0]
            await reading.aclose()


async def test_whoever_delivers_does_not_notice(world: World) -> None:
    """The assignment stays, what is settled counts, and what comes is read."""
    async with world.open() as log:
        await append(log, 1)
        async with following(log) as follower:
            await follower.read_until("1")
            await follower.settle()
            assigned = dict(follower.assigned)
            assert await finished(log, beginnings(follower)) == follower.entries
            await append(log, 2)
            await follower.read_until("2")

            assert follower.assigned == assigned
            assert (await follower.settle()).partitions == assigned.keys()
