"""Records are read again briefly and sparingly, and no failure reaches the channel."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from streamer.clock import TurnedClock
from streamer.errors import CredentialsRefused, RetryLater, StreamerError
from streamer.events import JsonObject
from streamer.ingest.reading.rereading import Rereading
from streamer.salesforce.memory import MemoryRecords
from tests.messages import CHANGES
from tests.waiting import awaited

ACCOUNT = {"Account": {"001A": {"Description"}}}
CONTACT = {"Contact": {"003A": {"Description"}}}


class SlowRecords(MemoryRecords):
    """Answers when it is let."""

    def __init__(self) -> None:
        """Hold every answer back."""
        super().__init__({"Account": {"001A": {"Description": "text"}}})
        self.answers = asyncio.Event()

    async def read(self, entity: str, ids: Sequence[str], fields: Sequence[str], /) -> dict[str, JsonObject]:
        """Wait, and answer."""
        found = await super().read(entity, ids, fields)
        await self.answers.wait()
        return found


@dataclass(kw_only=True)
class World:
    """An org with two records, and one that reads them again."""

    clock: TurnedClock = field(default_factory=TurnedClock)
    records: MemoryRecords = field(
        default_factory=lambda: MemoryRecords(
            {"Account": {"001A": {"Description": "text"}}, "Contact": {"003A": {"Description": "text"}}}
        )
    )
    rereading: Rereading = field(init=False)

    def __post_init__(self) -> None:
        """Read with the turned clock."""
        self.rereading = Rereading(channel=CHANGES, records=self.records, clock=self.clock)


async def test_records_come_by_id() -> None:
    """One that is deleted is left out."""
    world = World()

    assert await world.rereading.read({"Account": {"001A": {"Description"}, "001B": {"Description"}}}) == {
        "001A": {"Description": "text"}
    }


async def test_many_records_take_few_requests() -> None:
    """Fifty of one entity in each, with all fields that any of them needs."""
    world = World()
    ids = {f"001{number}": {"A"} if number else {"B"} for number in range(51)}
    await world.rereading.read({"Account": ids} | CONTACT)

    assert [(entity, len(ids), fields) for entity, ids, fields in world.records.requests] == [
        ("Account", 50, ["A", "B"]),
        ("Account", 1, ["A"]),
        ("Contact", 1, ["Description"]),
    ]


@pytest.mark.parametrize("error", [RetryLater("busy"), CredentialsRefused("no")])
async def test_failure_ends_reading_for_a_while(error: StreamerError) -> None:
    """Ten seconds, then twice as long, and an operator can see why."""
    world = World()
    world.records.error = error
    with capture_logs() as lines:
        for wait_s in (9.0, 2.0, 9.0, 12.0):
            assert await world.rereading.read(ACCOUNT | CONTACT) == {}
            await world.clock.turn(wait_s)

    assert [request[0] for request in world.records.requests] == ["Account", "Account"]
    assert [line["tried_again_in_s"] for line in lines] == [10.0, 20.0]
    world.records.error = None
    assert len(await world.rereading.read(ACCOUNT | CONTACT)) == 2


async def test_org_says_how_long_to_wait() -> None:
    """A limit of requests lasts longer than our own pause."""
    world = World()
    world.records.error = RetryLater("the org has reached its limit of API requests", after_s=600.0)
    await world.rereading.read(ACCOUNT)
    await world.clock.turn(599.0)
    await world.rereading.read(ACCOUNT)

    assert len(world.records.requests) == 1


async def test_refused_entity_does_not_stop_the_others() -> None:
    """A user can lack the permission for one of them."""
    world = World()
    world.records.error = StreamerError("INVALID_FIELD")
    await world.rereading.read(ACCOUNT)
    world.records.error = None

    assert list(await world.rereading.read(ACCOUNT | CONTACT)) == ["003A"]


async def test_fifth_of_the_requests_is_left_to_others() -> None:
    """After a quarter of an hour it asks once, to see what is left by then."""
    world = World()
    world.records.requests_left = 0.19
    assert await world.rereading.read(ACCOUNT) != {}
    assert await world.rereading.read(ACCOUNT) == {}
    await world.clock.turn(901.0)
    world.records.requests_left = 0.5
    assert await world.rereading.read(ACCOUNT) != {}
    assert await world.rereading.read(ACCOUNT) != {}


async def test_org_without_an_answer_holds_nothing_up() -> None:
    """It costs ten seconds; while the answer is out, nothing else is asked."""
    records = SlowRecords()
    world = World(records=records)
    reading = asyncio.create_task(world.rereading.read(ACCOUNT | CONTACT))
    await world.clock.turn(10.0)
    assert await reading == {}
    await world.clock.turn(3600.0)
    assert await awaited(world.rereading.read(ACCOUNT)) == {}

    records.answers.set()
    await world.clock.turn(1.0)
    assert list(await world.rereading.read(ACCOUNT)) == ["001A"]
    assert len(records.requests) == 2


async def test_slow_org_takes_a_quarter_of_the_time() -> None:
    """After the first ten seconds, a channel without a pause continues by itself."""
    records = SlowRecords()
    world = World(records=records)
    spent = 0.0
    for _ in range(100):
        records.answers.clear()
        began = world.clock.monotonic()
        reading = asyncio.create_task(world.rereading.read(ACCOUNT))
        await world.clock.turn(0.9)
        records.answers.set()
        await reading
        spent += world.clock.monotonic() - began if records.requests else 0.0
        records.requests.clear()
        await world.clock.turn(0.1)

    assert 25.0 <= spent <= 45.0
