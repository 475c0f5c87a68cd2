"""Subscribe: credit, presets, keep-alives, and the errors of wrong requests."""

import asyncio
from typing import Any

import grpc
import pytest

from streamer.sandbox import PubSubLimits, SandboxSettings
from streamer.sandbox.org.bus import HOUR_S
from tests.integration.sandbox.pubsub.client import CUSTOM, EARLIEST, LATEST, Failure, Subscription
from tests.integration.sandbox.pubsub.conftest import Serve, World, metadata
from tests.waiting import until

ACCOUNTS = "/data/AccountChangeEvent"
INVALID = grpc.StatusCode.INVALID_ARGUMENT


async def subscribed(world: World, preset: Any = LATEST, count: int = 100) -> Subscription:
    """Return a subscription that the server has begun."""
    before = len(world.pending(ACCOUNTS))
    subscription = await world.client.subscribe(ACCOUNTS, count, preset)
    await until(lambda: len(world.pending(ACCOUNTS)) > before)
    return subscription


async def names(world: World, subscription: Subscription, count: int, **more: Any) -> list[str]:
    """Return the names of the accounts in the next events."""
    return [(await world.client.decoded(each))["Name"] for each in await subscription.events(count, **more)]


async def test_new_events_come_as_they_happen(world: World) -> None:
    """With LATEST nothing of before, and each with a replay id of 8 bytes."""
    world.create_accounts(2)
    subscription = await subscribed(world, LATEST)
    world.create_accounts(1, first=2)
    response = await subscription.receive()
    (event,) = response.events
    assert (await world.client.decoded(event))["Name"] == "2"
    newest = world.sandbox.bus.newest_replay_id(ACCOUNTS)
    assert newest is not None
    assert event.replay_id == response.latest_replay_id == newest.to_bytes(8, "big")
    assert (response.pending_num_requested, len(response.rpc_id)) == (99, 36)


async def test_a_subscription_resumes_behind_a_replay_id(world: World) -> None:
    """Or begins with everything that is retained."""
    world.create_accounts(5)
    earliest = await world.client.subscribe(ACCOUNTS, 100, EARLIEST)
    events = await earliest.events(5)
    resumed = await world.client.subscribe(ACCOUNTS, 100, CUSTOM, events[1].replay_id)
    assert await names(world, resumed, 3) == ["2", "3", "4"]


async def test_no_more_events_come_than_were_asked_for(world: World) -> None:
    """Later requests need no topic, and their replay options count for nothing."""
    world.create_accounts(10)
    subscription = await world.client.subscribe(ACCOUNTS, 3, EARLIEST)
    response = await subscription.receive()
    assert (len(response.events), response.pending_num_requested) == (3, 0)
    await subscription.ask(2, replay_preset=CUSTOM, replay_id=b"nonsense")
    assert await names(world, subscription, 2) == ["3", "4"]
    await subscription.ask(5, topic_name=ACCOUNTS)
    assert await names(world, subscription, 5) == ["5", "6", "7", "8", "9"]


async def test_credit_adds_up_to_a_hundred(world: World) -> None:
    """Credit beyond that is forgotten."""
    subscription = await subscribed(world, LATEST, 90)
    await subscription.ask(60)
    await until(lambda: world.pending(ACCOUNTS) == [100])
    world.create_accounts(150)
    events = await subscription.events(100)
    assert len(events) == 100
    await subscription.ask(1)
    response = await subscription.receive()
    assert (len(response.events), response.pending_num_requested) == (1, 0)


async def test_a_backlog_comes_in_order_and_in_large_responses(world: World) -> None:
    """Larger ones than a message can be are spread."""
    text = "x" * 400_000
    for number in range(20):
        world.create("Account", Name=str(number), Text__c=f"{number}{text}")
    subscription = await world.client.subscribe(ACCOUNTS, 100, EARLIEST)
    sizes, found = [], list[str]()
    while len(found) < 20:
        response = await subscription.receive()
        sizes.append((len(response.events), response.ByteSize()))
        found += [(await world.client.decoded(event))["Name"] for event in response.events]
    assert found == [str(number) for number in range(20)]
    assert [count for count, _ in sizes] == [7, 7, 6]
    assert max(size for _, size in sizes) < 3_000_000


async def test_a_quiet_stream_is_kept_alive(world: World) -> None:
    """By an empty response within 270 s; its position lies beyond the last event, and is a valid one."""
    world.create_accounts(1)
    subscription = await subscribed(world, EARLIEST)
    (event,) = await subscription.events(1)
    for _ in range(2):
        await world.clock.turn(269)
        await world.clock.turn(1)
        response = await subscription.receive()
        assert (len(response.events), response.pending_num_requested) == (0, 99)
        assert response.latest_replay_id > event.replay_id
    world.create_accounts(1, first=1)
    resumed = await world.client.subscribe(ACCOUNTS, 100, CUSTOM, response.latest_replay_id)
    for each in (subscription, resumed):
        assert await names(world, each, 1) == ["1"]


async def test_a_keepalive_is_due_after_the_credit(world: World) -> None:
    """A stream that had none for a while gets no early one."""
    world.create_accounts(1)
    subscription = await world.client.subscribe(ACCOUNTS, 1, EARLIEST)
    await subscription.events(1)
    await world.clock.turn(59)
    await subscription.ask(1)
    await until(lambda: world.pending(ACCOUNTS) == [1])
    await world.clock.turn(269)
    world.create_accounts(1, first=1)
    assert len((await subscription.receive()).events) == 1


async def test_a_stream_without_credit_ends(world: World) -> None:
    """After 60 s, with OK; until then it can ask for more."""
    world.create_accounts(3)
    subscription = await world.client.subscribe(ACCOUNTS, 1, EARLIEST)
    await subscription.events(1)
    await world.clock.turn(59)
    await subscription.ask(1)
    await subscription.events(1)
    await world.clock.turn(59)
    await asyncio.sleep(0.02)
    assert world.server.streams == 1
    await world.clock.turn(1)
    assert await subscription.end() is None
    await until(lambda: not world.server.streams)


async def test_a_stream_that_asks_for_nothing_ends(world: World) -> None:
    """As one without credit does."""
    subscription = world.client.open()
    await until(lambda: world.server.streams)
    await world.clock.turn(60)
    assert await subscription.end() is None


async def test_a_client_that_asks_no_more_gets_what_it_asked_for(world: World) -> None:
    """And then the end."""
    world.create_accounts(3)
    subscription = await world.client.subscribe(ACCOUNTS, 2, EARLIEST)
    await subscription.call.done_writing()
    assert await names(world, subscription, 2) == ["0", "1"]
    assert await subscription.end() is None


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"num_requested": 0}, "subscription.fetch.requested.events.invalid"),
        ({"num_requested": -5}, "subscription.fetch.requested.events.invalid"),
        ({"replay_preset": CUSTOM}, "subscription.fetch.replayid.validation.failed"),
        ({"replay_preset": 7}, "subscription.fetch.replayid.validation.failed"),
        ({"replay_preset": CUSTOM, "replay_id": b"1"}, "subscription.fetch.replayid.corrupted"),
        ({"replay_preset": CUSTOM, "replay_id": bytes(8)}, "subscription.fetch.replayid.corrupted"),
        ({"replay_preset": CUSTOM, "replay_id": b"\xff" * 8}, "subscription.fetch.replayid.corrupted"),
        ({"replay_preset": CUSTOM, "replay_id": b"\xff" * 10}, "subscription.fetch.replayid.corrupted"),
        ({"topic_name": ""}, "topic.validation.empty"),
    ],
)
async def test_a_wrong_first_request_is_refused(world: World, request_: dict[str, Any], code: str) -> None:
    """With a code that tells what is wrong, and the id of the call."""
    subscription = world.client.open()
    await subscription.ask(**{"count": 1, "topic_name": ACCOUNTS, **_renamed(request_)})
    end = await subscription.end()
    assert end is not None
    assert (end.status, end.code) == (INVALID, code)
    assert end.description[:-36].endswith(" rpcId: ")


def _renamed(request: dict[str, Any]) -> dict[str, Any]:
    return {"count" if key == "num_requested" else key: value for key, value in request.items()}


@pytest.mark.parametrize(
    ("count", "more", "code"),
    [
        (1, {"topic_name": "/data/ContactChangeEvent"}, "subscription.fetch.topic.mismatch"),
        (0, {}, "subscription.fetch.requested.events.invalid"),
    ],
)
async def test_a_wrong_later_request_ends_the_stream(
    world: World, count: int, more: dict[str, Any], code: str
) -> None:
    """At once."""
    subscription = await subscribed(world)
    await subscription.ask(count, **more)
    end = await subscription.end()
    assert end is not None
    assert (end.status, end.code) == (INVALID, code)


async def test_an_expired_replay_id_is_refused(world: World) -> None:
    """As a corrupted one is; a keep-alive's position is valid as long as an event's."""
    world.create_accounts(1)
    subscription = await subscribed(world, EARLIEST)
    (event,) = await subscription.events(1)
    await world.clock.turn(270)
    position = (await subscription.receive()).latest_replay_id
    await world.clock.turn(72 * HOUR_S - 269)
    # The first token has ended, for it was not used.
    world.client.metadata = metadata(world.sandbox)
    expired = await world.client.subscribe(ACCOUNTS, 1, CUSTOM, event.replay_id)
    assert _code(await expired.end()) == "subscription.fetch.replayid.corrupted"
    world.create_accounts(1, first=1)
    fresh = await world.client.subscribe(ACCOUNTS, 1, CUSTOM, position)
    assert await names(world, fresh, 1) == ["1"]


def _code(end: Failure | None) -> str | None:
    return None if end is None else end.code


async def test_replay_ids_can_have_ten_bytes(serve: Serve) -> None:
    """Both lengths lead back to the place, as with Salesforce."""
    world: World = await serve(SandboxSettings(pubsub=PubSubLimits(replay_id_bytes=10)))
    world.create_accounts(2)
    subscription = await world.client.subscribe(ACCOUNTS)
    first, _ = await subscription.events(2)
    assert (len(first.replay_id), first.replay_id[8:]) == (10, bytes(2))
    for replay_id in (first.replay_id, first.replay_id[:8]):
        resumed = await world.client.subscribe(ACCOUNTS, 1, CUSTOM, replay_id)
        assert await names(world, resumed, 1) == ["1"]


async def test_asking_for_too_much_can_end_the_stream(serve: Serve) -> None:
    """Where the sandbox is set to be strict."""
    world: World = await serve(SandboxSettings(pubsub=PubSubLimits(refuse_excess=True)))
    subscription = await subscribed(world, LATEST, 100)
    await subscription.ask(1)
    assert _code(await subscription.end()) == "subscription.fetch.overflow"


async def test_streams_are_limited(serve: Serve) -> None:
    """A stream that ends makes room."""
    world: World = await serve(SandboxSettings(pubsub=PubSubLimits(streams=2)))
    first = await subscribed(world)
    await subscribed(world)
    refused = await (await world.client.subscribe(ACCOUNTS)).end()
    assert refused is not None
    assert (refused.status, refused.code) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "concurrent.client.limit.exceeded",
    )
    first.call.cancel()
    await until(lambda: world.server.streams == 1)
    world.create_accounts(1)
    assert await names(world, await world.client.subscribe(ACCOUNTS), 1) == ["0"]
