"""Reader of a feed, as dispatch is, that remembers everything that it read."""

from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from datetime import datetime

from streamer.events import (
    DeadLetter,
    Entry,
    Event,
    Forwarded,
    ParkedLane,
    Partition,
    Receipt,
    RecordState,
    SettledOffsets,
    Start,
    SubscriberName,
)
from streamer.ports import (
    Assigned,
    Feed,
    LaneChange,
    LogReader,
    Page,
    Recorded,
    Revoked,
    Settlement,
    Subscription,
)
from tests.waiting import limited

# A bound for a test that fails; nothing waits for it otherwise.


class Follower:
    """One open feed and everything that was read from it."""

    def __init__(self, feed: Feed) -> None:
        """Begin to read `feed`."""
        self.feed = feed
        self.entries: list[Entry] = []
        self.assigned: dict[Partition, int] = {}
        self.through: dict[Partition, int] = {}
        self.behind = 0
        self.expired: set[Partition] = set()
        self.lanes: list[ParkedLane] = []
        self._begun: dict[Partition, int] = {}

    @property
    def ids(self) -> list[str]:
        """The ids of the read events, in their order."""
        return [entry.event.id for entry in self.entries]

    @property
    def events(self) -> list[Event]:
        """The read events, in their order."""
        return [entry.event for entry in self.entries]

    async def read_until(self, *ids: str) -> list[str]:
        """Read until the events `ids` have been read; return the ids of all read so far."""
        async with limited(f"the events {ids}"):
            while not set(ids) <= set(self.ids):
                await self.step()
        return self.ids

    async def read_past(self, count: int) -> None:
        """Read until at least `count` offsets have been passed, wanted or not."""
        async with limited(f"{count} offsets"):
            while sum(self.through.values()) - sum(self._begun.values()) < count:
                await self.step()

    async def step(self) -> None:
        """Read once."""
        match await self.feed.read():
            case Assigned(assignment=number, progress=progress, parked=parked):
                self.lanes += [lane for lanes in parked.values() for lane in lanes]
                self.assigned |= dict.fromkeys(progress, number)
                begun = {partition: at.next_offset for partition, at in progress.items()}
                self._begun |= begun
                self.through |= begun
            case Revoked(partitions=partitions):
                for partition in partitions:
                    del self.assigned[partition]
            case Page() as page:
                self.entries += page.entries
                self.through |= page.through
                self.behind = page.behind
                self.expired |= page.expired

    async def settle(
        self,
        *,
        but: Collection[str] = (),
        letters: Collection[DeadLetter] = (),
        lanes: Collection[LaneChange] = (),
        receipts: Collection[Receipt] = (),
        redriven: Collection[str] = (),
        forwarded: Collection[Forwarded] = (),
    ) -> Recorded:
        """Settle everything that was read, except the events `but`; return what the log recorded."""
        partitions: set[Partition] = set()
        crowded: set[Partition] = set()
        for number, progress in self._progress_of_assignments(but):
            recorded = await self.feed.settle(
                Settlement(
                    assignment=number,
                    progress=progress,
                    set_aside=tuple(letters),
                    lanes=[change for change in lanes if change.partition in progress],
                    receipts=tuple(receipts),
                    redriven=tuple(redriven),
                    forwarded=tuple(forwarded),
                )
            )
            partitions |= recorded.partitions
            crowded |= recorded.crowded
        return Recorded(partitions=frozenset(partitions), crowded=frozenset(crowded))

    async def settle_states(self, states: Collection[RecordState]) -> None:
        """Settle everything that was read, together with `states`."""
        for number, progress in self._progress_of_assignments():
            mine = [state for state in states if state.last.partition in progress]
            await self.feed.settle(Settlement(assignment=number, progress=progress, states=mine))

    def stale(self) -> Settlement:
        """Return a settlement of all that was read, under an assignment that is not in effect."""
        progress = {p: SettledOffsets(next_offset=offset) for p, offset in self.through.items()}
        return Settlement(assignment=max(self.assigned.values()) + 1, progress=progress)

    async def recall(self, *entries: Entry) -> list[Entry]:
        """Return the parked ones of `entries`, which are of one partition."""
        offsets = [entry.offset for entry in entries]
        return list(await self.feed.recall(entries[0].partition, offsets))

    def _progress_of_assignments(
        self, but: Collection[str] = ()
    ) -> Iterator[tuple[int, dict[Partition, SettledOffsets]]]:
        for number in set(self.assigned.values()):
            yield (
                number,
                {
                    partition: self._progress(partition, but)
                    for partition, assignment in self.assigned.items()
                    if assignment == number
                },
            )

    def _progress(self, partition: Partition, but: Collection[str]) -> SettledOffsets:
        mine = [entry for entry in self.entries if entry.partition == partition]
        open_ = [entry.offset for entry in mine if entry.event.id in but]
        prefix = min(open_, default=self.through[partition])
        above = frozenset(e.offset for e in mine if e.offset > prefix and e.event.id not in but)
        return SettledOffsets(next_offset=prefix, settled_above=above)


@asynccontextmanager
async def forwarding(log: LogReader, *downstream: str) -> AsyncIterator[Follower]:
    """Follow `log` as subscriber `invoice`, which forwards to those `downstream`."""
    subscription = Subscription(
        subscriber=SubscriberName("invoice"),
        patterns=("salesforce.*",),
        start=Start.EARLIEST,
        receipts=True,
        downstream=tuple(map(SubscriberName, downstream)),
    )
    async with log.follow(subscription) as feed:
        yield Follower(feed)


@asynccontextmanager
async def coming_after(log: LogReader, *patterns: str, name: str = "shipment") -> AsyncIterator[Follower]:
    """Follow what subscriber `invoice` forwards in `log` to the subscriber `name`."""
    async with log.follow(coming_from_invoice(*patterns, name=name)) as feed:
        yield Follower(feed)


@asynccontextmanager
async def keeping_states(log: LogReader, *, start: Start = Start.EARLIEST) -> AsyncIterator[Follower]:
    """Follow `log` as the keeper of the states of accounts and contacts."""
    async with log.follow(states_of_accounts(start=start)) as feed:
        yield Follower(feed)


def states_of_accounts(*, start: Start = Start.EARLIEST) -> Subscription:
    """Return the selection of the keeper of the states of accounts and contacts."""
    return Subscription(
        subscriber=SubscriberName("-state"),
        patterns=("salesforce.cdc.Account.*", "salesforce.cdc.Contact.*"),
        start=start,
        receipts=True,
        states=("Account", "Contact"),
    )


def coming_from_invoice(*patterns: str, name: str = "shipment") -> Subscription:
    """Return what a subscriber selects that comes after `invoice`."""
    return Subscription(
        subscriber=SubscriberName(name),
        patterns=patterns or ("*",),
        start=Start.EARLIEST,
        after=(SubscriberName("invoice"),),
    )


@asynccontextmanager
async def following(
    log: LogReader, *patterns: str, name: str = "target", start: Start | datetime = Start.EARLIEST
) -> AsyncIterator[Follower]:
    """Follow `log` as subscriber `name`, by default with every event type."""
    subscription = Subscription(
        subscriber=SubscriberName(name), patterns=patterns or ("salesforce.*",), start=start
    )
    async with log.follow(subscription) as feed:
        yield Follower(feed)
