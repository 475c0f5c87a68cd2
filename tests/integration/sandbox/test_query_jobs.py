"""Query jobs over HTTP, as a client meets them."""

import asyncio
import zlib
from typing import Any

import aiohttp
import pytest

from streamer.clock import TurnedClock
from streamer.sandbox import BulkLimits, Sandbox, SandboxSettings
from tests.integration.sandbox.conftest import DATA, Client

QUERY = {"operation": "query", "query": "SELECT Id, Name FROM Account"}


async def done(client: Client, **body: Any) -> str:
    """Return the id of a job that is complete."""
    _, job = await client("POST", "jobs/query", QUERY | body)
    state = job["state"]
    while state != "JobComplete":
        _, info = await client("GET", f"jobs/query/{job['id']}")
        state = info["state"]
    return str(job["id"])


async def test_a_large_result_is_sent_in_pieces(client: Client) -> None:
    """With its headers before them, compressed or not."""
    with client.sandbox.org.transaction() as transaction:
        for number in range(2_000):
            transaction.create("Account", {"Name": f"Ærø {number}"})
    job = await done(client)
    url = f"{DATA}/jobs/query/{job}/results"
    async with client.http.get(url, headers={"Accept": "text/csv"}) as response:
        plain = await response.read()
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert response.headers["Content-Type"] == "text/csv; charset=UTF-8"
        assert (response.headers["Sforce-NumberOfRecords"], response.headers["Sforce-Locator"]) == (
            "2000",
            "null",
        )
    assert plain.decode().splitlines()[-1].endswith(',"Ærø 1999"')
    async with client.http.get(
        url, headers={"Accept-Encoding": "gzip"}, params={"maxRecords": "1000"}, auto_decompress=False
    ) as response:
        packed = await response.read()
    half = zlib.decompress(packed, wbits=31)
    assert (len(packed) < len(half) / 2, plain.startswith(half), half.count(b"\n")) == (True, True, 1001)
    async with client.http.head(url) as response:
        assert response.headers["Sforce-NumberOfRecords"] == "2000"


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("after", [0, 40, 100_000, 10_000_000])
async def test_results_that_break_off_are_told_from_whole_ones(
    client: Client, after: int, coding: str
) -> None:
    """The body has no end, wherever it breaks; the next try reads it whole."""
    with client.sandbox.org.transaction() as transaction:
        for number in range(2_000):
            transaction.create("Account", {"Name": f"Account {number} with a long name to fill the answer"})
    job = await done(client)
    client.sandbox.faults.cut_results(after_bytes=after, type="Account")
    options: dict[str, Any] = {"headers": {"Accept-Encoding": coding}}
    url = f"{DATA}/jobs/query/{job}/results"
    with pytest.raises(aiohttp.ClientError):
        async with client.http.get(url, **options) as response:
            await response.read()
    async with client.http.get(url, **options) as response:
        assert (await response.text()).count("\n") == 2_001


async def test_a_composite_call_makes_jobs_and_reads_no_results(client: Client) -> None:
    """Which are no JSON."""
    job = await done(client)
    parts = [
        {"method": "GET", "url": f"{DATA}/jobs/query/{job}{below}", "referenceId": name}
        for name, below in (("info", ""), ("results", "/results"))
    ]
    _, answer = await client("POST", "composite", {"compositeRequest": parts})
    assert [each["httpStatusCode"] for each in answer["compositeResponse"]] == [200, 404]


async def test_limits_count_the_jobs(client: Client) -> None:
    """Of 24 hours."""
    await done(client)
    _, limits = await client("GET", "limits")
    assert limits["DailyBulkV2QueryJobs"] == {"Max": 10_000, "Remaining": 9_999}


async def test_the_recycle_bin_is_emptied_by_the_control_api(client: Client) -> None:
    """Deleted records are gone for good."""
    with client.sandbox.org.transaction() as transaction:
        transaction.delete("Account", transaction.create("Account", {"Name": "Gone"}))
    assert await client("DELETE", "/sandbox/recycle-bin") == (200, {"removed": 1})
    _, found = await client("GET", "queryAll?q=SELECT+COUNT()+FROM+Account")
    assert found["totalSize"] == 0


async def test_jobs_that_still_wait_end_with_the_sandbox(clock: TurnedClock) -> None:
    """No task is left behind."""
    settings = SandboxSettings(bulk=BulkLimits(queued_s=60.0))
    before = asyncio.all_tasks()
    async with Sandbox(clock, settings=settings) as sandbox:
        token = sandbox.tokens.issue(user_id=sandbox.org.settings.user_id, client_id="sandbox")
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession(sandbox.url, headers=headers) as http,
            http.post(f"{DATA}/jobs/query", json=QUERY) as response,
        ):
            assert (await response.json())["state"] == "UploadComplete"
    assert asyncio.all_tasks() <= before
