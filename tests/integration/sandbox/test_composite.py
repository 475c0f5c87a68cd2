"""Many calls in one: composite, batch and graph."""

from typing import Any

import orjson
import pytest
from aiohttp import ClientError

from tests.integration.sandbox.conftest import DATA, Client

ACCOUNT = {
    "method": "POST",
    "url": f"{DATA}/sobjects/Account",
    "referenceId": "account",
    "body": {"Name": "Acme"},
}
CONTACT = {
    "method": "POST",
    "url": f"{DATA}/sobjects/Contact",
    "referenceId": "contact",
    "body": {"LastName": "Berg", "AccountId": "@{account.id}"},
}
BAD = {"method": "POST", "url": f"{DATA}/sobjects/Contact", "referenceId": "bad", "body": {"Nope": 1}}
UNDONE = {
    "message": "The transaction was rolled back since another operation in the same transaction failed.",
    "errorCode": "PROCESSING_HALTED",
}


def part(method: str, path: str, reference_id: str, body: Any = None) -> dict[str, Any]:
    """Return a subrequest."""
    return {"method": method, "url": f"{DATA}/{path}", "referenceId": reference_id, "body": body}


async def composite(client: Client, *parts: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    """Return the results of a composite call."""
    status, answer = await client("POST", "composite", {"compositeRequest": parts, **options})
    assert (status, list(answer)) == (200, ["compositeResponse"]), answer
    results: list[dict[str, Any]] = answer["compositeResponse"]
    return results


def transactions(client: Client) -> list[str]:
    """Return the transaction of each change event."""
    messages = client.sandbox.bus.after("/data/ChangeEvents", 0)
    headers = [orjson.loads(message.data)["payload"]["ChangeEventHeader"] for message in messages]
    return [header["transactionKey"] for header in headers]


async def test_a_part_uses_the_answers_of_others(client: Client) -> None:
    """In its body and in its address, by name and by index."""
    account, contact, query, phone = await composite(
        client,
        ACCOUNT,
        CONTACT,
        part("GET", "query?q=SELECT+Name,AccountId+FROM+Contact", "found"),
        part(
            "PATCH", "sobjects/Account/@{found.records[0].AccountId}", "phone", {"Phone": "of @{contact.id}"}
        ),
    )
    account_id, contact_id = account["body"]["id"], contact["body"]["id"]
    assert account == {
        "body": {"id": account_id, "success": True, "errors": []},
        "httpHeaders": {"Location": f"{DATA}/sobjects/Account/{account_id}"},
        "httpStatusCode": 201,
        "referenceId": "account",
    }
    assert query["body"]["records"][0]["AccountId"] == account_id
    assert (phone["httpStatusCode"], phone["body"]) == (204, None)
    _, record = await client("GET", f"sobjects/Account/{account_id}?fields=Phone")
    assert record["Phone"] == f"of {contact_id}"


async def test_without_all_or_none_only_dependent_parts_fail(client: Client) -> None:
    """Each part is a transaction of its own."""
    dependent = part("POST", "sobjects/Contact", "next", {"LastName": "@{bad.id}"})
    account, bad, following, contact = await composite(client, ACCOUNT, BAD, dependent, CONTACT)
    assert [each["httpStatusCode"] for each in (account, bad, following, contact)] == [201, 400, 400, 201]
    assert bad["body"][0]["errorCode"] == "INVALID_FIELD"
    assert following["body"] == [
        {
            "message": "Invalid reference specified. No value for bad.id found in bad.",
            "errorCode": "PROCESSING_HALTED",
        }
    ]
    assert len(set(transactions(client))) == 2


async def test_all_or_none_is_one_transaction(client: Client) -> None:
    """Its changes are announced together."""
    await composite(client, ACCOUNT, CONTACT, allOrNone=True)
    first, second = transactions(client)
    assert first == second


async def test_all_or_none_undoes_everything(client: Client) -> None:
    """The part that failed says why; no event is published."""
    account, bad, contact = await composite(client, ACCOUNT, BAD, CONTACT, allOrNone=True)
    assert bad["body"][0]["errorCode"] == "INVALID_FIELD"
    assert [account["httpStatusCode"], account["body"], contact["body"]] == [400, [UNDONE], [UNDONE]]
    assert (await client("GET", "query?q=SELECT+COUNT()+FROM+Account"))[1]["totalSize"] == 0
    assert transactions(client) == []


@pytest.mark.parametrize("outer", [True, False])
@pytest.mark.parametrize("inner", [True, False])
async def test_a_collection_keeps_its_own_all_or_none(client: Client, *, outer: bool, inner: bool) -> None:
    """The guide's four cases: an error undoes the collection's records, the other part, both or neither."""
    records = [{"attributes": {"type": "Account"}, **fields} for fields in ({"Name": "Acme"}, {"Nope": 1})]
    collection = part("POST", "composite/sobjects", "many", {"allOrNone": inner, "records": records})
    contact = part("POST", "sobjects/Contact", "contact", {"LastName": "Berg"})
    many, _ = await composite(client, collection, contact, allOrNone=outer)
    assert many["httpStatusCode"] == 200
    kept = [
        (await client("GET", f"query?q=SELECT+COUNT()+FROM+{name}"))[1]["totalSize"]
        for name in ("Account", "Contact")
    ]
    assert kept == [int(not outer and not inner), int(not outer)]


async def test_a_missing_value_is_null_from_version_52_on(client: Client) -> None:
    """Before, it stopped the part."""
    await composite(client, ACCOUNT)
    parts = [
        part("GET", "query?q=SELECT+Phone+FROM+Account", "found"),
        part("POST", "sobjects/Contact", "next", {"LastName": "Berg", "Phone": "@{found.records[0].Phone}"}),
    ]
    statuses = []
    for version in ("51.0", "52.0"):
        _, answer = await client("POST", f"/services/data/v{version}/composite", {"compositeRequest": parts})
        statuses.append(answer["compositeResponse"][1]["httpStatusCode"])
    assert statuses == [400, 201]


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [ACCOUNT, ACCOUNT],
        [{**ACCOUNT, "referenceId": "a-b"}],
        [{**ACCOUNT, "url": "/sobjects/Account"}],
        [{**ACCOUNT, "method": "post"}],
        [{**ACCOUNT, "httpHeaders": {"authorization": "x"}}],
        [{**ACCOUNT, "referenceId": f"a{number}"} for number in range(26)],
        [part("GET", "query?q=SELECT+Id+FROM+Account", f"a{number}") for number in range(6)],
    ],
)
async def test_a_composite_that_is_not_well_formed_does_nothing(
    client: Client, parts: list[dict[str, Any]]
) -> None:
    """It is refused as a whole."""
    status, _ = await client("POST", "composite", {"compositeRequest": parts})
    assert (status, client.sandbox.org.published) == (400, 0)


async def test_a_composite_holds_no_other(client: Client) -> None:
    """A part that calls the composite family is not found."""
    (result,) = await composite(client, part("POST", "composite", "again", {"compositeRequest": [ACCOUNT]}))
    assert result["httpStatusCode"] == 404


async def test_headers_of_a_part_are_heard(client: Client) -> None:
    """As conditions are."""
    (created,) = await composite(client, ACCOUNT)
    path = f"sobjects/Account/{created['body']['id']}"
    conditional = {**part("GET", path, "known"), "httpHeaders": {"If-Match": '"other"'}}
    (known,) = await composite(client, conditional)
    assert known["httpStatusCode"] == 412


async def test_a_batch_goes_on_after_an_error(client: Client) -> None:
    """And counts each of its parts as a call."""
    requests = [
        {"method": "POST", "url": "v66.0/sobjects/Account", "richInput": {"Name": "Acme"}},
        {"method": "POST", "url": "v66.0/sobjects/Account", "richInput": {"Nope": 1}},
        {"method": "GET", "url": "v66.0/query?q=SELECT+Name+FROM+Account"},
    ]
    before = (await client("GET", "limits"))[1]["DailyApiRequests"]["Remaining"]
    _, batch = await client("POST", "composite/batch", {"batchRequests": requests})
    assert batch["hasErrors"] is True
    assert [each["statusCode"] for each in batch["results"]] == [201, 400, 200]
    assert batch["results"][2]["result"]["records"][0]["Name"] == "Acme"
    after = (await client("GET", "limits"))[1]["DailyApiRequests"]["Remaining"]
    assert before - after == 4


async def test_a_batch_can_halt(client: Client) -> None:
    """The requests before the error are kept."""
    requests = [
        {"method": "POST", "url": "v66.0/sobjects/Account", "richInput": fields}
        for fields in ({"Name": "Acme"}, {"Nope": 1}, {"Name": "Late"})
    ]
    _, batch = await client("POST", "composite/batch", {"batchRequests": requests, "haltOnError": True})
    assert [each["statusCode"] for each in batch["results"]] == [201, 400, 412]
    assert batch["results"][2]["result"][0]["errorCode"] == "BATCH_PROCESSING_HALTED"
    assert (await client("GET", "query?q=SELECT+COUNT()+FROM+Account"))[1]["totalSize"] == 1


async def test_each_graph_succeeds_or_fails_as_a_whole(client: Client) -> None:
    """One that fails leaves the others alone."""
    graphs = [
        {"graphId": "1", "compositeRequest": [ACCOUNT, CONTACT]},
        {"graphId": "2", "compositeRequest": [ACCOUNT, BAD]},
    ]
    status, answer = await client("POST", "composite/graph", {"graphs": graphs})
    assert status == 200
    assert [(each["graphId"], each["isSuccessful"]) for each in answer["graphs"]] == [
        ("1", True),
        ("2", False),
    ]
    good, bad = (each["graphResponse"]["compositeResponse"] for each in answer["graphs"])
    assert [each["httpStatusCode"] for each in (*good, *bad)] == [201, 201, 400, 400]
    assert bad[0]["body"] == [UNDONE]
    assert (await client("GET", "query?q=SELECT+COUNT()+FROM+Account"))[1]["totalSize"] == 1
    assert len(set(transactions(client))) == 1


async def test_too_many_failed_graphs_halt_the_rest(client: Client) -> None:
    """After fifteen of them nothing more is tried."""
    graphs = [{"graphId": f"g{number}", "compositeRequest": [BAD]} for number in range(15)]
    late = {"graphId": "late", "compositeRequest": [ACCOUNT]}
    _, answer = await client("POST", "composite/graph", {"graphs": [*graphs, late]})
    (result,) = answer["graphs"][-1]["graphResponse"]["compositeResponse"]
    assert result["body"][0]["errorCode"] == "PROCESSING_HALTED"
    assert client.sandbox.org.published == 0


async def test_a_graph_holds_records_alone(client: Client) -> None:
    """A query is refused as a node."""
    query = part("GET", "query?q=SELECT+Id+FROM+Account", "found")
    graphs = [{"graphId": "1", "compositeRequest": [query]}]
    assert (await client("POST", "composite/graph", {"graphs": graphs}))[0] == 400


async def test_a_collection_refuses_an_external_id_that_comes_twice(client: Client) -> None:
    """All of its records, in any letter case; the others are written."""
    records = [{"attributes": {"type": "Invoice__c"}, "Number__c": number} for number in ("a", "b", "A")]
    status, results = await client("PATCH", "composite/sobjects/Invoice__c/Number__c", {"records": records})

    assert status == 200
    assert [each["success"] for each in results] == [False, True, False]
    assert results[0]["errors"][0]["statusCode"] == "DUPLICATE_VALUE"


async def test_a_collection_updates_a_record_twelve_times_at_most(client: Client) -> None:
    """The updates after the twelfth are refused."""
    with client.sandbox.org.transaction() as transaction:
        account = transaction.create("Account", {"Name": "Acme"})
    records = [
        {"attributes": {"type": "Account"}, "id": account[: 18 - number % 2 * 3], "Phone": str(number)}
        for number in range(14)
    ]
    _, results = await client("PATCH", "composite/sobjects", {"records": records})

    assert [each["success"] for each in results] == [True] * 12 + [False] * 2
    assert client.sandbox.org.retrieve("Account", account)["Phone"] == "11"


async def test_a_collection_with_a_value_of_another_type_writes_nothing(client: Client) -> None:
    """It is not well formed."""
    records = [
        {"attributes": {"type": "Account"}, "Name": "Acme", "NumberOfEmployees": count}
        for count in (1, "many")
    ]
    status, [error] = await client("POST", "composite/sobjects", {"records": records})

    assert (status, error["errorCode"]) == (400, "JSON_PARSER_ERROR")
    assert (await client("GET", "query?q=SELECT+Id+FROM+Account"))[1]["totalSize"] == 0


async def test_faults_of_calls_strike(client: Client) -> None:
    """A refused call does nothing, a refused record leaves the others, a lost answer comes to nobody."""
    body = {"records": [{"attributes": {"type": "Account"}, "Name": name} for name in "ab"]}
    client.sandbox.faults.arm("refuse_call", {})
    client.sandbox.faults.arm("refuse_record", {"type": "Account"})
    status, [error] = await client("POST", "composite/sobjects", body)
    assert (status, error["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")
    _, results = await client("POST", "composite/sobjects", body)
    assert [each["success"] for each in results] == [False, True]

    client.sandbox.faults.arm("lose_answer", {})
    with pytest.raises(ClientError):
        await client("POST", "composite/sobjects", body)
    assert (await client("GET", "query?q=SELECT+Id+FROM+Account"))[1]["totalSize"] == 3
