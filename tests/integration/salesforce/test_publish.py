"""Platform events are published to the sandbox over both APIs, through faults."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from streamer.clock import SystemClock
from streamer.errors import CredentialsRefused, PublishingRefused, SalesforceUnavailable
from streamer.ports import (
    EventPublisher,
    OutgoingEvent,
    Published,
    PublishResult,
    PublishTransport,
    Unanswered,
    Unpublished,
)
from streamer.salesforce.auth.flows import Logins
from streamer.salesforce.publish.access import OrgAccess
from streamer.sandbox import OrgSetup, Sandbox, SandboxSettings, User, parse_schema
from streamer.sandbox.auth.connected_app import ConnectedApp
from streamer.settings import OrgSettings, PubSubSettings
from tests.streaming import APP

ORDERS, LARGE = "Order_Placed__e", "Large__e"
FIELDS = {
    "Order_No__c": {"type": "string", "required": True, "length": 6},
    "Amount__c": "double",
    "At__c": "datetime",
    "Day__c": "date",
    "Express__c": "boolean",
}
PUBSUB, REST = PublishTransport.PUBSUB, PublishTransport.REST
BOTH = pytest.mark.parametrize("transport", PublishTransport)


def schema(**more: Any) -> Any:
    """Return a declared event with the usual fields and `more`."""
    return parse_schema({"events": {ORDERS: {"fields": {**FIELDS, **more}}}})


@dataclass(frozen=True, kw_only=True)
class World:
    """A sandbox, and the settings of its org."""

    sandbox: Sandbox
    org: OrgSettings

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Return the messages that subscribers get."""
        return [orjson.loads(each.data) for each in self.sandbox.bus.after(f"/event/{ORDERS}", 0)]

    @property
    def numbers(self) -> list[str]:
        """Return the order numbers in these messages."""
        return [message["payload"]["Order_No__c"] for message in self.messages]

    @asynccontextmanager
    async def publisher(self, transport: PublishTransport) -> AsyncIterator[EventPublisher]:
        """Give a publisher of its own."""
        clock = SystemClock()
        org = OrgAccess(settings=self.org, clock=clock, logins=Logins(clock), random=lambda: 0.1)
        async with org.publisher(transport, timeout_s=5) as publisher:
            yield publisher


def order(number: object, **fields: Any) -> OutgoingEvent:
    """Return an order to publish."""
    return OutgoingEvent(
        id=f"6f0c1d2e-0000-4000-8000-{number!s:0>12}", fields={"Order_No__c": str(number), **fields}
    )


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[World]:
    """Serve an org with a declared event."""
    org = OrgSetup(schema=schema(), objects=(LARGE,), closed=True)
    async with Sandbox(
        SystemClock(), pubsub_port=0, settings=SandboxSettings(org=org, **settings)
    ) as sandbox:
        pubsub = PubSubSettings(endpoint=f"http://{sandbox.pubsub_address}")
        yield World(sandbox=sandbox, org=OrgSettings(login_url=sandbox.url, auth=APP, pubsub=pubsub))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """An org with a declared event."""
    async with serving() as running:
        yield running


Publish = Callable[..., Awaitable[list[PublishResult]]]


@pytest.fixture
async def publish(world: World) -> AsyncIterator[Publish]:
    """Publishes events, over one publisher for each transport."""
    async with AsyncExitStack() as stack:
        publishers: dict[PublishTransport, EventPublisher] = {}

        async def published(transport: PublishTransport, *events: OutgoingEvent) -> list[PublishResult]:
            if transport not in publishers:
                publishers[transport] = await stack.enter_async_context(world.publisher(transport))
            return list(await publishers[transport].publish(ORDERS, events))

        yield published


@BOTH
async def test_event_arrives_with_its_fields(
    world: World, publish: Publish, transport: PublishTransport
) -> None:
    """The same, whichever API carries it."""
    fields = {
        "Amount__c": 12.5,
        "At__c": "2025-01-01T00:00:00.123Z",
        "Day__c": "2025-01-02",
        "Express__c": False,
    }
    [result] = await publish(transport, order(7, **fields))

    [message] = world.messages
    assert isinstance(result, Published)
    assert result.event_uuid == message["event"]["EventUuid"]
    user = world.sandbox.org.settings.user_id
    assert message["payload"].pop("CreatedDate")
    assert message["payload"] == {"CreatedById": user, "Order_No__c": "7", **fields}
    if transport is PUBSUB:
        assert result.event_uuid == order(7).id
        assert result.replay_id


@BOTH
async def test_each_event_has_its_own_result(
    world: World, publish: Publish, transport: PublishTransport
) -> None:
    """Over several requests, in their order; those between bad ones are published."""
    events = [order(number) for number in range(230)]
    events[3], events[228] = order("too-long"), order("3x", Amount__c="x")
    events[100] = order("@{x}")
    results = await publish(transport, *events)

    refused = [number for number, result in enumerate(results) if isinstance(result, Unpublished)]
    assert refused == [3, 228]
    assert all(isinstance(result, Published | Unpublished) for result in results)
    assert world.numbers == [
        str(event.fields["Order_No__c"]) for number, event in enumerate(events) if number not in refused
    ]


async def test_field_that_does_not_fit_is_named_before_anything_is_sent(publish: Publish) -> None:
    """Over the Pub/Sub API, by its schema."""
    results = await publish(PUBSUB, order(1, Amount__c="x"), order(2, Amuont__c=1))

    assert [getattr(each, "reason", "")[:40] for each in results] == [
        "Amount__c: found a text; must be a numbe",
        "Amuont__c: Order_Placed__e has no such f",
    ]
    assert not any(getattr(each, "sent", True) for each in results)


@BOTH
async def test_event_that_is_too_large_is_refused_here(world: World, transport: PublishTransport) -> None:
    """Whereas many large ones are spread over requests."""
    world.sandbox.org.publish_platform_event(LARGE, {"Note__c": "x"})
    sizes = [900_000, 1_100_000, 900_000, 900_000, 900_000]
    events = [OutgoingEvent(id=order(size).id, fields={"Note__c": "x" * size}) for size in sizes]
    async with world.publisher(transport) as publisher:
        _, refused, *published = await publisher.publish(LARGE, events)

    assert isinstance(refused, Unpublished)
    assert (refused.code, refused.sent) == ("too_large", False)
    assert all(isinstance(each, Published) for each in published)
    assert len(world.sandbox.bus.after(f"/event/{LARGE}", 0)) == 5


@BOTH
async def test_token_that_expires_is_renewed(
    world: World, publish: Publish, transport: PublishTransport
) -> None:
    """And no event is published twice."""
    await publish(transport, order(1))
    world.sandbox.tokens.revoke_all()
    [result] = await publish(transport, order(2))

    assert isinstance(result, Published)
    assert world.numbers == ["1", "2"]


@pytest.mark.parametrize("on", ["topic", "schema", "publish"])
@pytest.mark.parametrize("coded", [True, False])
async def test_service_that_is_away_once_can_be_tried_again(
    world: World, publish: Publish, on: str, *, coded: bool
) -> None:
    """With the same ids; what stands behind the failure was not sent."""
    world.sandbox.faults.arm("unavailable", {"on": [on], "coded": coded})
    events = [order(number) for number in range(201)]
    first = await publish(PUBSUB, *events)

    assert all(
        isinstance(each, Unanswered) and isinstance(each.error, SalesforceUnavailable) for each in first
    )
    assert all(isinstance(each, Published) for each in await publish(PUBSUB, *events))
    assert world.numbers == [str(number) for number in range(201)]


async def test_answer_that_does_not_come_is_uncertain(world: World) -> None:
    """The call is given up after its time."""
    world.sandbox.faults.arm("slow", {"seconds": 30, "on": ["publish"]})
    clock = SystemClock()
    org = OrgAccess(settings=world.org, clock=clock, logins=Logins(clock))
    async with org.publisher(PUBSUB, timeout_s=0.2) as publisher:
        [result] = await publisher.publish(ORDERS, [order(1)])
    assert isinstance(result, Unanswered)
    assert "overdue" in str(result.error.__cause__)


async def test_refused_event_is_told_in_salesforces_words(world: World, publish: Publish) -> None:
    """It is not tried again while the schema is the same."""
    world.sandbox.faults.arm("refuse_publish", {})
    refused, published = await publish(PUBSUB, order(1), order(2))

    assert refused == Unpublished(
        code="publish", reason="Salesforce refused the event: The event can't be published now."
    )
    assert isinstance(published, Published)
    assert world.numbers == ["2"]


async def test_event_that_is_refused_for_an_old_schema_is_published_with_the_new_one(
    world: World, publish: Publish
) -> None:
    """Which is fetched on the refusal."""
    await publish(PUBSUB, order(1))
    world.sandbox.org.declare(schema(New__c="boolean"))
    world.sandbox.faults.arm("refuse_publish", {})
    [result] = await publish(PUBSUB, order(2))

    assert isinstance(result, Published)
    assert world.numbers == ["1", "2"]


async def test_field_that_is_new_in_the_org_is_found(world: World, publish: Publish) -> None:
    """The answer to another event named the new schema."""
    await publish(PUBSUB, order(1))
    world.sandbox.org.declare(schema(New__c="boolean"))
    await publish(PUBSUB, order(2))
    [result] = await publish(PUBSUB, order(3, New__c=True))

    assert isinstance(result, Published)
    assert world.messages[-1]["payload"]["New__c"] is True


@BOTH
async def test_event_that_the_org_does_not_have_is_an_operators_matter(
    world: World, transport: PublishTransport
) -> None:
    """In one sentence that says what to check."""
    async with world.publisher(transport) as publisher:
        for topic in ("Nope__e", ORDERS):
            results = await publisher.publish(topic, [order(1), order(2)])
            if topic == ORDERS:
                assert all(isinstance(each, Published) for each in results)
                continue
            for each in results:
                assert isinstance(each, Unanswered)
                assert isinstance(each.error, PublishingRefused)
                assert "check that the org has this platform event" in str(each.error)


@BOTH
async def test_user_who_may_not_publish_is_told(transport: PublishTransport) -> None:
    """As of an event that there is not."""
    reader = User.model_validate({"username": "reader@acme.example", "objects": {ORDERS: ["read"]}})
    app = ConnectedApp(run_as=reader.username)
    async with serving(users=(reader,), app=app) as world, world.publisher(transport) as publisher:
        [result] = await publisher.publish(ORDERS, [order(1)])
    assert isinstance(result, Unanswered)
    assert isinstance(result.error, PublishingRefused)


@BOTH
async def test_refused_login_is_an_operators_matter(world: World, transport: PublishTransport) -> None:
    """For every event of the call."""
    wrong = world.org.model_copy(update={"auth": APP.model_copy(update={"client_id": "other"})})
    clock = SystemClock()
    org = OrgAccess(settings=wrong, clock=clock, logins=Logins(clock))
    async with org.publisher(transport, timeout_s=5) as publisher:
        results = await publisher.publish(ORDERS, [order(1), order(2)])
    assert all(
        isinstance(each, Unanswered) and isinstance(each.error, CredentialsRefused) for each in results
    )


async def test_many_callers_share_one_connection_one_login_and_one_fetch(
    world: World, publish: Publish
) -> None:
    """So that a burst of deliveries costs one call for each event."""
    await asyncio.gather(*(publish(PUBSUB, order(number)) for number in range(50)))

    assert sorted(world.numbers, key=int) == [str(number) for number in range(50)]
    assert len(world.sandbox.tokens) == 1


async def test_parts_of_a_process_share_a_login() -> None:
    """A refresh token can be used up, and a user has few grants."""
    clock = SystemClock()
    logins = Logins(clock)
    async with serving() as world:
        org = OrgAccess(settings=world.org, clock=clock, logins=logins)
        async with org.publisher(PUBSUB, timeout_s=5) as one, org.publisher(REST, timeout_s=5) as other:
            await one.publish(ORDERS, [order(1)])
            await other.publish(ORDERS, [order(2)])
            assert len(world.sandbox.tokens) == 1
        async with logins.opened(world.org) as (tokens, _):
            assert await tokens.token()
        assert len(world.sandbox.tokens) == 2
