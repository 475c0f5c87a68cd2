"""The sandbox's control API."""

import time

import orjson
import pytest

from streamer.clock import SystemClock, TurnedClock
from streamer.sandbox import Sandbox
from tests.integration.sandbox.conftest import Client


async def test_a_backlog_is_made_fast(client: Client) -> None:
    """Ten thousand events of about a kilobyte take a fraction of a second of this process, with room."""
    began_at = time.process_time()
    status, _ = await client(
        "POST", "/sandbox/changes", {"count": 10_000, "records": 100, "size_bytes": 1000}
    )
    assert time.process_time() - began_at < 20
    messages = client.sandbox.bus.after("/data/AccountChangeEvent", 0)
    assert (status, len(messages)) == (200, 10_000)
    numbers = [orjson.loads(message.data)["payload"]["Number__c"] for message in messages]
    assert numbers == list(range(1, 10_001))
    assert 800 < len(messages[50].data) < 1200


async def test_changes_can_be_spread_in_time(client: Client, clock: TurnedClock) -> None:
    """They run beside other requests, at the requested pace on the sandbox's clock."""
    status, _ = await client("POST", "/sandbox/changes", {"count": 10, "per_second": 2})
    await clock.turn(3)
    assert (status, client.sandbox.org.published) == (202, 6)
    await clock.turn(60)
    assert client.sandbox.org.published == 10


async def test_the_clock_turns_only_where_it_can(client: Client, clock: TurnedClock) -> None:
    """A sandbox on the machine's clock says so."""
    _, turned = await client("POST", "/sandbox/clock", {"turn_s": 110})
    assert turned == {"now": clock.now()} == {"now": 1_735_689_710.0}
    async with Sandbox(SystemClock()) as other:
        status, answer = await client("POST", f"{other.url}/sandbox/clock", {"turn_s": 110})
    assert status == 409
    assert "machine's clock" in answer["error"]


async def test_one_transaction_holds_several_types(client: Client) -> None:
    """As when a lead is converted: one key, rising sequence numbers."""
    operations = [
        {"op": "create", "type": "Account", "fields": {"Name": "Acme"}},
        {"op": "create", "type": "Contact", "fields": {"LastName": "Berg"}},
    ]
    _, answer = await client("POST", "/sandbox/transactions", {"operations": operations})
    found = client.sandbox.bus.after("/data/ChangeEvents", 0)
    headers = [orjson.loads(message.data)["payload"]["ChangeEventHeader"] for message in found]
    assert [header["sequenceNumber"] for header in headers] == [1, 2]
    assert [header["recordIds"][0] for header in headers] == answer["ids"]


async def test_a_lead_is_converted_in_one_transaction(client: Client) -> None:
    """The new records come first and the lead last, with references to them; it converts once."""
    fields = {"LastName": "Berg", "Company": "Acme", "City": "Oslo", "Email": "berg@acme.example"}
    _, lead = await client("POST", "sobjects/Lead", fields)
    convert = f"/sandbox/leads/{lead['id']}/convert"
    status, ids = await client("POST", convert, {"status": "Closed - Won"})
    payloads = [
        orjson.loads(each.data)["payload"] for each in client.sandbox.bus.after("/data/ChangeEvents", 0)
    ]
    headers = [payload["ChangeEventHeader"] for payload in payloads[1:]]
    assert (
        status,
        [(each["entityName"], each["changeType"], each["sequenceNumber"]) for each in headers],
    ) == (
        200,
        [
            ("Account", "CREATE", 1),
            ("Contact", "CREATE", 2),
            ("Opportunity", "CREATE", 3),
            ("Lead", "UPDATE", 4),
        ],
    )
    assert len({each["transactionKey"] for each in headers}) == 1
    assert {"IsConverted", "ConvertedAccountId", "LastModifiedDate"} <= set(headers[3]["changedFields"])
    assert (payloads[4]["Status"], payloads[4]["ConvertedContactId"]) == ("Closed - Won", ids["contact_id"])
    contact = await client("GET", f"sobjects/Contact/{ids['contact_id']}?fields=AccountId,MailingCity,Email")
    assert (contact[1]["AccountId"], contact[1]["MailingCity"]) == (ids["account_id"], "Oslo")
    assert (await client("POST", convert))[1]["code"] == "CANNOT_UPDATE_CONVERTED_LEAD"


async def test_a_lead_joins_records_that_are_there(client: Client) -> None:
    """A given account is used, and no opportunity is made where none is wanted."""
    _, account = await client("POST", "sobjects/Account", {"Name": "Acme"})
    _, lead = await client("POST", "sobjects/Lead", {"LastName": "Berg", "Company": "Acme"})
    chosen = {"account_id": account["id"], "opportunity": None}
    _, ids = await client("POST", f"/sandbox/leads/{lead['id']}/convert", chosen)
    assert (ids["account_id"], ids["opportunity_id"]) == (account["id"], None)
    assert client.sandbox.org.records.count(client.sandbox.org.schema.entity("Account")) == 1


async def test_revoked_tokens_are_refused_at_once(client: Client) -> None:
    """Revoking is one of the faults."""
    assert await client("POST", "/sandbox/faults/revoke_tokens") == (200, {"revoked": 1})
    assert (await client("GET", "limits"))[0] == 401


async def test_gaps_and_overflows_are_announced_on_demand(client: Client) -> None:
    """Both go to the channels of their type."""
    gap = {"type": "Account", "record_ids": ["001000000000001AAA"], "kind": "GAP_DELETE"}
    assert (await client("POST", "/sandbox/gaps", gap))[0] == 204
    assert (await client("POST", "/sandbox/overflows", {"type": "Account"}))[0] == 204
    messages = client.sandbox.bus.after("/data/AccountChangeEvent", 0)
    assert [b"GAP_DELETE" in messages[0].data, b"GAP_OVERFLOW" in messages[1].data] == [True, True]


@pytest.mark.parametrize(
    ("path", "body", "part"),
    [
        ("faults/nope", {}, "There is no fault 'nope'"),
        ("faults/busy", {"tims": 1}, "tims: no such key"),
        ("faults/slow", {}, "seconds: is missing"),
        ("changes", {"cuont": 1}, "cuont: no such key"),
        ("changes", {"count": 0}, "count: must be at least 1"),
        ("changes", {"entity": 5}, "entity: must be a text"),
        ("gaps", {"type": "Account"}, "record_ids: is missing"),
        ("changes", [], "JSON object"),
        ("transactions", {"operations": [{"op": "create", "type": "Contact"}]}, "LastName"),
    ],
)
async def test_a_wrong_request_names_what_is_wrong(
    client: Client, path: str, body: object, part: str
) -> None:
    """The error names the wrong field."""
    status, answer = await client("POST", f"/sandbox/{path}", body)
    assert status == 400
    assert part in answer["error"]


async def test_the_state_tells_what_went_on(client: Client) -> None:
    """Events, records and sessions are counted."""
    await client("POST", "sobjects/Account", {"Name": "A"})
    _, state = await client("GET", "/sandbox/state")
    assert (state["published_events"], state["access_tokens"], state["records"]["Account"]) == (1, 1, 1)
