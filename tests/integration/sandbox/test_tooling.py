"""The Tooling API's objects, as clients meet them."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from streamer.clock import TurnedClock
from streamer.sandbox import OrgSetup, Sandbox, SandboxSettings, User, parse_schema
from tests.integration.sandbox.conftest import Client, session

CHANGES, ERP = "/data/ChangeEvents", "/data/Erp__chn"
SCHEMA = {
    "objects": {"Account": {"fields": {"ERP_Id__c": {"type": "string", "external_id": True}}}},
    "channels": {
        "ChangeEvents": {"Account": [], "Contact": []},
        "Erp__chn": {"Account": ["ERP_Id__c"]},
        "Orders__chn": {"Order_Placed__e": []},
    },
}
MEMBERS = "tooling/sobjects/PlatformEventChannelMember"
CHANNELS = "tooling/sobjects/PlatformEventChannel"


@pytest.fixture
async def sandbox(clock: TurnedClock, request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """An org that selects nothing, or one with a selection and two custom channels."""
    org = OrgSetup(selected=frozenset(), schema=parse_schema(getattr(request, "param", {})))
    async with Sandbox(clock, settings=SandboxSettings(org=org)) as running:
        yield running


def member(selected: str, channel: str = "ChangeEvents", **metadata: Any) -> dict[str, Any]:
    """Return the body that adds a member."""
    name = f"{channel}_{selected}".replace("__", "_")
    return {
        "FullName": name,
        "Metadata": {"eventChannel": channel, "selectedEntity": selected, **metadata},
    }


def channel(name: str, kind: str = "data") -> dict[str, Any]:
    """Return the body that creates a channel."""
    return {"FullName": name, "Metadata": {"channelType": kind, "label": name}}


async def query(client: Client, text: str) -> list[dict[str, Any]]:
    """Return the records that a query finds, without their addresses."""
    status, answer = await client("GET", f"tooling/query?q={text.replace(' ', '+')}")
    assert status == 200, answer
    return [{key: value for key, value in row.items() if key != "attributes"} for row in answer["records"]]


def emitted(sandbox: Sandbox, path: str) -> list[str]:
    """Change accounts, contacts and invoices, and return the entities whose changes arrive on a channel."""
    before = sandbox.bus.sequence
    with sandbox.org.transaction() as transaction:
        transaction.create("Account", {"Name": "Acme", "Industry": "Energy"})
        transaction.create("Contact", {"LastName": "Berg"})
        transaction.create("Invoice__c", {"Name": "1"})
    found = [orjson.loads(each.data)["payload"] for each in sandbox.bus.since(path, before)]
    return [payload["ChangeEventHeader"]["entityName"] for payload in found]


async def test_member_selects_an_entity(client: Client, sandbox: Sandbox) -> None:
    """With the answer of the guide; an org that selects nothing announces nothing."""
    assert emitted(sandbox, CHANGES) == []
    status, answer = await client("POST", MEMBERS, member("Invoice__ChangeEvent"))
    assert (status, answer["id"][:3]) == (201, "0v8")
    assert {key: value for key, value in answer.items() if key != "id"} == {
        "success": True,
        "errors": [],
        "warnings": [],
        "infos": [],
    }
    assert emitted(sandbox, CHANGES) == ["Invoice__c"]
    assert (await client("DELETE", f"{MEMBERS}/{answer['id']}"))[0] == 204
    assert emitted(sandbox, CHANGES) == []
    assert (await client("DELETE", f"{MEMBERS}/{answer['id']}"))[0] == 404


async def test_usual_selection_is_that_of_its_members() -> None:
    """A query lists the announced objects; selecting one more, or one less, leaves the others."""
    clock = TurnedClock()
    async with Sandbox(clock) as sandbox, session(sandbox) as client:
        every = ["Account", "Contact", "Invoice__c"]
        assert emitted(sandbox, CHANGES) == every
        text = "SELECT Id, SelectedEntity FROM PlatformEventChannelMember"
        listed = {each["SelectedEntity"]: each["Id"] for each in await query(client, text)}
        assert {"AccountChangeEvent", "ContactChangeEvent", "Invoice__ChangeEvent"} <= listed.keys()
        assert (await client("DELETE", f"{MEMBERS}/{listed['AccountChangeEvent']}"))[0] == 204
        assert emitted(sandbox, CHANGES) == ["Contact", "Invoice__c"]
        assert sandbox.org.channels.refusal("/data/AccountChangeEvent") is not None
        assert (await client("POST", MEMBERS, member("AccountChangeEvent")))[0] == 201
        assert emitted(sandbox, CHANGES) == every


async def test_custom_channel_carries_its_members(client: Client, sandbox: Sandbox) -> None:
    """Enriched and filtered, and nothing before it has one."""
    assert (await client("POST", CHANNELS, channel("Erp__chn")))[0] == 201
    assert sandbox.org.channels.refusal(ERP) is None
    assert emitted(sandbox, ERP) == []
    body = member(
        "AccountChangeEvent",
        "Erp__chn",
        enrichedFields=[{"name": "Rating"}],
        filterExpression="Industry='Energy'",
    )
    _, created = await client("POST", MEMBERS, body)
    assert emitted(sandbox, ERP) == ["Account"]
    _, account = await client(
        "POST", "sobjects/Account", {"Name": "A", "Rating": "Hot", "Industry": "Retail"}
    )
    await client("PATCH", f"sobjects/Account/{account['id']}", {"Phone": "1"})
    await client("PATCH", f"sobjects/Account/{account['id']}", {"Industry": "Energy"})
    latest = orjson.loads(sandbox.bus.after(ERP, 0)[-1].data)["payload"]
    assert len(sandbox.bus.after(ERP, 0)) == 2
    assert (latest["Industry"], latest["Rating"]) == ("Energy", "Hot")
    assert (await client("GET", f"{MEMBERS}/{created['id']}"))[1]["Metadata"]["filterExpression"] == (
        "Industry='Energy'"
    )


async def test_platform_event_channel_filters(client: Client, sandbox: Sandbox) -> None:
    """By the fields of the event."""
    await client("POST", CHANNELS, channel("Big__chn", "event"))
    body = member("Order_Placed__e", "Big__chn", filterExpression="Amount__c > 10")
    assert (await client("POST", MEMBERS, body))[0] == 201
    for amount in (5, 50):
        sandbox.org.publish_platform_event("Order_Placed__e", {"Amount__c": amount})
    assert len(sandbox.bus.after("/event/Order_Placed__e", 0)) == 2
    assert [
        orjson.loads(each.data)["payload"]["Amount__c"] for each in sandbox.bus.after("/event/Big__chn", 0)
    ] == [50]


@pytest.mark.parametrize("sandbox", [SCHEMA], indirect=True)
async def test_declared_channels_are_read(client: Client) -> None:
    """A query names a custom channel by its id, and the default one by its name."""
    channels = await query(client, "SELECT Id, DeveloperName, ChannelType FROM PlatformEventChannel")
    assert [(each["DeveloperName"], each["ChannelType"]) for each in channels] == [
        ("Erp", "data"),
        ("Orders", "event"),
    ]
    members = await query(
        client, "SELECT DeveloperName, EventChannel, SelectedEntity FROM PlatformEventChannelMember"
    )
    erp, orders = (each["Id"] for each in channels)
    assert [(each["EventChannel"], each["SelectedEntity"]) for each in members] == [
        ("ChangeEvents", "AccountChangeEvent"),
        ("ChangeEvents", "ContactChangeEvent"),
        (erp, "AccountChangeEvent"),
        (orders, "Order_Placed__e"),
    ]
    assert members[2]["DeveloperName"] == "Erp_chn_AccountChangeEvent"
    (enriched,) = await query(client, "SELECT ChannelMemberId, Field FROM EnrichedField")
    assert (enriched["ChannelMemberId"][:3], enriched["Field"]) == ("0v8", "ERP_Id__c")
    await client("PUT", "/sandbox/schema", {})
    assert await query(client, "SELECT Id FROM PlatformEventChannel") == []


@pytest.mark.parametrize("sandbox", [SCHEMA], indirect=True)
async def test_metadata_are_read_of_one_record(client: Client) -> None:
    """Of more, the query is refused."""
    text = "SELECT FullName, Metadata FROM PlatformEventChannelMember"
    assert (await client("GET", f"tooling/query?q={text.replace(' ', '+')}"))[0] == 400
    (found,) = await query(
        client, f"{text} WHERE EventChannel = 'ChangeEvents' AND SelectedEntity LIKE 'Acc%'"
    )
    assert found["FullName"] == "ChangeEvents_AccountChangeEvent"
    assert found["Metadata"]["selectedEntity"] == "AccountChangeEvent"


@pytest.mark.parametrize("sandbox", [SCHEMA], indirect=True)
async def test_change_takes_filter_and_fields_alone(client: Client) -> None:
    """And replaces both of them."""
    (found,) = await query(
        client, "SELECT Id FROM PlatformEventChannelMember WHERE SelectedEntity LIKE 'Con%'"
    )
    path = f"{MEMBERS}/{found['Id']}"
    body = member("ContactChangeEvent", enrichedFields=[{"name": "Email"}])
    assert (await client("PATCH", path, body))[0] == 204
    assert (await client("GET", path))[1]["Metadata"]["enrichedFields"] == [{"name": "Email"}]
    assert (await client("PATCH", path, member("ContactChangeEvent", filterExpression="Email != null")))[
        0
    ] == 204
    metadata = (await client("GET", path))[1]["Metadata"]
    assert (metadata["enrichedFields"], metadata["filterExpression"]) == ([], "Email != null")
    assert (await client("PATCH", path, member("LeadChangeEvent")))[0] == 400


@pytest.mark.parametrize("sandbox", [SCHEMA], indirect=True)
async def test_deleted_channel_takes_its_members_along(client: Client, sandbox: Sandbox) -> None:
    """And can't be subscribed to any more."""
    (found,) = await query(client, "SELECT Id FROM PlatformEventChannel WHERE DeveloperName = 'Erp'")
    assert (await client("PATCH", f"{CHANNELS}/{found['Id']}", channel("Erp__chn")))[0] == 204
    assert (await client("DELETE", f"{CHANNELS}/{found['Id']}"))[0] == 204
    assert len(await query(client, "SELECT Id FROM PlatformEventChannelMember")) == 3
    assert sandbox.org.channels.refusal(ERP) is not None


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        (MEMBERS, member("AccountChangeEvent"), "DUPLICATE_DEVELOPER_NAME"),
        (MEMBERS, {**member("AccountChangeEvent"), "FullName": "Other"}, "DUPLICATE_DEVELOPER_NAME"),
        (MEMBERS, member("NopeChangeEvent"), "FIELD_INTEGRITY_EXCEPTION"),
        (MEMBERS, member("Account"), "FIELD_INTEGRITY_EXCEPTION"),
        (MEMBERS, member("PushTopicChangeEvent"), "FIELD_INTEGRITY_EXCEPTION"),
        (MEMBERS, member("Order_Placed__e"), "FIELD_INTEGRITY_EXCEPTION"),
        (MEMBERS, member("LeadChangeEvent", "Nope__chn"), "FIELD_INTEGRITY_EXCEPTION"),
        (MEMBERS, member("LeadChangeEvent", "Orders__chn"), "FIELD_INTEGRITY_EXCEPTION"),
        (MEMBERS, {**member("LeadChangeEvent"), "FullName": "a__b"}, "FIELD_INTEGRITY_EXCEPTION"),
        (MEMBERS, member("LeadChangeEvent", enrichedFields=[{"name": "Nope"}]), "INVALID_FIELD"),
        (MEMBERS, member("LeadChangeEvent", filterExpression="Nope = 1"), "INVALID_FIELD"),
        (MEMBERS, member("LeadChangeEvent", enrichedField=[]), "JSON_PARSER_ERROR"),
        (MEMBERS, {"Metadata": member("LeadChangeEvent")["Metadata"]}, "REQUIRED_FIELD_MISSING"),
        (CHANNELS, channel("Erp__chn"), "DUPLICATE_DEVELOPER_NAME"),
        (CHANNELS, channel("ChangeEvents"), "FIELD_INTEGRITY_EXCEPTION"),
        (CHANNELS, channel("X__chn", "both"), "JSON_PARSER_ERROR"),
    ],
)
@pytest.mark.parametrize("sandbox", [SCHEMA], indirect=True)
async def test_mistake_is_refused(client: Client, kind: str, body: dict[str, Any], code: str) -> None:
    """A test that makes it must not pass here and fail in the org."""
    status, (error,) = await client("POST", kind, body)
    assert (status, error["errorCode"]) == (400, code)


async def test_allocation_counts_an_entity_once(client: Client) -> None:
    """Five entities, on all channels together."""
    await client("POST", CHANNELS, channel("Erp__chn"))
    for name in ("Account", "Contact", "Lead", "Case", "Order"):
        assert (await client("POST", MEMBERS, member(f"{name}ChangeEvent")))[0] == 201
    assert (await client("POST", MEMBERS, member("AccountChangeEvent", "Erp__chn")))[0] == 201
    status, (error,) = await client("POST", MEMBERS, member("TaskChangeEvent", "Erp__chn"))
    assert (status, error["errorCode"]) == (400, "LIMIT_EXCEEDED")


@pytest.mark.parametrize(("setup", "reads", "writes"), [("view", 200, 403), ("none", 403, 403)])
async def test_permissions_are_checked(
    client: Client, sandbox: Sandbox, setup: str, reads: int, writes: int
) -> None:
    """View Setup and Configuration for reading, Customize Application for changes."""
    user = sandbox.users.put(User.model_validate({"username": "reader@acme.example", "setup": setup}))
    headers = {"Authorization": f"Bearer {sandbox.tokens.issue(user_id=user, client_id='sandbox')}"}
    path = "tooling/query?q=SELECT+Id+FROM+PlatformEventChannel"
    assert (await client("GET", path, headers=headers))[0] == reads
    status, (error,) = await client("POST", MEMBERS, member("AccountChangeEvent"), headers=headers)
    assert (status, error["errorCode"]) == (writes, "INSUFFICIENT_ACCESS")


async def test_older_versions_have_less(client: Client) -> None:
    """Enrichment since 51.0, filters since 56.0, and none of it before 47.0."""
    for version, metadata, status in (
        ("46.0", {}, 404),
        ("50.0", {"enrichedFields": [{"name": "Name"}]}, 400),
        ("55.0", {"filterExpression": "Name = 'A'"}, 400),
        ("47.0", {}, 201),
    ):
        path = f"/services/data/v{version}/{MEMBERS}"
        assert (await client("POST", path, member("AccountChangeEvent", **metadata)))[0] == status


async def test_managed_subscriptions_can_only_be_queried(client: Client) -> None:
    """The org has none; tools look for them, and the list of objects names them, since version 60.0."""
    text = "SELECT Id, DeveloperName, FullName, Language, ManageableState, MasterLabel, Metadata, "
    text += "NamespacePrefix, DefaultReplay, ErrorRecoveryReplay, State, TopicName "
    text += "FROM ManagedEventSubscription"
    assert await query(client, text) == []
    root = "/services/data/v59.0/tooling"
    status, (error,) = await client("GET", f"{root}/query?q={text.replace(' ', '+')}")
    assert (status, error["errorCode"]) == (400, "INVALID_TYPE")
    _, earlier = await client("GET", f"{root}/sobjects")
    assert "ManagedEventSubscription" not in [each["name"] for each in earlier["sobjects"]]
    _, listed = await client("GET", "tooling/sobjects")
    assert "ManagedEventSubscription" in [each["name"] for each in listed["sobjects"]]
    assert (await client("POST", "tooling/sobjects/ManagedEventSubscription", {"FullName": "X"}))[0] == 404
