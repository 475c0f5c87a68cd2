"""GetTopic, GetSchema, and the credentials of every call."""

import grpc
import grpc.aio
import orjson
import pytest

from streamer.sandbox import SandboxSettings, User
from tests.integration.sandbox.pubsub.client import Failure, Metadata, failure
from tests.integration.sandbox.pubsub.conftest import Serve, World, metadata

ACCOUNTS = "/data/AccountChangeEvent"


async def refusal(call: object) -> Failure:
    """Return the failure of a call."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call  # type: ignore[misc] # any of the client's
    return failure(raised.value)


async def test_a_topic_has_the_schema_that_rest_serves(world: World) -> None:
    """And tells what the user can do with it."""
    info = await world.client.topic(ACCOUNTS)
    org = world.sandbox.org
    entity = org.schema.entity("Account")
    assert (info.topic_name, info.tenant_guid) == (ACCOUNTS, org.settings.org_id)
    assert (info.can_subscribe, info.can_publish) == (True, False)
    assert info.schema_id == org.event_schemas.id_of(entity)
    schema = await world.client.schema(info.schema_id)
    assert (schema.schema_id, orjson.loads(schema.schema_json)) == (
        info.schema_id,
        org.event_schemas.get(info.schema_id),
    )
    assert len({info.rpc_id, schema.rpc_id}) == 2


@pytest.mark.parametrize(
    ("path", "has_schema", "can_publish"),
    [
        ("/data/ChangeEvents", False, False),
        ("/data/Invoice__ChangeEvent", True, False),
        ("/event/Order_Placed__e", True, True),
        ("/event/LoginEventStream", True, False),
    ],
)
async def test_topics_differ(world: World, path: str, *, has_schema: bool, can_publish: bool) -> None:
    """One that carries several kinds of events has no schema of its own."""
    info = await world.client.topic(path)
    assert (bool(info.schema_id), info.can_publish, info.can_subscribe) == (has_schema, can_publish, True)


@pytest.mark.parametrize(
    "path", ["/data/NopeChangeEvent", "/event/Nope", "/topic/Invoices", "/u/Any", "data", "/data", "/data/"]
)
async def test_an_unknown_topic_is_refused(world: World, path: str) -> None:
    """PushTopic and generic channels are not served here."""
    found = await refusal(world.client.topic(path))
    assert (found.status, found.code) == (grpc.StatusCode.NOT_FOUND, "topic.not.found")
    end = await (await world.client.subscribe(path)).end()
    assert end is not None
    assert (end.status, end.code) == (found.status, found.code)


@pytest.mark.parametrize("schema_id", ["", "nope"])
async def test_an_unknown_schema_is_refused(world: World, schema_id: str) -> None:
    """An empty one too, as a topic of several kinds has it."""
    found = await refusal(world.client.schema(schema_id))
    assert (found.status, found.code) == (grpc.StatusCode.INVALID_ARGUMENT, "schema.validation.failed")


async def test_permissions_decide(serve: Serve) -> None:
    """A topic that the user can't use, and a schema that the user can't read, are refused."""
    reader = User.model_validate(
        {
            "username": "reader@acme.example",
            "objects": {"Account": ["view_all"], "Paid__e": ["read"], "Order_Placed__e": ["create"]},
            "channels": ["/data/*", "/event/Paid__e"],
        }
    )
    world: World = await serve(SandboxSettings(users=(reader,)))
    contact = (await world.client.topic("/data/ContactChangeEvent")).schema_id
    world.client.metadata = metadata(world.sandbox, world.sandbox.users.id_of("reader@acme.example"))
    denied = await refusal(world.client.topic("/data/ContactChangeEvent"))
    assert (denied.status, denied.code) == (grpc.StatusCode.PERMISSION_DENIED, "topic.not.found")
    assert (await refusal(world.client.schema(contact))).code == "schema.meta.permission"
    topics = [
        await world.client.topic(path) for path in (ACCOUNTS, "/event/Paid__e", "/event/Order_Placed__e")
    ]
    assert [(each.can_subscribe, each.can_publish) for each in topics] == [
        (True, False),
        (True, False),
        (False, True),
    ]
    end = await (await world.client.subscribe("/event/Order_Placed__e")).end()
    assert end is not None
    assert (end.status, end.code) == (denied.status, denied.code)


def without(given: Metadata, name: str) -> Metadata:
    """Return credentials that lack one."""
    return tuple(pair for pair in given if pair[0] != name)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("accesstoken", None, "service.auth.headers.invalid"),
        ("instanceurl", None, "service.auth.headers.invalid"),
        ("tenantid", None, "service.auth.headers.invalid"),
        ("instanceurl", "localhost", "service.auth.headers.invalid"),
        ("accesstoken", "nope", "service.auth.error"),
        ("tenantid", "00D000000000000AAA", "service.auth.error"),
    ],
)
async def test_every_call_needs_credentials(world: World, name: str, value: str | None, code: str) -> None:
    """Without them, or with wrong ones, each is refused."""
    more = () if value is None else ((name, value),)
    world.client.metadata = (*without(world.client.metadata, name), *more)
    calls = (world.client.topic(ACCOUNTS), world.client.schema(""), world.client.publish("/event/Paid__e"))
    found = [await refusal(call) for call in calls]
    for stream in (await world.client.subscribe(ACCOUNTS), world.client.publish_stream()):
        end = await stream.end()
        assert end is not None
        found.append(end)
    assert {(each.status, each.code) for each in found} == {(grpc.StatusCode.UNAUTHENTICATED, code)}


async def test_an_org_id_of_fifteen_characters_is_taken(world: World) -> None:
    """Clients take it from the token."""
    org_id = world.sandbox.org.settings.org_id[:15]
    world.client.metadata = (*without(world.client.metadata, "tenantid"), ("tenantid", org_id))
    assert (await world.client.topic(ACCOUNTS)).can_subscribe


async def test_a_token_with_a_scheme_is_refused(world: World) -> None:
    """Only the HTTP APIs take one."""
    token = dict(world.client.metadata)["accesstoken"]
    more = (("accesstoken", f"Bearer {token}"),)
    world.client.metadata = (*without(world.client.metadata, "accesstoken"), *more)
    assert (await refusal(world.client.topic(ACCOUNTS))).code == "service.auth.error"


async def test_a_revoked_token_ends_an_open_stream(world: World) -> None:
    """At once."""
    subscription = await world.client.subscribe(ACCOUNTS)
    world.create("Account", Name="A")
    await subscription.events(1)
    world.sandbox.tokens.revoke_all()
    end = await subscription.end()
    assert end is not None
    assert (end.status, end.code) == (grpc.StatusCode.UNAUTHENTICATED, "service.auth.error")
