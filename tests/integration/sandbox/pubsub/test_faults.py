"""Faults of the Pub/Sub API, each as its client meets it."""

import asyncio
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest

from streamer.eventbus import ProducerEvent
from tests.integration.sandbox.pubsub.client import CUSTOM, EARLIEST, Failure, Subscription, failure
from tests.integration.sandbox.pubsub.conftest import World, metadata
from tests.waiting import awaited

ACCOUNTS = "/data/AccountChangeEvent"


async def started(world: World, count: int = 1) -> Subscription:
    """Return a subscription that has sent its first events."""
    world.create_accounts(count)
    subscription = await world.client.subscribe(ACCOUNTS)
    await subscription.events(count)
    return subscription


async def numbers(world: World, subscription: Subscription, count: int) -> list[int]:
    """Return the names of the next accounts, which are numbers."""
    events = await subscription.events(count)
    return [int((await world.client.decoded(event))["Name"]) for event in events]


def told(end: Failure | None) -> tuple[str, str | None]:
    """Return the status and the code of an end."""
    return ("OK", None) if end is None else (end.status.name, end.code)


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("expire_session", {}, ("UNAUTHENTICATED", "service.auth.error")),
        ("unavailable", {}, ("UNAVAILABLE", "service.unavailable")),
        ("unavailable", {"coded": False}, ("UNAVAILABLE", None)),
        ("end_stream", {}, ("OK", None)),
        ("end_stream", {"status": "INTERNAL"}, ("INTERNAL", None)),
        (
            "end_stream",
            {"status": "ABORTED", "error_code": "subscription.internal.error"},
            ("ABORTED", "subscription.internal.error"),
        ),
        ("daily_limit", {"times": 1}, ("RESOURCE_EXHAUSTED", "subscription.limit.exceeded")),
    ],
)
async def test_an_open_stream_ends_at_once(
    world: World, name: str, parameters: dict[str, Any], expected: tuple[str, str | None]
) -> None:
    """Although nothing happens on it."""
    subscription = await started(world)
    world.sandbox.faults.arm(name, parameters)
    assert told(await subscription.end()) == expected
    assert world.sandbox.faults.struck == {name: 1}
    world.client.metadata = metadata(world.sandbox)
    assert await numbers(world, await world.client.subscribe(ACCOUNTS), 1) == [0]


async def test_a_fault_strikes_behind_exactly_so_many_events(world: World) -> None:
    """Those before it arrive, and a subscription resumes behind them."""
    world.create_accounts(10)
    world.sandbox.faults.arm("unavailable", {"after_events": 4})
    subscription = await world.client.subscribe(ACCOUNTS)
    events = await subscription.events(4)
    assert told(await subscription.end()) == ("UNAVAILABLE", "service.unavailable")
    resumed = await world.client.subscribe(ACCOUNTS, 100, CUSTOM, events[-1].replay_id)
    assert await numbers(world, resumed, 6) == [4, 5, 6, 7, 8, 9]


async def test_an_expired_token_is_refused_by_every_call(world: World) -> None:
    """Until there is another, also where it expires between two streams."""
    await started(world)
    world.sandbox.faults.arm("expire_session", {"on": ["subscribe"]})
    refused = await (await world.client.subscribe(ACCOUNTS)).end()
    assert told(refused) == ("UNAUTHENTICATED", "service.auth.error")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await world.client.topic(ACCOUNTS)
    assert told(failure(raised.value)) == ("UNAUTHENTICATED", "service.auth.error")
    world.client.metadata = metadata(world.sandbox)
    assert (await world.client.topic(ACCOUNTS)).can_subscribe


async def test_the_service_is_unavailable_so_many_times(world: World) -> None:
    """For every kind of call."""
    subscription = await started(world)
    schema_id = (await world.client.topic(ACCOUNTS)).schema_id
    world.sandbox.faults.arm("unavailable", {"times": 5})
    ends = [told(await subscription.end()), told(await (await world.client.subscribe(ACCOUNTS)).end())]
    calls = (
        world.client.topic(ACCOUNTS),
        world.client.schema(schema_id),
        world.client.publish("/event/Paid__e", ProducerEvent()),
    )
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        ends.append(told(failure(raised.value)))
    assert ends == [("UNAVAILABLE", "service.unavailable")] * 5
    assert await numbers(world, await world.client.subscribe(ACCOUNTS), 1) == [0]


async def test_a_half_open_stream_says_nothing(world: World) -> None:
    """No event, no keep-alive and no answer, until it is healed; a new one is not struck."""
    subscription = await started(world)
    world.sandbox.faults.arm("half_open", {})
    world.create_accounts(1, first=1)
    await subscription.ask(5)
    await world.clock.turn(1_000)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(subscription.call.read(), 0.1)
    assert await numbers(world, await world.client.subscribe(ACCOUNTS), 2) == [0, 1]


async def test_a_half_open_stream_is_cut_when_it_is_healed(world: World) -> None:
    """Like a lost connection."""
    subscription = await started(world)
    world.sandbox.faults.arm("half_open", {})
    await world.struck("half_open")
    world.sandbox.faults.heal()
    assert told(await subscription.end()) == ("UNAVAILABLE", None)


async def test_a_stream_is_cut_for_its_age(world: World) -> None:
    """On the sandbox's clock, whatever it does."""
    world.sandbox.faults.arm("age_limit", {"seconds": 300})
    subscription = await started(world)
    await world.clock.turn(299)
    world.create_accounts(1, first=1)
    await subscription.receive()
    await world.clock.turn(1)
    assert told(await subscription.end()) == ("UNAVAILABLE", None)


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("client_limit", {}, ("RESOURCE_EXHAUSTED", "concurrent.client.limit.exceeded")),
        ("daily_limit", {"times": 1}, ("RESOURCE_EXHAUSTED", "subscription.limit.exceeded")),
        ("deny_subscription", {"path": ACCOUNTS}, ("PERMISSION_DENIED", "topic.not.found")),
        ("deny_subscription", {}, ("PERMISSION_DENIED", "topic.not.found")),
    ],
)
async def test_a_new_subscription_is_refused(
    world: World, name: str, parameters: dict[str, Any], expected: tuple[str, str]
) -> None:
    """Once; the next is taken."""
    world.create_accounts(1)
    world.sandbox.faults.arm(name, parameters)
    assert told(await (await world.client.subscribe(ACCOUNTS)).end()) == expected
    assert await numbers(world, await world.client.subscribe(ACCOUNTS), 1) == [0]


async def test_a_good_replay_id_can_be_refused(world: World) -> None:
    """Only where one is given."""
    world.create_accounts(2)
    world.sandbox.faults.arm("refuse_replay_id", {})
    subscription = await world.client.subscribe(ACCOUNTS, 1, EARLIEST)
    (event,) = await subscription.events(1)
    refused = await world.client.subscribe(ACCOUNTS, 1, CUSTOM, event.replay_id)
    assert told(await refused.end()) == ("INVALID_ARGUMENT", "subscription.fetch.replayid.corrupted")
    taken = await world.client.subscribe(ACCOUNTS, 1, CUSTOM, event.replay_id)
    assert await numbers(world, taken, 1) == [1]


async def test_a_reset_stream_forgets_its_replay_ids(world: World) -> None:
    """As after a refresh of the org."""
    world.create_accounts(1)
    (event,) = await (await world.client.subscribe(ACCOUNTS)).events(1)
    world.sandbox.faults.arm("reset_stream", {})
    refused = await world.client.subscribe(ACCOUNTS, 1, CUSTOM, event.replay_id)
    assert told(await refused.end()) == ("INVALID_ARGUMENT", "subscription.fetch.replayid.corrupted")


async def test_keepalives_can_stop(world: World) -> None:
    """The stream is quiet from then on, and not dead: events still come."""
    subscription = await started(world)
    await world.clock.turn(270)
    assert not (await subscription.receive()).events
    world.sandbox.faults.arm("stop_keepalives", {})
    await world.clock.turn(270)
    await world.struck("stop_keepalives")
    await world.clock.turn(3_000)
    world.create_accounts(1, first=1)
    assert len((await subscription.receive()).events) == 1


async def test_a_schema_can_be_unknown(world: World) -> None:
    """Once."""
    schema_id = (await world.client.topic(ACCOUNTS)).schema_id
    world.sandbox.faults.arm("unknown_schema", {})
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await world.client.schema(schema_id)
    assert told(failure(raised.value)) == ("INVALID_ARGUMENT", "schema.validation.failed")
    assert (await world.client.schema(schema_id)).schema_id == schema_id


async def test_a_published_event_can_be_refused(world: World) -> None:
    """In its result."""
    schema_id = (await world.client.topic("/event/Paid__e")).schema_id
    payload = await world.client.encoded(schema_id, {"CreatedDate": 1, "CreatedById": "005"})
    event = ProducerEvent(id="1", schema_id=schema_id, payload=payload)
    world.sandbox.faults.arm("refuse_publish", {})
    results = (await world.client.publish("/event/Paid__e", event, event)).results
    assert [result.HasField("error") for result in results] == [True, False]


async def test_a_stream_can_be_slow(world: World) -> None:
    """By the sandbox's clock."""
    subscription = await started(world)
    world.sandbox.faults.arm("slow", {"seconds": 30, "on": ["stream"]})
    world.create_accounts(1, first=1)
    await world.struck("slow")
    await world.clock.turn(29)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(read := asyncio.ensure_future(subscription.call.read())), 0.1)
    await world.clock.turn(1)
    assert len((await awaited(read)).events) == 1


async def test_faults_are_armed_over_http(world: World) -> None:
    """The state lists the streams."""
    subscription = await started(world)
    async with aiohttp.ClientSession(world.sandbox.url) as http:
        async with http.get("/sandbox/state") as response:
            state = await response.json()
        async with http.post("/sandbox/faults/end_stream", json={"status": "ABORTED"}) as response:
            assert response.status == 200
        async with http.post("/sandbox/faults/end_stream", json={"status": "NOPE"}) as response:
            assert response.status == 400
    assert (state["pubsub_streams"], state["delivered_events"]) == (1, 1)
    assert told(await subscription.end()) == ("ABORTED", None)
