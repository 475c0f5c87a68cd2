"""The Kafka plugin on a real broker: an event that it reports as delivered is in the topic, once."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from streamer.clock import SystemClock
from streamer.events import Delivered, Delivery, Hold, Outcome, Reject, Retry
from streamer.testing import SubscriberContract, a_delivery, an_event
from subscribers.kafka import Kafka
from tests.deliveries import context
from tests.integration.kafka.topics import make_topic, read_committed
from tests.waiting import until

_NOWHERE = "127.0.0.1:1"


def new_topic(address: str, *, partitions: int = 2, **config: str) -> str:
    """Create a topic of the test's own, and return its name."""
    topic = f"orders-{uuid.uuid4().hex[:8]}"
    make_topic(address, topic, partitions=partitions, **config)
    return topic


class TestContract(SubscriberContract):
    """A topic is the target."""

    plugin = Kafka
    nowhere = _NOWHERE
    attempt_limit_s = 15.0
    topic = "orders"
    address = ""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def place(cls, kafka: str) -> None:
        """Make the topic."""
        cls.address, cls.topic = kafka, new_topic(kafka)

    def settings(self, address: str) -> dict[str, Any]:
        """Return the settings of the topic."""
        timeout_s = 1 if address == _NOWHERE else 10
        return {"bootstrap_servers": address, "topic": self.topic, "timeout_s": timeout_s, "batch_size": 50}

    @asynccontextmanager
    async def target(self) -> AsyncIterator[str]:
        """Use the broker that runs."""
        yield self.address


def order(number: int, **data: Any) -> Delivery:
    """Return the delivery of an order."""
    return a_delivery(an_event(number, subject=f"801{number:012d}AAA"), body={"number": number, **data})


@pytest.fixture
def written(kafka: str) -> Iterator[Any]:
    """A function that delivers in one call with given settings; the plugin is open until the test ends."""
    opened: list[Kafka] = []

    def deliver(*deliveries: Delivery, **settings: Any) -> list[Outcome]:
        if not opened:
            given = {"bootstrap_servers": kafka, "timeout_s": 10.0, **settings}
            opened.append(Kafka(Kafka.Settings.model_validate(given), context(SystemClock())).__enter__())
        return list(opened[0].deliver_many(deliveries))

    yield deliver
    for each in opened:
        each.__exit__(None, None, None)


async def in_topic(address: str, topic: str) -> list[tuple[bytes | None, Any]]:
    """Return the keys and values of a topic."""
    records = await read_committed(address, topic)
    return [(record.key, record.value and orjson.loads(record.value)) for record in records]


async def test_what_is_reported_is_in_the_topic(kafka: str, written: Any) -> None:
    """At the partition and the offset of the receipt, under the event's key."""
    topic = new_topic(kafka)
    many = [order(number) for number in range(20)]
    outcomes = await asyncio.to_thread(written, *many, topic=topic)
    records = {(record.partition, record.offset): record for record in await read_committed(kafka, topic)}

    assert len(records) == 20
    for delivery, outcome in zip(many, outcomes, strict=True):
        assert isinstance(outcome, Delivered)
        record = records[outcome.answer["partition"], outcome.answer["offset"]]
        assert record.key == delivery.event.key.encode()
        assert orjson.loads(record.value or b"") == delivery.body
        assert dict(record.headers)["ce_id"] == delivery.event.id.encode()


async def test_record_that_is_too_large_costs_the_others_nothing(kafka: str, written: Any) -> None:
    """The broker refuses what it got together, so its parts are written apart, and each record once."""
    topic = new_topic(kafka, partitions=1, max_message_bytes="2000")
    many = [
        order(1, text="x" * 700),
        order(2, text="x" * 3000),
        order(3, text="x" * 700),
        order(4, text="y" * 700),
    ]
    outcomes = await asyncio.to_thread(written, *many, topic=topic, compression="none")

    assert [type(outcome) for outcome in outcomes] == [Delivered, Reject, Delivered, Delivered]
    assert [value["number"] for _, value in await in_topic(kafka, topic)] == [1, 3, 4]


async def test_missing_topic_holds_the_target_until_it_is_made(kafka: str, written: Any) -> None:
    """No event is spent on it, and none makes the topic with the broker's defaults."""
    topic = f"later-{uuid.uuid4().hex[:8]}"

    async def settled() -> Outcome | None:
        # Within the time of one attempt, a busy machine can fail to ask the broker.
        [outcome] = await asyncio.to_thread(written, order(1), topic=topic, timeout_s=4.0)
        return None if isinstance(outcome, Retry) else outcome

    held = await until(settled)
    assert isinstance(held, Hold)
    assert held.alert
    assert topic in held.reason
    make_topic(kafka, topic)

    assert isinstance(await until(settled), Delivered)


async def test_deletion_is_a_tombstone_where_the_settings_say_so(kafka: str, written: Any) -> None:
    """It removes the record of its key from a compacted topic."""
    topic = new_topic(kafka, partitions=1, cleanup_policy="compact")
    deleted = a_delivery(an_event(2, of_type="salesforce.cdc.Order.deleted", subject=order(1).event.subject))
    outcomes = await asyncio.to_thread(written, order(1), deleted, topic=topic, deletions="tombstone")

    assert [type(outcome) for outcome in outcomes] == [Delivered, Delivered]
    key = order(1).event.key.encode()
    assert await in_topic(kafka, topic) == [(key, order(1).body), (key, None)]


async def test_record_without_a_key_is_refused_by_a_compacted_topic(kafka: str, written: Any) -> None:
    """It can never succeed."""
    topic = new_topic(kafka, partitions=1, cleanup_policy="compact")
    outcomes = await asyncio.to_thread(written, order(1), order(2), topic=topic, key=None)

    assert [type(outcome) for outcome in outcomes] == [Reject, Reject]
