"""The ledger records finished events in the log."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from streamer.clock import TurnedClock
from streamer.dispatch.ledger import Ledger
from streamer.errors import Fenced, LogUnavailable
from streamer.events import Entry, Partition, Setback, SettledOffsets
from streamer.ports import Assigned, LaneChange, Page, Recorded, Revoked, Settlement
from tests.contracts.values import a_dead_letter, a_receipt, an_event
from tests.unit.dispatch.world import ACCOUNTS

CONTACTS = Partition(topic="salesforce.cdc.Contact", number=0)
NOTHING = SettledOffsets(next_offset=0)


@dataclass
class Slip:
    """A feed that keeps what is settled, slowly if a test wants, and fails as often as `failures` says.

    Of `gone` it records nothing.
    """

    settled: list[Settlement] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    gone: frozenset[Partition] = frozenset()
    crowded: frozenset[Partition] = frozenset()
    answering: asyncio.Event = field(default_factory=asyncio.Event)

    async def settle(self, settlement: Settlement, /) -> Recorded:
        """Keep it."""
        await self.answering.wait()
        if self.failures:
            raise self.failures.pop()
        self.settled.append(settlement)
        return Recorded(partitions=frozenset(settlement.progress) - self.gone, crowded=self.crowded)

    async def recall(self, partition: Partition, offsets: Sequence[int]) -> Sequence[Entry]:
        """Hold nothing."""
        raise LogUnavailable(f"nothing is parked at {offsets} of {partition}")

    async def read(self) -> Assigned | Revoked | Page:
        """Hold nothing."""
        raise LogUnavailable("nothing is read here")

    def pause(self, partitions: frozenset[Partition]) -> None:
        """Do nothing."""

    def resume(self, partitions: frozenset[Partition]) -> None:
        """Do nothing."""


@pytest.fixture
def clock() -> TurnedClock:
    """Time stands still."""
    return TurnedClock()


@pytest.fixture
def ledger(clock: TurnedClock) -> Ledger:
    """A ledger of two partitions under two assignments, one open event in each."""
    ledger = Ledger(clock, most_finished=2)
    for number, partition in enumerate((ACCOUNTS, CONTACTS), 1):
        ledger.assign(Assigned(assignment=number, progress={partition: NOTHING}))
        ledger.opened(entry(partition))
    return ledger


@pytest.fixture
def feed() -> Slip:
    """A feed that answers at once."""
    slip = Slip()
    slip.answering.set()
    return slip


def entry(partition: Partition = ACCOUNTS) -> Entry:
    """Return the first event of a partition."""
    return Entry(partition=partition, offset=0, event=an_event("1"))


async def test_each_assignment_is_settled_by_itself(ledger: Ledger, feed: Slip) -> None:
    """And a dead letter stands with the offset that covers it."""
    letter = a_dead_letter("1:target")
    ledger.finish(entry(ACCOUNTS))
    ledger.finish(entry(CONTACTS), letter)
    await ledger.record(feed)

    one = SettledOffsets(next_offset=1)
    assert feed.settled == [
        Settlement(assignment=1, progress={ACCOUNTS: one}),
        Settlement(assignment=2, progress={CONTACTS: one}, set_aside=(letter,)),
    ]


async def test_what_is_recorded_is_not_recorded_again(ledger: Ledger, feed: Slip) -> None:
    """Neither offsets nor dead letters."""
    ledger.finish(entry(), a_dead_letter("1:target"))
    await ledger.record(feed)
    ledger.passed({ACCOUNTS: 5})
    await ledger.record(feed)

    assert [len(each.set_aside) for each in feed.settled] == [1, 0]
    assert ledger.unrecorded == 0


@pytest.mark.parametrize("failure", [LogUnavailable("away"), Fenced("a partition was lost")])
async def test_record_that_fails_is_made_again(
    ledger: Ledger, feed: Slip, clock: TurnedClock, failure: Exception
) -> None:
    """With the dead letters, and with what was settled meanwhile."""
    feed.failures.append(failure)
    ledger.finish(entry(), a_dead_letter("1:target"))
    recording = asyncio.create_task(ledger.record(feed))
    await clock.turn(0)
    assert (feed.settled, ledger.unrecorded) == ([], 1)
    ledger.finish(entry(CONTACTS))
    await clock.turn(1)

    assert recording.done()
    assert [(len(each.progress), len(each.set_aside)) for each in feed.settled] == [(1, 1), (1, 0)]


async def test_age_of_what_is_not_recorded_is_known(ledger: Ledger, feed: Slip, clock: TurnedClock) -> None:
    """It is the age of the oldest change that the log has not taken."""
    await clock.turn(1)
    feed.failures += [LogUnavailable("away")] * 3
    assert ledger.unrecorded_since is None
    began = clock.monotonic()
    ledger.finish(entry())
    recording = asyncio.create_task(ledger.record(feed))
    await clock.turn(0.2)
    ledger.finish(entry(CONTACTS))
    assert ledger.unrecorded_since == began
    await clock.turn(5)
    assert recording.done()
    assert ledger.unrecorded_since is None


async def test_record_of_a_former_assignment_says_nothing_of_the_present_one(
    ledger: Ledger, feed: Slip, clock: TurnedClock
) -> None:
    """A partition that was lost and won again while the log was busy is recorded again."""
    feed.answering.clear()
    ledger.finish(entry())
    recording = asyncio.create_task(ledger.record(feed))
    await clock.turn(0)
    ledger.revoke(frozenset({ACCOUNTS}))
    ledger.assign(Assigned(assignment=3, progress={ACCOUNTS: NOTHING}))
    ledger.opened(entry())
    feed.answering.set()
    await recording
    ledger.finish(entry())
    await ledger.record(feed)

    assert [each.assignment for each in feed.settled] == [1, 3]


async def test_partition_that_was_not_recorded_is_recorded_again(ledger: Ledger, feed: Slip) -> None:
    """The log says what it took."""
    feed.gone = frozenset({ACCOUNTS})
    ledger.finish(entry(ACCOUNTS))
    await ledger.record(feed)
    feed.gone = frozenset()
    ledger.finish(entry(CONTACTS))
    await ledger.record(feed)

    assert [set(each.progress) for each in feed.settled] == [{ACCOUNTS}, {ACCOUNTS}, {CONTACTS}]


async def test_log_says_which_partitions_are_crowded(ledger: Ledger, feed: Slip) -> None:
    """Until a later record of them says otherwise."""
    feed.crowded = frozenset({ACCOUNTS})
    ledger.finish(entry(ACCOUNTS))
    await ledger.record(feed)
    assert ledger.crowded == {ACCOUNTS}

    feed.crowded = frozenset()
    ledger.finish(entry(CONTACTS))
    await ledger.record(feed)
    assert ledger.crowded == {ACCOUNTS}
    ledger.passed({ACCOUNTS: 5})
    await ledger.record(feed)
    assert ledger.crowded == set()


async def test_doubt_has_everything_recorded_again(ledger: Ledger, feed: Slip) -> None:
    """Under each assignment, whether it has changed or not."""
    ledger.doubt_ownership()
    assert ledger.ownership_check.lasts
    await ledger.record(feed)

    assert [set(each.progress) for each in feed.settled] == [{ACCOUNTS}, {CONTACTS}]
    assert not ledger.ownership_check.lasts


async def test_record_that_began_before_a_doubt_proves_nothing(
    ledger: Ledger, feed: Slip, clock: TurnedClock
) -> None:
    """The log may have taken it before the process was frozen."""
    feed.answering.clear()
    ledger.revoke(frozenset({CONTACTS}))
    ledger.finish(entry())
    recording = asyncio.create_task(ledger.record(feed))
    await clock.turn(0)
    ledger.doubt_ownership()
    feed.answering.set()
    await recording
    assert ledger.ownership_check.lasts
    await ledger.record(feed)

    assert not ledger.ownership_check.lasts


async def test_record_of_a_former_assignment_proves_nothing(
    ledger: Ledger, feed: Slip, clock: TurnedClock
) -> None:
    """A partition that came back meanwhile is recorded under its new one."""
    ledger.revoke(frozenset({CONTACTS}))
    feed.answering.clear()
    ledger.doubt_ownership()
    recording = asyncio.create_task(ledger.record(feed))
    await clock.turn(0)
    ledger.revoke(frozenset({ACCOUNTS}))
    ledger.assign(Assigned(assignment=3, progress={ACCOUNTS: NOTHING}))
    feed.answering.set()
    await recording
    assert ledger.ownership_check.lasts
    await ledger.record(feed)

    assert not ledger.ownership_check.lasts


async def test_partition_that_was_not_recorded_stays_in_doubt_until_it_is_gone(
    ledger: Ledger, feed: Slip
) -> None:
    """Who lost it is about to hear so."""
    feed.gone = frozenset({ACCOUNTS})
    ledger.doubt_ownership()
    await ledger.record(feed)
    assert ledger.ownership_check.lasts
    ledger.revoke(frozenset({ACCOUNTS}))

    assert not ledger.ownership_check.lasts


async def test_doubt_without_partitions_waits_for_the_next_ones(
    ledger: Ledger, feed: Slip, clock: TurnedClock
) -> None:
    """They may have been assigned before the process was frozen."""
    ledger.doubt_ownership()
    ledger.revoke(ledger.partitions)
    await ledger.record(feed)
    recording = asyncio.create_task(ledger.record(feed))
    await clock.turn(0)
    assert ledger.ownership_check.lasts
    ledger.assign(Assigned(assignment=3, progress={ACCOUNTS: NOTHING}))
    await clock.turn(0)

    assert recording.done()
    assert not ledger.ownership_check.lasts


async def test_what_is_not_recorded_of_a_lost_partition_is_tried_once_more(
    ledger: Ledger, feed: Slip
) -> None:
    """Under its assignment, and in vain without harm."""
    ledger.finish(entry(ACCOUNTS))
    ledger.finish(entry(CONTACTS))
    await ledger.give_up(feed, frozenset({ACCOUNTS}))
    feed.failures.append(LogUnavailable("away"))
    await ledger.give_up(feed, frozenset({CONTACTS}))

    assert feed.settled == [Settlement(assignment=1, progress={ACCOUNTS: SettledOffsets(next_offset=1)})]
    assert ledger.partitions == set()


async def test_lost_partition_takes_its_dead_letters_along(ledger: Ledger, feed: Slip) -> None:
    """Its next owner decides again."""
    ledger.finish(entry(), a_dead_letter("1:target"))
    ledger.revoke(frozenset({ACCOUNTS}))
    ledger.finish(entry(CONTACTS))
    await ledger.record(feed)

    assert [each.set_aside for each in feed.settled] == [()]
    assert ledger.partitions == {CONTACTS}


async def test_record_confirms_what_is_ours_however_long_it_took(
    ledger: Ledger, feed: Slip, clock: TurnedClock
) -> None:
    """A slow log does not hold everything up."""
    feed.answering.clear()
    ledger.finish(entry())
    first = asyncio.create_task(ledger.record(feed))
    await clock.turn(10)
    ledger.finish(entry(CONTACTS))
    waited_s = ledger.unconfirmed_s()
    feed.answering.set()
    await first
    assert (waited_s, ledger.unconfirmed_s()) == (10, 0)
    await clock.turn(3)

    assert ledger.unconfirmed_s() == 3
    await ledger.record(feed)
    await clock.turn(3)
    assert ledger.unconfirmed_s() == 0


async def test_complete_waits_for_the_last_record(ledger: Ledger, feed: Slip, clock: TurnedClock) -> None:
    """Events that settle while the log is busy need another one."""
    feed.answering.clear()
    ledger.finish(entry())
    first = asyncio.create_task(ledger.record(feed))
    complete = asyncio.create_task(ledger.complete())
    await clock.turn(0)
    ledger.finish(entry(CONTACTS))
    feed.answering.set()
    await first
    await clock.turn(0)
    assert not complete.done()
    await ledger.record(feed)
    await clock.turn(0)

    assert complete.done()


async def test_complete_waits_for_what_is_being_given_up(
    ledger: Ledger, feed: Slip, clock: TurnedClock
) -> None:
    """Who stops in the midst of a rebalance would leave it to the next owner to repeat."""
    ledger.finish(entry())
    feed.answering.clear()
    giving_up = asyncio.create_task(ledger.give_up(feed, frozenset({ACCOUNTS})))
    await clock.turn(0)
    recording = asyncio.create_task(ledger.record(feed))
    complete = asyncio.create_task(ledger.complete())
    await clock.turn(0)
    assert not complete.done()
    feed.answering.set()
    await giving_up
    await recording
    await clock.turn(0)

    assert complete.done()


async def test_what_is_being_recorded_is_not_recorded_beside_it(
    ledger: Ledger, feed: Slip, clock: TurnedClock
) -> None:
    """A partition that goes meanwhile takes along only what came later."""
    feed.answering.clear()
    ledger.finish(entry(), a_receipt("1"))
    recording = asyncio.create_task(ledger.record(feed))
    await clock.turn(0)
    giving_up = asyncio.create_task(ledger.give_up(feed, frozenset({ACCOUNTS})))
    await clock.turn(0)
    feed.answering.set()
    await asyncio.gather(recording, giving_up)

    assert [each.receipts for each in feed.settled] == [(a_receipt("1"),)]


async def test_event_that_is_being_parked_can_be_had_before_it_is_recorded(
    ledger: Ledger, feed: Slip
) -> None:
    """A slow log does not make it look lost."""
    one = entry()
    setback = Setback(attempts=1, first_failed_at=1, due_at=2, first_error="", last_error="")
    ledger.park(LaneChange(partition=ACCOUNTS, lane="k", setback=setback, joined=[one]))

    assert await ledger.recall(feed, ACCOUNTS, [one.offset]) == [one]
