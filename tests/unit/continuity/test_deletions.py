"""Each deletion is reported once, and the org is asked only when it can answer."""

from collections import Counter

import pytest

from streamer.events import HoleCause, Repair
from tests.unit.continuity.test_reading_losses import stamp
from tests.unit.continuity.test_readings import IDS, NOW, World, contact, hole

# The clock's minutes and a reading's begin at the same second nowhere else.
_INTO_THE_MINUTE_S = 37.4


async def an_overflow(*deleted: str) -> World:
    """Return a world in which a transaction has deleted some contacts and overflown."""
    world = World()
    await world.clock.turn(_INTO_THE_MINUTE_S)
    for number, each in enumerate(deleted):
        world.queries.recycle("Contact", each, SystemModstamp=stamp(20 + number))
    world.open(hole(HoleCause.OVERFLOW, until=NOW + 30, recorded_at=world.clock.now()))
    return world


def asked(world: World) -> Counter[str]:
    """Return how often each question was asked."""
    return Counter(world.queries.requests)


async def test_overflow_tells_each_deletion_once_with_a_handful_of_requests() -> None:
    """The end of what the org covers moves with each question, and does not invite the next one."""
    world = await an_overflow(*IDS[:3])
    ended = await world.finish()

    assert [event.key for event in world.log if event.is_deletion] == IDS[:3]
    assert len({event.id for event in world.log}) == len(world.log) == 7
    assert (ended.state, ended.found, ended.published) == (Repair.FULL, 7, 7)
    assert asked(world)["deleted"] <= 2
    assert world.clock.now() - NOW - _INTO_THE_MINUTE_S < 150


async def test_process_that_restarts_at_every_step_tells_each_deletion_once() -> None:
    """The log keeps the deletions that were published."""
    world = await an_overflow(*IDS[:5])
    while world.readings.has_work:
        await world.clock.turn(await world.step())
        world.restart()

    assert Counter(event.key for event in world.log) == dict.fromkeys(IDS, 1)
    assert world.states[-1].state is Repair.FULL


async def test_org_that_covers_late_is_asked_once_a_minute() -> None:
    """One of its transactions has been open for ten minutes; what it tells twice is told once."""
    world = await an_overflow(*IDS[:3])
    world.queries.covered_to = NOW - 600
    begun = world.clock.now()
    while world.clock.now() < begun + 600:
        await world.clock.turn(await world.step())
    assert asked(world)["deleted"] <= 11
    world.queries.covered_to = world.clock.now()
    await world.finish()

    assert [event.key for event in world.log if event.is_deletion] == IDS[:3]


async def test_deletion_that_the_org_covers_later_is_told_then() -> None:
    """It was hidden by a transaction that was open, and lies before others that were told."""
    world = await an_overflow(IDS[0], IDS[2])
    world.queries.covered_to = NOW + 20.5
    await world.until(lambda: asked(world)["deleted"])
    assert [event.key for event in world.log if event.is_deletion] == [IDS[0]]
    world.queries.recycle("Contact", IDS[1], SystemModstamp=stamp(20.7))
    world.queries.covered_to = NOW + 10_000
    await world.finish()

    assert [event.key for event in world.log if event.is_deletion] == IDS[:3]


async def test_deletions_of_an_org_whose_clock_is_minutes_ahead_are_told() -> None:
    """An overflow's own commit is later than the time at which it came."""
    ahead_s = 228.0
    world = World()
    for number, each in enumerate(IDS[:3]):
        world.queries.recycle("Contact", each, SystemModstamp=stamp(ahead_s - 20 + number))
    world.open(hole(HoleCause.OVERFLOW, until=NOW + ahead_s, recorded_at=world.clock.now()))
    ended = await world.finish()

    assert [event.key for event in world.log if event.is_deletion] == IDS[:3]
    assert ended.state is Repair.FULL


async def test_deletions_of_overflows_that_are_read_together_are_told_up_to_the_last_commit() -> None:
    """The clock of their org is minutes ahead, so it commits the later one after the reading's begin."""
    world = World()
    for number, ahead_s in enumerate((228.0, 400.0)):
        world.queries.recycle("Contact", IDS[number], SystemModstamp=stamp(ahead_s - 1))
        world.open(hole(HoleCause.OVERFLOW, id=f"gap:{number}", until=NOW + ahead_s, recorded_at=NOW))
    await world.finish()

    assert [event.key for event in world.log if event.is_deletion] == IDS[:2]
    assert len(world.queries.jobs) <= 1
    assert asked(world)["begin"] == 1


@pytest.mark.parametrize(
    "cause",
    [HoleCause.REPLAY_ID_REFUSED, HoleCause.PLACE_LOST, HoleCause.BEFORE_RETENTION, HoleCause.POSITION_SET],
)
async def test_deletions_of_a_whole_channel_are_told_up_to_the_holes_end_on_the_orgs_clock(
    cause: HoleCause,
) -> None:
    """No event names that end, so Salesforce's last answer dates it: its clock is minutes ahead."""
    world = World(entities=("Contact", "Contact1"))
    world.copy_contacts("Contact1")
    world.queries.ahead_s = 228.0
    for entity in world.entities:
        world.queries.recycle(entity, IDS[0], SystemModstamp=stamp(world.queries.ahead_s - 1))
    world.open(hole(cause, entity=None))
    ended = await world.finish()

    assert [(event.key, event.data["entity"]) for event in world.log if event.is_deletion] == [
        (IDS[0], "Contact"),
        (IDS[0], "Contact1"),
    ]
    assert ended.state is Repair.FULL


@pytest.mark.parametrize("ahead_s", [-300.0, 90_000.0])
async def test_clock_that_is_behind_or_days_ahead_delays_no_deletion(ahead_s: float) -> None:
    """A proxy's date can name any time; our own clock then says when the deletions can be asked for."""
    world = World()
    world.queries.ahead_s = ahead_s
    world.queries.recycle("Contact", IDS[0], SystemModstamp=stamp(-30))
    world.open(hole(HoleCause.REPLAY_ID_REFUSED, entity=None))
    await world.finish()

    assert [event.key for event in world.log if event.is_deletion] == IDS[:1]
    assert world.clock.now() - NOW < 130


async def test_later_deletions_are_left_to_the_stream() -> None:
    """A record that is deleted once more while its deletions are read has one deletion of the reading."""
    world = await an_overflow(*IDS[:3])
    await world.until(lambda: any(event.is_deletion for event in world.log))
    for each in IDS[:3]:
        record = world.queries.recycled["Contact"].pop(each)
        world.records.records["Contact"][each] = record
        world.queries.recycle("Contact", each, SystemModstamp=stamp(world.clock.now() - NOW))
    await world.finish()

    assert Counter(event.id for event in world.log if event.is_deletion).most_common(1)[0][1] == 1


async def test_too_many_deletions_for_an_answer_are_asked_for_at_once() -> None:
    """No minute passes between the parts of an answer."""
    world = await an_overflow(*IDS[:6])
    for number, each in enumerate(IDS[:6]):
        world.queries.recycled["Contact"][each]["SystemModstamp"] = stamp((number - 6) * 120)
    world.queries.most_ids = 2
    await world.until(lambda: any(event.is_deletion for event in world.log))
    first = world.clock.now()
    await world.finish()

    assert [event.key for event in world.log if event.is_deletion] == IDS[:6]
    assert world.clock.now() - first < 10


async def test_twelve_overflows_of_thirty_changes_tell_each_record_a_few_times() -> None:
    """No event twice, and no record once for each overflow."""
    world = World()
    contacts = world.records.records["Contact"] = world.queries.records["Contact"] = {}
    for overflow in range(12):
        for number in range(30):
            each = f"003AB{overflow:05d}{number:05d}AAA"
            contacts[each] = contact(each, "1") | {"SystemModstamp": stamp(world.clock.now() - NOW)}
            if number >= 27:
                world.queries.recycle("Contact", each)
        now = world.clock.now()
        world.open(hole(HoleCause.OVERFLOW, id=f"gap:{overflow}", until=now, recorded_at=now))
        for _ in range(8):
            await world.clock.turn(min(await world.step(), 1.0))
    await world.until(lambda: not world.readings.has_work, steps=2_000)

    assert max(Counter(event.id for event in world.log).values()) == 1
    assert len({event.key for event in world.log}) == 360
    assert len(world.log) <= 2 * 360 + 30
    assert sum(asked(world).values()) < 1_000
    assert {each.state for each in {each.id: each for each in world.states}.values()} == {Repair.FULL}


@pytest.mark.parametrize("entities", [3, 9])
async def test_waits_for_the_deletions_of_all_entities_overlap(entities: int) -> None:
    """A hole of a whole channel waits for its last minute once."""
    world = World(entities=tuple(f"Contact{number}" for number in range(entities)))
    for each in world.entities:
        world.copy_contacts(each)
        world.queries.recycle(each, IDS[0], SystemModstamp=stamp(-30))
    world.open(hole(HoleCause.REPLAY_ID_REFUSED, entity=None))
    await world.until(lambda: not world.readings.has_work, steps=1_000)

    assert world.clock.now() - NOW < 130
    assert sum(event.is_deletion for event in world.log) == entities
    assert asked(world)["deleted"] <= entities + 1


async def test_reading_of_another_entity_goes_on_while_one_waits() -> None:
    """Each overflow of an entity waits for the same minute."""
    world = World()
    for number in range(9):
        world.copy_contacts(f"Contact{number}")
        entity = f"Contact{number}"
        world.open(hole(HoleCause.OVERFLOW, id=entity, entity=entity, until=NOW, recorded_at=NOW))
    await world.until(lambda: not world.readings.has_work, steps=1_000)

    assert world.clock.now() - NOW < 130
    assert len(world.log) == 9 * len(IDS)
