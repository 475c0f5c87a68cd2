"""PushTopics and generic channels over REST, as clients make and use them."""

from typing import Any

import orjson
import pytest

from tests.integration.sandbox.conftest import Client

TOPIC = {
    "Name": "OpenInvoices",
    "Query": "SELECT Id, Name, Status__c FROM Invoice__c WHERE Status__c = 'Open'",
    "ApiVersion": 66.0,
    "NotifyForOperationCreate": True,
    "NotifyForOperationUpdate": True,
    "NotifyForOperationDelete": False,
    "NotifyForFields": "Referenced",
}


async def created(client: Client, type_name: str, body: Any) -> str:
    """Create a record and return its id."""
    status, result = await client("POST", f"sobjects/{type_name}", body)
    assert status == 201, result
    return str(result["id"])


async def pushed(client: Client, channel: str, *events: Any) -> tuple[int, Any]:
    """Push to a channel."""
    return await client("POST", f"sobjects/StreamingChannel/{channel}/push", {"pushEvents": list(events)})


def messages(client: Client, path: str) -> list[Any]:
    """Return the data of a channel's messages."""
    return [orjson.loads(message.data) for message in client.sandbox.bus.after(path, 0)]


async def test_topic_is_created_and_told(client: Client) -> None:
    """It can be queried, described and deleted like any record."""
    topic = await created(client, "PushTopic", TOPIC)
    assert topic.startswith("0IF")
    invoice = await created(client, "Invoice__c", {"Name": "INV-1", "Status__c": "Open"})
    await created(client, "Invoice__c", {"Name": "INV-2", "Status__c": "Draft"})

    (message,) = messages(client, "/topic/OpenInvoices")
    assert message["sobject"] == {"Id": invoice, "Name": "INV-1", "Status__c": "Open"}
    assert message["event"]["type"] == "created"
    _, answer = await client("GET", "query?q=SELECT Name, IsActive, NotifyForOperationDelete FROM PushTopic")
    assert [(row["Name"], row["IsActive"]) for row in answer["records"]] == [("OpenInvoices", True)]
    _, described = await client("GET", "sobjects/PushTopic/describe")
    fields = {each["name"]: each for each in described["fields"]}
    assert (fields["Name"]["length"], fields["Query"]["length"]) == (25, 1300)
    assert await client("DELETE", f"sobjects/PushTopic/{topic}") == (204, None)


async def test_topic_with_a_wrong_query_is_refused(client: Client) -> None:
    """With the place of the mistake."""
    query = "SELECT Id, Nope FROM Account"
    status, (error,) = await client("POST", "sobjects/PushTopic", {**TOPIC, "Query": query})
    assert (status, error["errorCode"]) == (400, "INVALID_FIELD")
    assert "No such column 'Nope'" in error["message"]


async def test_message_is_pushed_to_everyone(client: Client) -> None:
    """The payload is text; one push can hold several."""
    channel = await created(client, "StreamingChannel", {"Name": "/u/notifications/Demo"})
    assert await pushed(client, channel, {"payload": "first", "userIds": []}, {"payload": "second"}) == (
        200,
        [{"fanoutCount": -1, "userOnlineStatus": {}}] * 2,
    )
    found = messages(client, "/u/notifications/Demo")
    assert [message["payload"] for message in found] == ["first", "second"]
    assert found[0]["event"].keys() == {"createdDate", "replayId"}


async def test_message_for_users_tells_who_is_online(client: Client) -> None:
    """Nobody is, without a subscription."""
    channel = await created(client, "StreamingChannel", {"Name": "/u/Demo"})
    user = client.sandbox.org.settings.user_id
    assert await client("GET", f"sobjects/StreamingChannel/{channel}/push") == (
        200,
        {"OnlineUserIds": [], "ChannelName": "/u/Demo"},
    )
    assert await pushed(client, channel, {"payload": "x", "userIds": [user[:15]]}) == (
        200,
        [{"fanoutCount": 0, "userOnlineStatus": {user: False}}],
    )


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"payload": "x" * 3001}, "STRING_TOO_LONG"),
        ({"payload": 17}, "JSON_PARSER_ERROR"),
        ({}, "JSON_PARSER_ERROR"),
        ("text", "JSON_PARSER_ERROR"),
        ({"payload": "x", "userIds": ["me"]}, "MALFORMED_ID"),
        ({"payload": "x", "userIds": 17}, "MALFORMED_ID"),
    ],
)
async def test_push_that_makes_no_sense_is_refused(client: Client, event: Any, code: str) -> None:
    """None of its events are sent."""
    channel = await created(client, "StreamingChannel", {"Name": "/u/Demo"})
    status, (error,) = await pushed(client, channel, {"payload": "good"}, event)
    assert (status, error["errorCode"]) == (400, code)
    assert messages(client, "/u/Demo") == []


async def test_push_to_no_channel_is_refused(client: Client) -> None:
    """As any record that does not exist."""
    status, (error,) = await pushed(client, "0M6000000000001AAA", {"payload": "x"})
    assert (status, error["errorCode"]) == (404, "NOT_FOUND")


async def test_standard_event_is_published_by_the_control_api_alone(client: Client) -> None:
    """No client of an org could publish a login."""
    fields = {"UserId": "005", "Status": "Success"}
    status, _ = await client("POST", "/sandbox/events", {"name": "LoginEventStream", "fields": fields})
    refused, _ = await client("POST", "sobjects/LoginEventStream", fields)
    unknown, _ = await client("POST", "/sandbox/events", {"name": "Nope", "fields": fields})
    assert (status, refused, unknown) == (200, 404, 404)
    (message,) = messages(client, "/event/LoginEventStream")
    assert message["event"]["EventApiName"] == "LoginEventStream"
    assert message["payload"]["Status"] == "Success"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "All"),
        ({"NotifyForOperationUpdate": False}, "Create"),
        ({"NotifyForOperationCreate": False}, "Update"),
        ({"NotifyForOperationCreate": False, "NotifyForOperationUpdate": False}, "Extended"),
    ],
)
async def test_topic_sums_its_operations_up(client: Client, given: dict[str, bool], told: str) -> None:
    """Camel reads it before it subscribes; nobody can write it."""
    topic = {"Name": "Any", "Query": "SELECT Id FROM Account", "ApiVersion": 66.0}
    assert (await client("POST", "sobjects/PushTopic", topic | given))[0] == 201
    query = "SELECT+Id,NotifyForOperations,NotifyForOperationCreate+FROM+PushTopic+WHERE+Name='Any'"
    (found,) = (await client("GET", f"query?q={query}"))[1]["records"]
    assert found["NotifyForOperations"] == told
    path, change = f"sobjects/PushTopic/{found['Id']}", {"NotifyForOperations": "All"}
    assert (await client("PATCH", path, change))[1][0]["errorCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"
