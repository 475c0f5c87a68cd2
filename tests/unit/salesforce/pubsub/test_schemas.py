"""Schemas are fetched once, for all callers."""

import asyncio
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson
import pytest

from streamer.clock import TurnedClock
from streamer.errors import SalesforceUnavailable
from streamer.salesforce.pubsub.avro import EventSchema, UnusableSchema
from streamer.salesforce.pubsub.schemas import Schemas
from tests.unit.salesforce.pubsub.avro.samples import event_schema, optional


@dataclass
class Salesforce:
    """Server of schemas, each named as its id, which can be made to wait and to fail."""

    open: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[str] = field(default_factory=list)
    failure: BaseException | None = None
    text: str | None = None
    cancelled: int = 0

    async def fetch(self, schema_id: str) -> str:
        """Return the schema with an id, when `open` is set."""
        self.asked.append(schema_id)
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise self.failure
        return orjson.dumps(event_schema(name=schema_id)).decode() if self.text is None else self.text


@pytest.fixture
def salesforce() -> Salesforce:
    """A server that answers."""
    server = Salesforce()
    server.open.set()
    return server


def callers(schemas: Schemas, count: int, schema_id: str = "A") -> list[asyncio.Task[EventSchema]]:
    """Begin to ask for a schema."""
    return [asyncio.create_task(schemas.get(schema_id)) for _ in range(count)]


async def settled() -> None:
    """Let the tasks run as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_schema_is_fetched_once(salesforce: Salesforce) -> None:
    """It never changes."""
    schemas = Schemas(salesforce.fetch)

    assert schemas.known("A") is None
    schema = await schemas.get("A")

    assert schema.name == schema.id == "A"
    assert await schemas.get("A") is schema
    assert schemas.known("A") is schema
    assert salesforce.asked == ["A"]


async def test_callers_at_the_same_time_share_one_fetch(salesforce: Salesforce) -> None:
    """A new schema can be in all events of an answer; other schemas do not wait for it."""
    salesforce.open.clear()
    schemas = Schemas(salesforce.fetch)
    waiting = callers(schemas, 10) + callers(schemas, 1, "B")
    await settled()
    salesforce.open.set()

    found = await asyncio.gather(*waiting)

    assert salesforce.asked == ["A", "B"]
    assert len(set(found)) == 2


async def test_failure_is_shared_and_forgotten(salesforce: Salesforce) -> None:
    """The next caller asks again."""
    salesforce.open.clear()
    salesforce.failure = SalesforceUnavailable("away")
    schemas = Schemas(salesforce.fetch)
    waiting = callers(schemas, 3)
    await settled()
    salesforce.open.set()
    failures = await asyncio.gather(*waiting, return_exceptions=True)
    salesforce.failure = None

    assert [str(failure) for failure in failures] == ["away"] * 3
    assert (await schemas.get("A")).name == "A"
    assert salesforce.asked == ["A", "A"]


async def test_cancelled_caller_leaves_the_fetch_to_the_others(salesforce: Salesforce) -> None:
    """Even the one who began it."""
    salesforce.open.clear()
    schemas = Schemas(salesforce.fetch)
    first, second, third = callers(schemas, 3)
    await settled()
    first.cancel()
    third.cancel()
    await settled()
    salesforce.open.set()

    assert (await second).name == "A"
    assert first.cancelled()
    assert third.cancelled()
    assert (salesforce.asked, salesforce.cancelled) == (["A"], 0)


async def test_last_caller_ends_the_fetch(salesforce: Salesforce) -> None:
    """And the next one begins another, at once."""
    salesforce.open.clear()
    schemas = Schemas(salesforce.fetch)
    for caller in callers(schemas, 2):
        await settled()
        caller.cancel()
    await asyncio.sleep(0)
    [late] = callers(schemas, 1)
    await settled()
    salesforce.open.set()

    assert (await late).name == "A"
    assert (salesforce.asked, salesforce.cancelled) == (["A", "A"], 1)
    assert len(asyncio.all_tasks()) == 1


async def test_cancellation_of_the_fetch_is_no_cancellation_of_its_callers(salesforce: Salesforce) -> None:
    """A connection that closes cancels its calls; who asked shall try again and not end."""
    salesforce.failure = asyncio.CancelledError()
    schemas = Schemas(salesforce.fetch)

    with pytest.raises(SalesforceUnavailable, match="'A' was cancelled"):
        await schemas.get("A")


async def test_failure_that_nobody_stayed_for_is_not_reported(
    salesforce: Salesforce, caplog: pytest.LogCaptureFixture
) -> None:
    """A caller can be cancelled in the moment in which the fetch fails."""
    salesforce.open.clear()
    salesforce.failure = SalesforceUnavailable("away")
    [caller] = callers(Schemas(salesforce.fetch), 1)
    await settled()
    salesforce.open.set()
    await asyncio.sleep(0)
    caller.cancel()
    await settled()

    assert caller.cancelled()
    del caller
    gc.collect()
    assert not caplog.records


async def test_unusable_schema_is_refused_for_a_minute(salesforce: Salesforce, clock: TurnedClock) -> None:
    """Each event of a channel can name it, and not each may cost a call."""
    salesforce.text = "<html></html>"
    schemas = Schemas(salesforce.fetch, clock=clock)
    for _ in range(3):
        with pytest.raises(UnusableSchema, match="'A' can't be used: the schema is not JSON"):
            await schemas.get("A")
    assert salesforce.asked == ["A"]
    assert schemas.known("A") is None

    await clock.turn(59)
    with pytest.raises(UnusableSchema):
        await schemas.get("A")
    await clock.turn(1)
    salesforce.text = None

    assert (await schemas.get("A")).name == "A"
    assert salesforce.asked == ["A", "A"]


async def test_least_recently_used_schemas_are_dropped(salesforce: Salesforce) -> None:
    """An org has more schemas over the years than are in use."""
    schemas = Schemas(salesforce.fetch, limit=2)
    for schema_id in ("A", "B", "A", "C", "A", "B"):
        await schemas.get(schema_id)

    assert salesforce.asked == ["A", "B", "C", "B"]


def wide(count: int) -> str:
    """Return a schema with so many fields."""
    return orjson.dumps(event_schema(*(optional(f"F{number}__c") for number in range(count)))).decode()


async def test_schemas_are_dropped_by_their_size(salesforce: Salesforce) -> None:
    """Five hundred small ones take less than ten large ones."""
    schemas = Schemas(salesforce.fetch, most_bytes=2_000_000)
    salesforce.text = wide(900)
    for number in range(4):
        await schemas.get(f"large {number}")
    kept = [number for number in range(4) if schemas.known(f"large {number}")]
    salesforce.text = wide(1)
    for number in range(100):
        await schemas.get(f"small {number}")

    assert kept == [3]
    assert all(schemas.known(f"small {number}") for number in range(100))


async def test_schema_that_is_larger_than_the_bound_is_kept_while_it_is_the_last(
    salesforce: Salesforce,
) -> None:
    """Otherwise each event would fetch it."""
    schemas = Schemas(salesforce.fetch, most_bytes=1)
    await schemas.get("A")
    await schemas.get("A")
    assert salesforce.asked == ["A"]


async def test_large_schema_is_compiled_beside_the_loop(salesforce: Salesforce) -> None:
    """The loop's own thread spends next to nothing on it."""
    salesforce.text = wide(1_900)
    alone = thread_time_of(lambda: EventSchema.parse("A", wide(1_900)))
    began = time.thread_time()
    await Schemas(salesforce.fetch).get("A")

    assert time.thread_time() - began < alone / 2


def thread_time_of(work: Callable[[], object]) -> float:
    """Return the seconds of CPU that some work takes in this thread."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


async def test_unusable_schemas_are_bounded_too(salesforce: Salesforce, clock: TurnedClock) -> None:
    """Whoever invents ids fills no memory."""
    salesforce.text = ""
    schemas = Schemas(salesforce.fetch, clock=clock, limit=2)
    for schema_id in ("A", "B", "C", "C", "A"):
        with pytest.raises(UnusableSchema):
            await schemas.get(schema_id)

    assert salesforce.asked == ["A", "B", "C", "A"]
