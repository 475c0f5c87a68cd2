"""Publish and PublishStream: every event has a result of its own."""

import asyncio
import uuid
from typing import Any

import grpc
import grpc.aio
import orjson
import pytest

from streamer.eventbus import ErrorCode, ProducerEvent, PublishRequest, PublishResponse
from streamer.sandbox import OrgSetup, PubSubLimits, SandboxSettings, User, parse_schema
from tests.integration.sandbox.pubsub.client import Failure, failure
from tests.integration.sandbox.pubsub.conftest import Serve, World, metadata

ORDERS = "/event/Order_Placed__e"
PAID = "/event/Paid__e"
NOW_MS = 1_735_689_600_123
SCHEMA = {
    "events": {
        "Order_Placed__e": {
            "fields": {
                "Order_No__c": {"type": "string", "required": True, "length": 5},
                "Amount__c": "double",
                "At__c": "datetime",
                "Day__c": "date",
                "Express__c": "boolean",
                "Note__c": "textarea",
            }
        }
    }
}


@pytest.fixture
async def world(serve: Serve) -> World:
    """An org with a declared event."""
    started: World = await serve(SandboxSettings(org=OrgSetup(schema=parse_schema(SCHEMA))))
    return started


async def order(world: World, event_id: str = "", **fields: Any) -> ProducerEvent:
    """Return an order to publish."""
    schema_id = (await world.client.topic(ORDERS)).schema_id
    stamps = {"CreatedDate": NOW_MS, "CreatedById": "005Sb0000000009IAA"}
    payload = await world.client.encoded(schema_id, {**stamps, "Order_No__c": "A-17", **fields})
    return ProducerEvent(id=event_id, schema_id=schema_id, payload=payload)


def published(world: World, path: str = ORDERS) -> list[dict[str, Any]]:
    """Return the messages of a topic."""
    return [orjson.loads(each.data) for each in world.sandbox.bus.after(path, 0)]


async def test_a_published_event_reaches_both_transports(world: World) -> None:
    """With the publisher's id and stamps, and its replay id is in the result."""
    event_id = str(uuid.uuid4())
    fields = {"Amount__c": 12.5, "At__c": NOW_MS, "Day__c": 1_735_776_000_000, "Express__c": False}
    event = await order(world, event_id, **fields)
    response = await world.client.publish(ORDERS, event)
    (result,) = response.results
    assert (result.correlation_key, result.HasField("error")) == (event_id, False)
    assert response.schema_id == event.schema_id
    (received,) = await (await world.client.subscribe(ORDERS)).events(1)
    assert (received.event, received.replay_id) == (event, result.replay_id)
    (message,) = published(world)
    assert message["payload"] == {
        "CreatedDate": "2025-01-01T00:00:00.123Z",
        "CreatedById": "005Sb0000000009IAA",
        "Order_No__c": "A-17",
        "Amount__c": 12.5,
        "At__c": "2025-01-01T00:00:00.123Z",
        "Day__c": "2025-01-02",
        "Express__c": False,
        "Note__c": None,
    }
    assert message["event"]["EventUuid"] == event_id


async def test_each_event_has_its_own_result(world: World) -> None:
    """In the order of the request; a bad one does not hold up the others."""
    good = await order(world)
    bad = {
        "no schema": ProducerEvent(id="1", schema_id="nope", payload=good.payload),
        "an empty schema": ProducerEvent(id="2", payload=good.payload),
        "no payload": ProducerEvent(id="3", schema_id=good.schema_id),
        "garbage": ProducerEvent(id="4", schema_id=good.schema_id, payload=b"\xff" * 40),
        "too much": ProducerEvent(id="5", schema_id=good.schema_id, payload=good.payload + b"\0"),
        "too long": await order(world, "6", Order_No__c="A-1234"),
        "no time": await order(world, "7", At__c=2**62),
    }
    response = await world.client.publish(ORDERS, good, *bad.values(), good)
    first, *refused, last = response.results
    assert [result.correlation_key for result in refused] == list("1234567")
    assert {result.error.code for result in refused} == {ErrorCode.PUBLISH}
    assert all(result.error.msg and not result.replay_id for result in refused)
    assert first.replay_id < last.replay_id
    assert first.correlation_key != last.correlation_key
    assert len(published(world)) == 2


async def test_the_schema_of_another_event_is_refused(world: World) -> None:
    """Even where the event takes any fields."""
    (result,) = (await world.client.publish(PAID, await order(world))).results
    assert "Order_Placed__e" in result.error.msg
    assert not published(world, PAID)


async def test_an_event_that_nothing_declares_can_be_published(world: World) -> None:
    """With the schema of its messages so far."""
    world.sandbox.org.publish_platform_event("Paid__e", {"Number__c": 1, "Text__c": "a"})
    schema_id = (await world.client.topic(PAID)).schema_id
    stamps = {"CreatedDate": NOW_MS, "CreatedById": "005Sb0000000009IAA"}
    payload = await world.client.encoded(schema_id, {**stamps, "Number__c": 2.5})
    event = ProducerEvent(id="e1", schema_id=schema_id, payload=payload)
    await world.client.publish(PAID, event)
    assert published(world, PAID)[-1]["payload"].get("Number__c") == 2.5
    _, received = await (await world.client.subscribe(PAID)).events(2)
    assert received.event == event


async def test_an_event_of_before_a_new_schema_can_be_published(world: World) -> None:
    """Its schema stays readable, and the response tells the new one."""
    before = await order(world)
    wider = {**SCHEMA["events"]["Order_Placed__e"]["fields"], "New__c": "boolean"}
    world.sandbox.org.declare(parse_schema({"events": {"Order_Placed__e": {"fields": wider}}}))
    response = await world.client.publish(ORDERS, before)
    assert not response.results[0].HasField("error")
    assert response.schema_id not in {"", before.schema_id}


async def refused(world: World, path: str, *events: ProducerEvent) -> Failure:
    """Return the failure of a request."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await world.client.publish(path, *events)
    return failure(raised.value)


@pytest.mark.parametrize(
    "path", ["/data/AccountChangeEvent", "/event/LoginEventStream", "/data/ChangeEvents"]
)
async def test_only_platform_events_can_be_published(world: World, path: str) -> None:
    """Changes and Salesforce's own events come from the org."""
    found = await refused(world, path, ProducerEvent())
    assert (found.status, found.code) == (grpc.StatusCode.PERMISSION_DENIED, "topic.not.found")
    assert (await refused(world, "/event/Nope")).status is grpc.StatusCode.NOT_FOUND


async def test_publishing_needs_a_permission(serve: Serve) -> None:
    """That to create the event."""
    reader = User.model_validate({"username": "reader@acme.example", "objects": {"Paid__e": ["read"]}})
    world: World = await serve(SandboxSettings(users=(reader,)))
    world.client.metadata = metadata(world.sandbox, world.sandbox.users.id_of("reader@acme.example"))
    assert (await refused(world, PAID)).status is grpc.StatusCode.PERMISSION_DENIED


async def test_sizes_are_limited(serve: Serve) -> None:
    """An event of more than 1 MB is refused, and a request of more than 4 MB like a lost connection."""
    limits = PubSubLimits(event_bytes=1_000, request_bytes=4_000)
    settings = SandboxSettings(org=OrgSetup(schema=parse_schema(SCHEMA)), pubsub=limits)
    world: World = await serve(settings)
    good = await order(world)
    large = await order(world, "l", Note__c="x" * 1_000)
    response = await world.client.publish(ORDERS, large, good)
    assert [result.HasField("error") for result in response.results] == [True, False]
    found = await refused(world, ORDERS, *[large] * 4)
    assert (found.status, found.code) == (grpc.StatusCode.UNAVAILABLE, None)
    assert found.description.startswith("upstream connect error")
    assert (await refused(world, ORDERS, *[large] * 9)).status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(published(world)) == 1


async def test_a_stream_publishes_request_by_request(world: World) -> None:
    """Each has a response; later requests need no topic."""
    stream = world.client.publish_stream()
    for number, path in enumerate((ORDERS, "")):
        event = await order(world, str(number))
        await stream.send(PublishRequest(topic_name=path, events=[event]))
        response: PublishResponse = await stream.receive()
        assert [result.correlation_key for result in response.results] == [str(number)]
    await stream.call.done_writing()
    assert await stream.end() is None
    assert len(published(world)) == 2


async def test_a_stream_without_events_ends(world: World) -> None:
    """After 70 s; requests without events don't count."""
    stream = world.client.publish_stream()
    for turn_s in (60, 69):
        await stream.send(PublishRequest(topic_name=ORDERS, events=[await order(world)]))
        await stream.receive()
        await world.clock.turn(turn_s)
    await stream.send(PublishRequest(topic_name=ORDERS))
    await stream.receive()
    await asyncio.sleep(0.02)
    await world.clock.turn(1)
    end = await stream.end()
    assert end is not None
    assert end.code == "publish.stream.sweeper.timeout"


async def test_a_wrong_request_ends_a_stream(world: World) -> None:
    """With the error that a single request meets."""
    stream = world.client.publish_stream()
    await stream.send(PublishRequest(topic_name="/event/Nope"))
    end = await stream.end()
    assert end is not None
    assert (end.status, end.code) == (grpc.StatusCode.NOT_FOUND, "topic.not.found")


async def test_a_revoked_token_ends_a_publish_stream(world: World) -> None:
    """At its next request."""
    event = await order(world)
    stream = world.client.publish_stream()
    await stream.send(PublishRequest(topic_name=ORDERS, events=[event]))
    await stream.receive()
    world.sandbox.tokens.revoke_all()
    await stream.send(PublishRequest(topic_name=ORDERS, events=[event]))
    end = await stream.end()
    assert end is not None
    assert (end.status, end.code) == (grpc.StatusCode.UNAUTHENTICATED, "service.auth.error")
