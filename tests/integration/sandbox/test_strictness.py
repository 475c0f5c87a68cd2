"""The sandbox refuses and converts values as an org does, so that wrong code fails here too."""

import re

import orjson
import pytest

from streamer.clock import TurnedClock
from tests.integration.sandbox.conftest import Client

DEAL = {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2027-01-31", "Amount": 1000}


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "sobjects/Account", {"Name": "A", "Id": "001Sb0000000001IAA"}, "Id"),
        ("PATCH", "sobjects/Account/{id}", {"Id": "{id}", "Phone": "1"}, "Id"),
        ("PATCH", "sobjects/Account/Key__c/K1", {"Name": "A", "Key__c": "K1"}, "Key__c"),
        ("PATCH", "sobjects/Account/Key__c/K1", {"Name": "A", "key__c": "K1"}, "key__c"),
        ("PATCH", "sobjects/Account/Key__c/K1", {"Name": "A", "id": "{id}"}, "id"),
    ],
)
async def test_field_of_the_address_is_refused_in_the_body(
    client: Client, method: str, path: str, body: dict[str, str], field: str
) -> None:
    """An upsert's key as well as an id, in any letter case."""
    _, created = await client("POST", "sobjects/Account", {"Name": "A"})
    filled = {name: value.replace("{id}", created["id"]) for name, value in body.items()}
    status, answer = await client(method, path.replace("{id}", created["id"]), filled)
    message = f"The {field} field should not be specified in the sobject data."
    assert (status, answer) == (400, [{"message": message, "errorCode": "INVALID_FIELD"}])


@pytest.mark.parametrize("version", ["30.0", "69.0", "99.0", "66.1"])
async def test_unknown_version_is_not_found(client: Client, version: str) -> None:
    """The versions that are served are those that are listed."""
    status, answer = await client("GET", f"/services/data/v{version}/sobjects")
    assert (status, answer[0]["errorCode"]) == (404, "NOT_FOUND")
    listed = [each["version"] for each in (await client("GET", "/services/data/"))[1]]
    assert version not in listed
    for known in (listed[0], listed[-1]):
        assert (await client("GET", f"/services/data/v{known}/sobjects"))[0] == 200


async def test_stamps_are_whole_seconds(client: Client, clock: TurnedClock) -> None:
    """In records and in events; the commit's own time, and that of a platform event, are not."""
    await clock.turn(1.517)
    _, created = await client("POST", "sobjects/Account", {"Name": "A", "Due__c": "2027-01-31T12:00:00.250Z"})
    _, record = await client("GET", f"sobjects/Account/{created['id']}")
    stamps = [record[name] for name in ("CreatedDate", "LastModifiedDate", "SystemModstamp")]
    assert stamps == ["2025-01-01T00:00:01.000+0000"] * 3
    (message,) = client.sandbox.bus.after("/data/AccountChangeEvent", 0)
    payload = orjson.loads(message.data)["payload"]
    assert payload["LastModifiedDate"] == "2025-01-01T00:00:01.000Z"
    assert payload["ChangeEventHeader"]["commitTimestamp"] % 1000 == 517


async def test_number_with_decimals_has_one_in_events(client: Client) -> None:
    """As it has in REST; a whole number has none."""
    _, created = await client("POST", "sobjects/Opportunity", {**DEAL, "Count__c": 7})
    await client("POST", "sobjects/Account", {"Name": "A", "NumberOfEmployees": 7})
    async with client.http.get(f"/services/data/v66.0/sobjects/Opportunity/{created['id']}") as response:
        assert b'"Amount":1000.0' in await response.read()
    deal, account = client.sandbox.bus.after("/data/ChangeEvents", 0)
    assert re.search(rb'"Amount":1000\.0[,}]', deal.data)
    assert b'"Count__c":7.0' in deal.data
    assert re.search(rb'"NumberOfEmployees":7[,}]', account.data)


async def test_refusal_of_a_save_lists_fields(client: Client) -> None:
    """An empty list where it names none; a refused request has no such key."""
    _, created = await client("POST", "sobjects/Account", {"Name": "A"})
    path = f"sobjects/Account/{created['id']}"
    await client("DELETE", path)
    _, deleted = await client("DELETE", path)
    _, missing = await client("POST", "sobjects/Account", {})
    _, unknown = await client("POST", "sobjects/Account", {"Name": "A", "Nope": 1})
    _, malformed = await client("GET", "query?q=SELECT")
    assert deleted == [{"message": "entity is deleted", "errorCode": "ENTITY_IS_DELETED", "fields": []}]
    assert missing[0]["fields"] == ["Name"]
    assert "fields" not in unknown[0]
    assert "fields" not in malformed[0]


async def test_refused_session_names_its_scheme(client: Client) -> None:
    """Clients of HTTP expect it beside a 401."""
    headers = {"Authorization": "Bearer wrong"}
    for path in ("/services/data/v66.0/sobjects", "/services/apexrest/any"):
        async with client.http.get(path, headers=headers) as response:
            assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Token")
