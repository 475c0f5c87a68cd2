"""Ingest jobs of the Bulk API 2.0, as independent clients use them, and in their details."""

import csv
import io
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import orjson
import pytest

from streamer.clock import TurnedClock
from streamer.sandbox import Sandbox, SandboxSettings
from streamer.sandbox.rest.bulk import BulkLimits
from tests.integration.sandbox.conftest import Client, session
from tests.waiting import limited

JOBS = "jobs/ingest"


def rows(text: str) -> list[dict[str, str]]:
    """Return the rows of a CSV."""
    return list(csv.DictReader(io.StringIO(text)))


def told(sandbox: Sandbox, path: str = "/data/AccountChangeEvent") -> Iterator[dict[str, Any]]:
    """Iterate over the headers of the change events on a channel."""
    for message in sandbox.bus.after(path, 0):
        yield orjson.loads(message.data)["payload"]["ChangeEventHeader"]


async def opened(client: Client, **body: Any) -> str:
    """Create a job and return its id."""
    status, job = await client("POST", JOBS, {"object": "Account", "operation": "insert", **body})
    assert (status, job["state"], job["contentUrl"]) == (
        200,
        "Open",
        f"services/data/v66.0/jobs/ingest/{job['id']}/batches",
    )
    return str(job["id"])


async def uploaded(client: Client, job: str, text: str) -> int:
    """Upload the rows of a job and return the status."""
    headers = {"Content-Type": "text/csv"}
    path = f"/services/data/v66.0/{JOBS}/{job}/batches"
    async with client.http.put(path, data=text.encode(), headers=headers) as response:
        assert (await response.read() == b"") is (response.status == 201)
        return response.status


async def ended(client: Client, job: str) -> dict[str, Any]:
    """Complete the upload of a job, and return its description once it has ended."""
    assert (await client("PATCH", f"{JOBS}/{job}", {"state": "UploadComplete"}))[0] == 200
    async with limited(f"the end of {job}"):
        while (found := await described(client, job))["state"] in {"UploadComplete", "InProgress"}:
            pass
    return found


async def described(client: Client, job: str) -> dict[str, Any]:
    """Return the description of a job."""
    return dict((await client("GET", f"{JOBS}/{job}"))[1])


async def result(client: Client, job: str, kind: str) -> list[dict[str, str]]:
    """Return the rows of one of a job's results."""
    async with client.http.get(f"/services/data/v66.0/{JOBS}/{job}/{kind}") as response:
        assert response.status == 200, await response.text()
        return rows(await response.text())


async def test_rows_are_written_and_announced(client: Client) -> None:
    """A refused row stops no other; the origin of the events is the Bulk API with its client."""
    job = await opened(client)
    assert (
        await uploaded(client, job, 'Name,Phone,AnnualRevenue\n"Acme, ""Inc""",1,5\n,2,\nGlobex,,x\n') == 201
    )
    state = await ended(client, job)
    assert (state["state"], state["numberRecordsProcessed"], state["numberRecordsFailed"]) == (
        "JobComplete",
        3,
        2,
    )
    assert state["jobType"] == "V2Ingest"
    (written,) = await result(client, job, "successfulResults")
    assert (written["sf__Created"], written["Name"]) == ("true", 'Acme, "Inc"')
    _, record = await client("GET", f"sobjects/Account/{written['sf__Id']}")
    assert (record["Name"], record["AnnualRevenue"]) == ('Acme, "Inc"', 5.0)
    missing, unreadable = await result(client, job, "failedResults")
    assert missing["sf__Error"] == "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --"
    assert unreadable["sf__Error"].startswith("JSON_PARSER_ERROR:")
    assert await result(client, job, "unprocessedrecords") == []
    (header,) = told(client.sandbox)
    assert (header["changeType"], header["changeOrigin"]) == ("CREATE", "com/salesforce/api/bulkapi/66.0")


async def test_values_can_be_kept_emptied_and_looked_up(client: Client) -> None:
    """Nothing leaves a field as it is, `#N/A` empties it, and a parent is named by an external id."""
    _, account = await client("POST", "sobjects/Account", {"Name": "Acme", "Key__c": "A1"})
    _, contact = await client("POST", "sobjects/Contact", {"LastName": "Berg", "Phone": "1", "Title": "CEO"})
    job = await opened(client, object="Contact", operation="update", columnDelimiter="SEMICOLON")
    await uploaded(client, job, f"Id;Phone;Title;Account.Key__c\r\n{contact['id']};;#N/A;A1\r\n")
    assert (await ended(client, job))["numberRecordsFailed"] == 0
    _, record = await client("GET", f"sobjects/Contact/{contact['id']}")
    assert (record["Phone"], record["Title"], record["AccountId"]) == ("1", None, account["id"])


async def test_large_upload_is_many_transactions(client: Client) -> None:
    """Of 200 rows each; other calls are answered meanwhile."""
    job = await opened(client)
    await uploaded(client, job, "Name\n" + "".join(f"A{number}\n" for number in range(1_001)))
    assert (await ended(client, job))["numberRecordsProcessed"] == 1_001
    keys = {header["transactionKey"] for header in told(client.sandbox)}
    assert len(keys) == 6


async def test_hard_deletion_leaves_nothing_to_restore(client: Client) -> None:
    """A deletion does."""
    created = [(await client("POST", "sobjects/Account", {"Name": "A"}))[1]["id"] for _ in range(2)]
    for operation, record in zip(("delete", "hardDelete"), created, strict=True):
        job = await opened(client, operation=operation)
        await uploaded(client, job, f"Id\n{record}\n")
        assert (await ended(client, job))["numberRecordsFailed"] == 0
    _, found = await client("GET", "queryAll?q=SELECT+Id+FROM+Account")
    assert [each["Id"] for each in found["records"]] == created[:1]
    assert [each["changeType"] for each in told(client.sandbox)][-2:] == ["DELETE"] * 2


@pytest.mark.parametrize(
    ("body", "text", "error"),
    [
        ({}, "Name,Nope\nA,1\n", "InvalidBatch : Field name not found : Nope"),
        ({"operation": "update"}, "Name\nA\n", "InvalidBatch : Field name not found : Id"),
        ({}, "", "InvalidBatch : The CSV has no header"),
        ({}, 'Name\n"A', "InvalidBatch : unexpected end of data"),
    ],
)
async def test_job_that_cannot_begin_fails(
    client: Client, body: dict[str, str], text: str, error: str
) -> None:
    """It fails as a whole: no record is written."""
    job = await opened(client, **body)
    await uploaded(client, job, text)
    state = await ended(client, job)
    assert (state["state"], state["errorMessage"], state["numberRecordsProcessed"]) == ("Failed", error, 0)


async def test_job_is_filled_once_and_has_results_in_the_end(client: Client) -> None:
    """An open one can be aborted, and only an ended one deleted."""
    job = await opened(client)
    assert await uploaded(client, job, "Name\nA\n") == 201
    assert await uploaded(client, job, "Name\nB\n") == 400
    assert (await client("GET", f"{JOBS}/{job}/successfulResults"))[0] == 400
    assert (await client("DELETE", f"{JOBS}/{job}"))[0] == 400
    assert (await client("PATCH", f"{JOBS}/{job}", {"state": "Aborted"}))[1]["state"] == "Aborted"
    assert await result(client, job, "unprocessedrecords") == [{"Name": "A"}]
    assert (await client("PATCH", f"{JOBS}/{job}", {"state": "UploadComplete"}))[0] == 400
    assert [each["id"] for each in (await client("GET", JOBS))[1]["records"]] == [job]
    assert (await client("DELETE", f"{JOBS}/{job}"))[0] == 204
    assert (await client("GET", f"{JOBS}/{job}"))[0] == 404


@pytest.mark.parametrize(
    "body",
    [{"operation": "merge"}, {"contentType": "JSON"}, {"operation": "upsert"}, {"object": "Nope"}],
)
async def test_wrong_job_is_refused(client: Client, body: dict[str, str]) -> None:
    """Before anything is uploaded."""
    asked = {"object": "Account", "operation": "insert", **body}
    assert (await client("POST", JOBS, asked))[0] in {400, 404}


@pytest.fixture
async def slow(clock: TurnedClock) -> AsyncIterator[Sandbox]:
    """An org whose jobs wait for ten seconds."""
    settings = SandboxSettings(bulk=BulkLimits(queued_s=10))
    async with Sandbox(clock, settings=settings) as running:
        yield running


async def test_job_waits_for_its_turn(slow: Sandbox, clock: TurnedClock) -> None:
    """And does nothing when it is aborted meanwhile."""
    async with session(slow) as client:
        job = await opened(client)
        await uploaded(client, job, "Name\nA\n")
        await client("PATCH", f"{JOBS}/{job}", {"state": "UploadComplete"})
        assert (await client("GET", f"{JOBS}/{job}"))[1]["state"] == "UploadComplete"
        await client("PATCH", f"{JOBS}/{job}", {"state": "Aborted"})
        await clock.turn(20)
        assert (await client("GET", f"{JOBS}/{job}"))[1]["state"] == "Aborted"
        assert list(told(slow)) == []


# The guide's example, whose lines end as those of the file do that it sends.
MULTIPART = """--BOUNDARY
Content-Type: application/json
Content-Disposition: form-data; name="job"

{
  "object":"Contact",
  "contentType":"CSV",
  "operation": "insert",
  "lineEnding" : "LF"
}

--BOUNDARY
Content-Type: text/csv
Content-Disposition: form-data; name="content"; filename="content"

FirstName,LastName,MailingCity
Astro,Nomical,San Francisco
Zoë,Østergård,Aarhus
--BOUNDARY--
"""
DECLARED = {"Content-Type": 'multipart/form-data; boundary="BOUNDARY"'}


async def posted(client: Client, body: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Post a job with its rows, and return the status and the body of the answer."""
    async with client.http.post(f"/services/data/v66.0/{JOBS}/", data=body, headers=headers) as response:
        return response.status, await response.json()


async def test_job_is_created_together_with_its_rows(client: Client) -> None:
    """The answer is the guide's: the upload is complete, and nothing more can be uploaded."""
    status, job = await posted(client, MULTIPART.encode(), DECLARED)
    assert (status, job["state"], "contentUrl" in job) == (200, "UploadComplete", False)
    assert (job["object"], job["operation"]) == ("Contact", "insert")
    assert await uploaded(client, job["id"], "LastName\nA\n") == 400
    async with limited("the end of the job"):
        while (state := (await described(client, job["id"]))["state"]) in {"UploadComplete", "InProgress"}:
            pass
    assert state == "JobComplete"
    written = await result(client, job["id"], "successfulResults")
    assert [(each["FirstName"], each["LastName"], each["MailingCity"]) for each in written] == [
        ("Astro", "Nomical", "San Francisco"),
        ("Zoë", "Østergård", "Aarhus"),
    ]


async def test_form_of_a_client_is_taken(client: Client) -> None:
    """With the line ends of HTTP, and its parts in any order."""
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("content", b"Name\r\nAcme\r\n", content_type="text/csv", filename="content")
    job = orjson.dumps({"object": "Account", "operation": "insert", "lineEnding": "CRLF"}).decode()
    form.add_field("job", job, content_type="application/json")
    status, answer = await posted(client, form)
    assert (status, answer["state"], answer["lineEnding"]) == (200, "UploadComplete", "CRLF")


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (MULTIPART.replace('"job"', '"other"'), DECLARED, 400, "API_ERROR"),
        (MULTIPART.replace('name="content"', 'name="other"'), DECLARED, 400, "API_ERROR"),
        (MULTIPART, {"Content-Type": "multipart/form-data"}, 400, "API_ERROR"),
        (MULTIPART.replace('"insert"', '"merge"'), DECLARED, 400, "JSON_PARSER_ERROR"),
        (MULTIPART.replace("San Francisco", "x" * 100_000), DECLARED, 400, "API_ERROR"),
        (MULTIPART, {"Content-Type": "multipart/mixed; boundary=BOUNDARY"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    ],
)
async def test_wrong_job_with_rows_is_refused(
    client: Client, body: str, headers: dict[str, str], status: int, code: str
) -> None:
    """Without one of its parts, and with more than 100,000 characters; no job is left."""
    found, (error,) = await posted(client, body.encode(), headers)
    assert (found, error["errorCode"]) == (status, code)
    assert (await client("GET", JOBS))[1]["records"] == []


async def test_only_ingest_jobs_are_multipart(client: Client) -> None:
    """Other resources take JSON alone."""
    path = "/services/data/v66.0/sobjects/Account"
    async with client.http.post(path, data=MULTIPART.encode(), headers=DECLARED) as response:
        assert response.status == 415
