"""The org's history and limits in the control API."""

from typing import Any

import orjson
import pytest

from streamer.clock import TurnedClock
from streamer.sandbox.usage import DAY_S
from tests.integration.sandbox.conftest import Client

ACCOUNTS = "/data/AccountChangeEvent"


def changes(client: Client) -> list[tuple[str, list[str]]]:
    """Return the type and the records of each change of an account."""
    payloads = [orjson.loads(message.data)["payload"] for message in client.sandbox.bus.after(ACCOUNTS, 0)]
    headers = [payload["ChangeEventHeader"] for payload in payloads]
    return [(header["changeType"], header["recordIds"]) for header in headers]


async def test_changes_become_gaps_or_are_lost(client: Client) -> None:
    """The faults are armed for the next changes of a type, as others are for requests."""
    await client("POST", "/sandbox/faults/gap_changes", {"type": "Account", "in_database": True})
    await client("POST", "/sandbox/faults/lose_changes", {"type": "Account", "on": ["delete"]})
    _, created = await client("POST", "sobjects/Account", {"Name": "Acme"})
    await client("DELETE", f"sobjects/Account/{created['id']}")
    assert changes(client) == [("GAP_CREATE", [created["id"]])]
    _, state = await client("GET", "/sandbox/state")
    assert state["faults_struck"] == {"gap_changes": 1, "lose_changes": 1}


async def test_a_field_is_converted(client: Client) -> None:
    """The answer counts the records that lost a value."""
    await client("POST", "sobjects/Account", {"Name": "Acme", "Score__c": "high"})
    asked = {"type": "Account", "field": "Score__c", "to": "double"}
    assert await client("POST", "/sandbox/field-conversions", asked) == (200, {"emptied": 1})
    assert changes(client)[-1] == ("UPDATE", ["001*"])


async def test_the_org_is_refreshed(client: Client) -> None:
    """The session ends, and the answer is the new id."""
    status, answer = await client("POST", "/sandbox/refresh", {"org_id": "00DSb0000000042"})
    assert (status, answer) == (200, {"org_id": "00DSb0000000042MAA"})
    assert (await client("GET", "limits"))[0] == 401
    assert (await client("GET", "/sandbox/state"))[1]["org_id"] == answer["org_id"]


async def test_limits_hold_from_then_on(client: Client) -> None:
    """Of a transaction, of an event, and of the purge."""
    given = {"transaction_changes": 1, "event_bytes": 300, "purge_late_s": 60}
    status, limits = await client("PUT", "/sandbox/limits", given)
    assert (status, limits) == (200, (await client("GET", "/sandbox/limits"))[1])
    assert given.items() <= limits.items()
    assert (limits["retention_s"], client.sandbox.bus.purge_late_s) == (72 * 3600, 60)
    operations = [{"op": "create", "type": "Account", "fields": {"Name": name}} for name in ("A", "x" * 200)]
    await client("POST", "/sandbox/transactions", {"operations": operations})
    operations.reverse()
    await client("POST", "/sandbox/transactions", {"operations": operations})
    kinds = [kind for kind, _ in changes(client)]
    assert kinds == ["CREATE", "GAP_OVERFLOW", "GAP_CREATE", "GAP_OVERFLOW"]


async def limits_of(client: Client) -> tuple[dict[str, Any], str]:
    """Return `/limits` and the header of its answer."""
    async with client.http.get("/services/data/v66.0/limits/") as response:
        return await response.json(), response.headers["Sforce-Limit-Info"]


async def test_requests_count_down_and_come_back(client: Client, clock: TurnedClock) -> None:
    """A refused call does not count; the header and `/limits` agree; a day later all is as before."""
    await client("PUT", "/sandbox/limits", {"api_requests": 3})
    told = [await limits_of(client) for _ in range(3)]
    assert [(found["DailyApiRequests"]["Remaining"], header) for found, header in told] == [
        (2, "api-usage=1/3"),
        (1, "api-usage=2/3"),
        (0, "api-usage=3/3"),
    ]
    status, errors = await client("GET", "limits")
    assert (status, errors[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")
    assert client.sandbox.org.usage.api_requests.used == 3
    clock.jump(DAY_S)
    token = client.sandbox.tokens.issue(user_id=client.sandbox.org.settings.user_id, client_id="sandbox")
    client.http.headers["Authorization"] = f"Bearer {token}"
    assert (await limits_of(client))[1] == "api-usage=1/3"


async def test_a_fault_that_uses_up_requests_shows_in_the_limits(client: Client) -> None:
    """As it does in the header."""
    await client("POST", "/sandbox/faults/use_up_requests", {"share": 0.5})
    found, header = await limits_of(client)
    assert (found["DailyApiRequests"]["Remaining"], header) == (50_000, "api-usage=50000/100000")


async def test_usage_is_counted_on_demand(client: Client) -> None:
    """A test can use up what would take long otherwise, jobs of the Bulk API among it."""
    client.sandbox.org.usage.bulk_query_jobs.use()
    given = {"delivered_events": 9_000_000, "bulk_query_jobs": 1, "published_events": 7}
    _, used = await client("POST", "/sandbox/usage", given)
    assert {name: count for name, count in used.items() if count} == {**given, "bulk_query_jobs": 2}
    found, _ = await limits_of(client)
    assert found["DailyDeliveredPlatformEvents"] == {"Max": 10_000_000, "Remaining": 1_000_000}
    assert found["DailyBulkV2QueryJobs"] == {"Max": 10_000, "Remaining": 9_998}
    assert found["HourlyPublishedPlatformEvents"] == {"Max": 250_000, "Remaining": 249_993}


@pytest.mark.parametrize(
    ("path", "body", "part"),
    [
        ("faults/gap_changes", {"on": ["upsert"]}, "on.0: must be"),
        ("faults/expire_events", {"older_than_s": -1}, "older_than_s"),
        ("field-conversions", {"type": "Account", "field": "Phone", "to": "double"}, "standard field"),
        ("field-conversions", {"type": "Account", "field": "Nope__c", "to": "double"}, "Nope__c"),
        ("field-conversions", {"type": "Account", "field": "A__c", "to": "reference"}, "to: "),
        ("refresh", {"org_id": "001"}, "begins with 00D"),
        ("usage", {"delivered": 1}, "delivered: no such key"),
    ],
)
async def test_a_wrong_request_names_what_is_wrong(
    client: Client, path: str, body: object, part: str
) -> None:
    """The error names the wrong field."""
    status, answer = await client("POST", f"/sandbox/{path}", body)
    assert status == 400
    assert part in answer["error"]
