"""Records over REST, byte by byte as documented."""

from typing import Any

import orjson
import pytest

from streamer.clock import TurnedClock
from streamer.sandbox.auth.tokens import IDLE_S
from tests.integration.sandbox.conftest import Client

BATCH = {
    "allOrNone": False,
    "records": [
        {"attributes": {"type": "Contact"}, "LastName": "Berg"},
        {"attributes": {"type": "Contact"}, "FirstName": "Nobody"},
        {"attributes": {"type": "Contact"}, "LastName": "Berg"},
    ],
}


async def created(client: Client, type_name: str, **fields: Any) -> str:
    """Create a record and return its id."""
    status, result = await client("POST", f"sobjects/{type_name}/", fields)
    assert status == 201, result
    assert result == {"id": result["id"], "success": True, "errors": []}
    return str(result["id"])


def headers(client: Client) -> list[dict[str, Any]]:
    """Return the headers of all change events."""
    messages = client.sandbox.bus.after("/data/ChangeEvents", 0)
    return [orjson.loads(message.data)["payload"]["ChangeEventHeader"] for message in messages]


async def test_a_record_lives_and_dies(client: Client) -> None:
    """Create, read by a 15-character id, update, delete and come back."""
    account = await created(client, "Account", Name="Acme", BillingCity="Oslo")
    assert await client("PATCH", f"sobjects/Account/{account[:15]}", {"Phone": "1"}) == (204, None)
    _, record = await client("GET", f"sobjects/Account/{account}?fields=name,Phone,BillingCity,CreatedDate")
    assert record == {
        "attributes": {"type": "Account", "url": f"/services/data/v66.0/sobjects/Account/{account}"},
        "Name": "Acme",
        "Phone": "1",
        "BillingCity": "Oslo",
        "CreatedDate": "2025-01-01T00:00:00.000+0000",
        "Id": account,
    }
    assert await client("DELETE", f"sobjects/Account/{account}") == (204, None)
    status, (error,) = await client("GET", f"sobjects/Account/{account}")
    assert (status, error["errorCode"]) == (404, "ENTITY_IS_DELETED")
    assert await client("POST", f"/sandbox/records/Account/{account}/undelete") == (204, None)
    assert (await client("GET", f"sobjects/Account/{account}"))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "sobjects/Account/001000000000001AAA", None, 404, "NOT_FOUND"),
        ("GET", "sobjects/Nope/001000000000001AAA", None, 404, "NOT_FOUND"),
        ("GET", "nope", None, 404, "NOT_FOUND"),
        ("POST", "sobjects/Contact", {"FirstName": "Ida"}, 400, "REQUIRED_FIELD_MISSING"),
        ("POST", "sobjects/Account", {"Name": "A", "Nope": 1}, 400, "INVALID_FIELD"),
        ("POST", "sobjects/Account", {"Name": "A", "AnnualRevenue": "lots"}, 400, "JSON_PARSER_ERROR"),
        ("POST", "sobjects/Account", {"Name": "A", "ParentId": "?"}, 400, "MALFORMED_ID"),
        ("POST", "sobjects/Account", [], 400, "JSON_PARSER_ERROR"),
        ("POST", "sobjects/Case", {"ClosedDate": "9999-12-31T23:59:59-14:00"}, 400, "JSON_PARSER_ERROR"),
        (
            "POST",
            "sobjects/Account",
            {"Name": "A", "CreatedDate": "2025-01-01T00:00:00Z"},
            400,
            "INVALID_FIELD_FOR_INSERT_UPDATE",
        ),
        ("GET", "query?q=SELECT", None, 400, "MALFORMED_QUERY"),
        ("GET", "query/01g000000000000AAA-2000", None, 400, "INVALID_QUERY_LOCATOR"),
    ],
)
async def test_what_can_not_be_done_is_refused(
    client: Client, method: str, path: str, body: Any, status: int, code: str
) -> None:
    """The answer is a list with one error: a code and a message."""
    answered, errors = await client(method, path, body)
    assert (answered, [error["errorCode"] for error in errors]) == (status, [code])
    assert errors[0]["message"]


async def test_a_session_that_ended_is_refused(client: Client, clock: TurnedClock) -> None:
    """After two idle hours the token is no longer good."""
    await clock.turn(IDLE_S + 1)
    status, errors = await client("GET", "limits")
    assert status == 401
    assert errors == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


async def test_the_client_id_of_a_call_is_in_the_origin_of_its_change(client: Client) -> None:
    """Integrations recognise their own changes by it."""
    options = {"headers": {"Sforce-Call-Options": "client=erp-sync, defaultNamespace=x"}}
    await client("POST", "sobjects/Account", {"Name": "A"}, **options)
    assert [header["changeOrigin"] for header in headers(client)] == [
        "com/salesforce/api/rest/66.0;client=erp-sync"
    ]


async def test_an_upsert_creates_once_and_then_updates(client: Client) -> None:
    """The external id is part of the path, and an unknown custom field is created."""
    path = "sobjects/Invoice__c/Number__c/A-17"
    first = await client("PATCH", path, {"Total__c": 1.5})
    second = await client("PATCH", path, {"Total__c": 2.5})
    record_id = first[1]["id"]
    assert first == (201, {"id": record_id, "success": True, "errors": [], "created": True})
    assert second == (200, {"id": record_id, "success": True, "errors": [], "created": False})
    assert (await client("GET", path))[1]["Total__c"] == 2.5


async def test_a_number_can_be_an_external_id(client: Client) -> None:
    """It is a number in the record and a text in the address."""
    invoice = await created(client, "Invoice__c", Number__c=17)
    _, result = await client("PATCH", "sobjects/Invoice__c/Number__c/17", {"Total__c": 0})
    assert (result["id"], result["created"]) == (invoice, False)
    status, errors = await client("PATCH", "sobjects/Invoice__c/Number__c/x", {})
    assert (status, errors[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")


async def test_an_external_id_that_moved_or_died_finds_nothing(client: Client) -> None:
    """Records are found by the present values of their fields."""
    path = "sobjects/Invoice__c/Number__c/"
    _, made = await client("PATCH", f"{path}A-17", {})
    await client("PATCH", f"sobjects/Invoice__c/{made['id']}", {"Number__c": "B-1"})
    assert (await client("GET", f"{path}A-17"))[0] == 404
    assert (await client("GET", f"{path}b-1"))[1]["Id"] == made["id"]
    await client("DELETE", f"{path}B-1")
    assert (await client("GET", f"{path}B-1"))[0] == 404


async def test_a_collection_may_publish_platform_events(client: Client) -> None:
    """Their results have the form of publishing a single event."""
    record = {"attributes": {"type": "Order_Placed__e"}, "Order_No__c": "A-17"}
    _, results = await client("POST", "composite/sobjects", {"records": [record, record]})
    assert [result["errors"][0]["statusCode"] for result in results] == ["OPERATION_ENQUEUED"] * 2
    assert len(client.sandbox.bus.after("/event/Order_Placed__e", 0)) == 2


async def test_a_long_query_is_read(client: Client) -> None:
    """URLs can have thousands of characters, as lists of ids do."""
    account = await created(client, "Account", Name="A")
    ids = ",".join(f"'{account}'" for _ in range(500))
    _, page = await client("GET", f"query?q=SELECT+Id+FROM+Account+WHERE+Id+IN+({ids})")
    assert page["totalSize"] == 1


async def test_a_collection_is_one_transaction(client: Client) -> None:
    """Equal changes are merged into one event; a refused record does not stop the others."""
    status, results = await client("POST", "composite/sobjects", BATCH)
    assert (status, [result["success"] for result in results]) == (200, [True, False, True])
    assert [header["recordIds"] for header in headers(client)] == [[results[0]["id"], results[2]["id"]]]


async def test_all_or_none_is_none_when_one_is_refused(client: Client) -> None:
    """Every other result says that it was rolled back."""
    _, results = await client("POST", "composite/sobjects", BATCH | {"allOrNone": True})
    codes = [result["errors"][0]["statusCode"] for result in results]
    rolled_back = "ALL_OR_NONE_OPERATION_ROLLED_BACK"
    assert codes == [rolled_back, "REQUIRED_FIELD_MISSING", rolled_back]
    assert headers(client) == []


async def test_a_collection_is_read_in_order_with_null_for_what_is_missing(client: Client) -> None:
    """Results stand where their ids stood."""
    account = await created(client, "Account", Name="A")
    body = {"ids": ["001000000000001AAA", account], "fields": ["Name"]}
    _, results = await client("POST", "composite/sobjects/Account", body)
    assert [result and result["Name"] for result in results] == [None, "A"]


async def test_a_query_is_read_page_by_page(client: Client) -> None:
    """Every page but the last has the URL of the next."""
    await client("POST", "/sandbox/changes", {"count": 450})
    options = {"headers": {"Sforce-Query-Options": "batchSize=200"}}
    _, page = await client("GET", "queryAll/?q=SELECT+Number__c+FROM+Account+ORDER+BY+Number__c", **options)
    numbers = [row["Number__c"] for row in page["records"]]
    while not page["done"]:
        _, page = await client("GET", page["nextRecordsUrl"])
        numbers += [row["Number__c"] for row in page["records"]]
    assert (page["totalSize"], numbers) == (450, list(range(1, 451)))


async def test_publishing_answers_with_the_uuid_of_the_event(client: Client) -> None:
    """As in Salesforce, the uuid is the message of an error of a successful result."""
    status, result = await client("POST", "sobjects/Order_Placed__e/", {"Order_No__c": "A-17"})
    (message,) = client.sandbox.bus.after("/event/Order_Placed__e", 0)
    (queued,) = result["errors"]
    assert (status, result["success"], queued["statusCode"]) == (201, True, "OPERATION_ENQUEUED")
    assert queued["message"].encode() in message.data


async def test_limits_count_calls(client: Client) -> None:
    """Each call costs one, and the header of every answer says so."""
    async with client.http.get("/services/data/v66.0/limits/") as response:
        limits = await response.json()
        assert response.headers["Sforce-Limit-Info"] == "api-usage=1/100000"
    assert limits["DailyApiRequests"] == {"Max": 100_000, "Remaining": 99_999}


async def test_limits_are_whole(client: Client) -> None:
    """Every key that the REST API guide lists for events, requests and jobs; one has two names."""
    expected = {
        "DailyApiRequests",
        "DailyBulkApiBatches",
        "DailyBulkV2QueryFileStorageMB",
        "DailyBulkV2QueryJobs",
        "DailyDeliveredPlatformEvents",
        "DailyDurableGenericStreamingApiEvents",
        "DailyDurableStreamingApiEvents",
        "DailyGenericStreamingApiEvents",
        "DailyStandardVolumePlatformEvents",
        "DailyStreamingApiEvents",
        "DurableStreamingApiConcurrentClients",
        "HourlyPublishedPlatformEvents",
        "HourlyPublishedStandardVolumePlatformEvents",
        "StreamingApiConcurrentClients",
    }
    names = {"66.0": "MonthlyPlatformEventsUsageEntitlement", "47.0": "MonthlyPlatformEvents"}
    for version, monthly in names.items():
        _, limits = await client("GET", f"/services/data/v{version}/limits")
        assert limits.keys() == expected | {monthly}
        assert all(each.keys() == {"Max", "Remaining"} for each in limits.values())


async def test_first_bulk_api_is_refused_in_its_own_form(client: Client) -> None:
    """In XML, or in JSON for a client that writes it; clients then take another API."""
    status, answer = await client("POST", "/services/async/66.0/job", {"operation": "query"})
    assert (status, answer["exceptionCode"]) == (400, "FeatureNotEnabled")
    headers = {"Content-Type": "application/xml"}
    async with client.http.post("/services/async/66.0/job", data="<jobInfo/>", headers=headers) as response:
        text = await response.text()
    assert (response.status, response.content_type) == (400, "application/xml")
    assert "<exceptionCode>FeatureNotEnabled</exceptionCode>" in text
