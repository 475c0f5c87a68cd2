"""Query jobs of the Bulk API 2.0: their states, their results, and what is refused."""

from typing import Any

import pytest

from tests.unit.sandbox.rest.world import RestWorld, code

NAMES = "SELECT Name FROM Account"
READER = "reader@acme.example"


async def test_a_job_waits_and_runs(rest: RestWorld) -> None:
    """By the clock, and tells what it has done."""
    rest.create("Account", Name="Acme")
    made = rest.call("POST", "jobs/query", {"operation": "query", "query": "SELECT Id FROM account"}).body
    assert (made["state"], made["object"], made["apiVersion"]) == ("UploadComplete", "Account", 66.0)
    assert (made["createdDate"], made["id"][:3]) == ("2025-01-01T00:00:00.000+0000", "750")
    await rest.clock.turn(4.9)
    assert rest.state(made["id"]) == "UploadComplete"
    await rest.clock.turn(0.1)
    assert rest.state(made["id"]) == "InProgress"
    await rest.clock.turn(60)
    done = rest.call("GET", f"jobs/query/{made['id']}").body
    told = (done["state"], done["jobType"], done["numberRecordsProcessed"], done["totalProcessingTime"])
    assert told == ("JobComplete", "V2Query", 1, 60_000)


async def test_the_rows_are_those_of_the_time_at_which_the_job_begins(rest: RestWorld) -> None:
    """Neither of its creation nor of its end; a parent's fields are of that time too."""
    account = rest.create("Account", Name="Acme")
    for name in ("Aas", "Berg"):
        rest.create("Contact", LastName=name, AccountId=account)
    job = rest.job("SELECT LastName, Account.Name FROM Contact")
    rest.update("Account", account, Name="Acme & Sons")
    await rest.clock.turn(5)
    rest.update("Account", account, Name="Later")
    rest.create("Contact", LastName="Later", AccountId=account)
    with rest.org.transaction() as transaction:
        transaction.delete(
            "Contact", next(iter(rest.org.records.all(rest.org.schema.entity("Contact"))))["Id"]
        )
    await rest.clock.turn(60)
    assert rest.csv(job) == '"LastName","Account.Name"\n"Aas","Acme & Sons"\n"Berg","Acme & Sons"\n'


async def test_a_snapshot_keeps_the_records_as_they_were(rest: RestWorld) -> None:
    """Also where it holds no values of parents."""
    account = rest.create("Account", Name="Acme")
    job = rest.job(NAMES)
    await rest.clock.turn(5)
    rest.update("Account", account, Name="Later")
    await rest.clock.turn(60)
    assert rest.csv(job) == '"Name"\n"Acme"\n'


async def test_results_come_in_pages(rest: RestWorld) -> None:
    """A locator is good as often as it is used, and after the last page it says null."""
    for number in range(5):
        rest.create("Account", Name=f"A{number}")
    job = rest.job(NAMES)
    await rest.clock.turn(65)
    pages, locator = list[str](), ""
    while locator != "null":
        answer = rest.call("GET", f"jobs/query/{job}/results?maxRecords=3&locator={locator}")
        assert answer.chunks is not None
        pages.append(b"".join(answer.chunks).decode())
        assert answer.headers["Sforce-NumberOfRecords"] == str(pages[-1].count("\n") - 1)
        locator = answer.headers["Sforce-Locator"]
    # Three are asked for, and two are the most.
    assert pages == ['"Name"\n"A0"\n"A1"\n', '"Name"\n"A2"\n"A3"\n', '"Name"\n"A4"\n']
    assert rest.csv(job, "maxRecords=1&locator=Mg") == '"Name"\n"A2"\n'
    for wrong in ("NQ", "%C3%A6", "bm8", "LTE"):
        assert code(rest.call("GET", f"jobs/query/{job}/results?locator={wrong}"))[0] == 400


async def test_pages_can_be_read_in_parallel(rest: RestWorld) -> None:
    """Five of them are named at a time."""
    for number in range(11):
        rest.create("Account", Name=f"A{number}")
    job = rest.job(NAMES)
    await rest.clock.turn(65)
    body = rest.call("GET", f"jobs/query/{job}/resultPages").body
    urls = [page["resultUrl"] for page in body["resultPages"]]
    assert (len(urls), body["done"]) == (5, False)
    body = rest.call("GET", body["nextRecordsUrl"]).body
    urls += [page["resultUrl"] for page in body["resultPages"]]
    assert (body["done"], body["nextRecordsUrl"]) == (True, None)
    names = list[str]()
    for url in urls:
        answer = rest.call("GET", url)
        assert answer.chunks is not None
        names += b"".join(answer.chunks).decode().splitlines()[1:]
    assert names == [f'"A{number}"' for number in range(11)]


async def test_no_rows_are_a_header(rest: RestWorld) -> None:
    """Which the client needs for the names of the columns."""
    job = rest.job(NAMES)
    await rest.clock.turn(65)
    assert rest.csv(job) == '"Name"\n'
    body = rest.call("GET", f"jobs/query/{job}/resultPages").body
    assert (len(body["resultPages"]), body["done"]) == (1, True)


async def test_values_are_written_as_salesforce_writes_them(rest: RestWorld) -> None:
    """Quotes, line breaks, no value, numbers with an exponent, times."""
    rest.create("Account", Name='A "B"\nC', AnnualRevenue=350_000_000, NumberOfEmployees=20_000_000)
    query = "SELECT Name, Phone, AnnualRevenue, NumberOfEmployees, IsDeleted, CreatedDate FROM Account"
    job = rest.job(query, columnDelimiter="PIPE", lineEnding="CRLF")
    await rest.clock.turn(65)
    header, _, row = rest.csv(job).partition("\r\n")
    assert header == '"Name"|"Phone"|"AnnualRevenue"|"NumberOfEmployees"|"IsDeleted"|"CreatedDate"'
    assert row == '"A ""B""\nC"|""|"3.5E8"|"20000000"|"false"|"2025-01-01T00:00:00.000Z"\r\n'


async def test_query_all_finds_what_is_in_the_recycle_bin(rest: RestWorld) -> None:
    """Until it is emptied, and `query` never."""
    with rest.org.transaction() as transaction:
        transaction.delete("Account", transaction.create("Account", {"Name": "Gone"}))
    query = "SELECT Name, IsDeleted FROM Account"
    jobs = [rest.job(query), rest.job(query, operation="queryAll")]
    await rest.clock.turn(65)
    assert [rest.csv(job) for job in jobs] == ['"Name","IsDeleted"\n', '"Name","IsDeleted"\n"Gone","true"\n']
    assert rest.org.empty_recycle_bin() == 1
    late = rest.job(query, operation="queryAll")
    await rest.clock.turn(65)
    assert rest.csv(late) == '"Name","IsDeleted"\n'


async def test_a_job_is_aborted_before_its_end_and_deleted_after_it(rest: RestWorld) -> None:
    """Each is refused at the wrong time, and a deleted job is not found."""
    waiting, running = rest.job(NAMES), rest.job(NAMES)
    path = f"jobs/query/{waiting}"
    early = rest.call("DELETE", path)
    assert (code(early), early.body[0]["message"][-14:]) == ((400, "API_ERROR"), "not terminated")
    assert rest.call("PATCH", path, {"state": "Aborted"}).body["state"] == "Aborted"
    await rest.clock.turn(10)
    assert rest.call("PATCH", f"jobs/query/{running}", {"state": "Aborted"}).status == 200
    await rest.clock.turn(60)
    assert [rest.state(job) for job in (waiting, running)] == ["Aborted", "Aborted"]
    assert code(rest.call("PATCH", path, {"state": "Aborted"})) == (400, "INVALIDJOBSTATE")
    assert code(rest.call("GET", f"{path}/results")) == (400, "INVALIDJOBSTATE")
    assert rest.call("DELETE", path).status == 204
    for method, below in (("GET", ""), ("GET", "/results"), ("DELETE", "")):
        assert code(rest.call(method, path + below)) == (404, "NOT_FOUND")


async def test_results_are_those_of_the_jobs_own_version(rest: RestWorld) -> None:
    """Another one is a conflict; before version 50.0 the columns come in the order of their names."""
    rest.create("Account", Name="Acme", Industry="Energy")
    body = {"operation": "query", "query": "SELECT Name, Industry FROM Account"}
    job = rest.call("POST", "jobs/query", body, version="49.0").body["id"]
    await rest.clock.turn(65)
    path = f"jobs/query/{job}/results"
    assert rest.call("GET", path).status == 409
    answer = rest.call("GET", path, version="49.0")
    assert answer.chunks is not None
    assert b"".join(answer.chunks) == b'"Industry","Name"\n"Energy","Acme"\n'
    assert rest.call("GET", f"jobs/query/{job}/resultPages", version="49.0").status == 404
    assert rest.call("GET", f"jobs/query/{job}", version="46.0").status == 404


async def test_a_job_fails_where_a_fault_says_so(rest: RestWorld) -> None:
    """With a message; it has no results and can be deleted."""
    rest.faults.fail_query_job(type="Account", message="Too long.")
    contact, account = rest.job("SELECT Id FROM Contact"), rest.job(NAMES)
    await rest.clock.turn(65)
    told = rest.call("GET", f"jobs/query/{account}").body
    assert (rest.state(contact), told["state"]) == ("JobComplete", "Failed")
    assert told["errorMessage"] == "QUERY_TIMEOUT: Too long."
    assert code(rest.call("GET", f"jobs/query/{account}/results")) == (400, "INVALIDJOBSTATE")
    assert rest.call("DELETE", f"jobs/query/{account}").status == 204


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({}, "API_ERROR"),
        ({"query": NAMES}, "JSON_PARSER_ERROR"),
        ({"query": NAMES, "operation": "insert"}, "JSON_PARSER_ERROR"),
        ({"query": NAMES, "operation": "query", "columnDelimiter": ","}, "JSON_PARSER_ERROR"),
        ({"query": NAMES, "operation": "query", "lineEnding": ["LF"]}, "JSON_PARSER_ERROR"),
        ({"query": NAMES, "operation": "query", "contentType": "JSON"}, "JSON_PARSER_ERROR"),
        *(
            ({"query": query, "operation": "query"}, refusal)
            for query, refusal in [
                ("SELECT Industry, COUNT(Id) FROM Account GROUP BY Industry", "API_ERROR"),
                ("SELECT Industry FROM Account GROUP BY Industry", "API_ERROR"),
                ("SELECT COUNT() FROM Account", "API_ERROR"),
                ("SELECT Name FROM Account OFFSET 1", "API_ERROR"),
                ("SELECT BillingAddress FROM Account", "API_ERROR"),
                ("SELECT Account.BillingAddress FROM Contact", "API_ERROR"),
                ("SELECT Name, (SELECT Id FROM Contacts) FROM Account", "API_ERROR"),
                ("SELECT FIELDS(ALL) FROM Account LIMIT 200", "API_ERROR"),
                ("SELECT Nope FROM Account", "INVALID_FIELD"),
                ("SELECT Id FROM Nope", "INVALID_TYPE"),
                ("SELECT", "MALFORMED_QUERY"),
            ]
        ),
    ],
)
async def test_what_is_not_answered_is_refused_at_once(
    rest: RestWorld, body: dict[str, Any], refusal: str
) -> None:
    """No job is made of it."""
    assert code(rest.call("POST", "jobs/query", body)) == (400, refusal)
    assert rest.call("GET", "jobs/query").body == {"done": True, "records": [], "nextRecordsUrl": None}


async def test_order_limit_conditions_and_names_are_answered(rest: RestWorld) -> None:
    """A compound name is a text."""
    for name in ("Aas", "Berg", "Carlsen"):
        rest.create("Contact", LastName=name, FirstName="Ida")
    job = rest.job("SELECT Name FROM Contact WHERE LastName != 'Aas' ORDER BY LastName DESC LIMIT 1")
    await rest.clock.turn(65)
    assert rest.csv(job) == '"Name"\n"Ida Carlsen"\n'


async def test_a_day_has_a_number_of_jobs_and_a_week_their_results(rest: RestWorld) -> None:
    """The fourth is refused for a day, and the first are gone after a week."""
    jobs = [rest.job(NAMES) for _ in range(3)]
    listed = [job["id"] for job in rest.call("GET", "jobs/query").body["records"]]
    assert listed == jobs
    refused = rest.call("POST", "jobs/query", {"operation": "query", "query": NAMES})
    assert code(refused) == (400, "LIMIT_EXCEEDED")
    await rest.clock.turn(24 * 3600)
    rest.job(NAMES)
    await rest.clock.turn(6 * 24 * 3600 + 1)
    assert code(rest.call("GET", f"jobs/query/{jobs[0]}")) == (404, "NOT_FOUND")
    assert len(rest.call("GET", "jobs/query?jobType=V2Query").body["records"]) == 1
    assert rest.call("GET", "jobs/query?jobType=Classic").body["records"] == []


async def test_a_user_sees_what_the_user_may_see(rest: RestWorld) -> None:
    """And reads no results of another one."""
    body = {"operation": "query", "query": "SELECT Phone FROM Account"}
    assert code(rest.call("POST", "jobs/query", body, user=READER)) == (400, "INVALID_FIELD")
    job = rest.job("SELECT Phone FROM Account")
    await rest.clock.turn(65)
    assert rest.call("GET", f"jobs/query/{job}", user=READER).status == 200
    assert rest.call("GET", f"jobs/query/{job}/results", user=READER).status == 403
    assert rest.call("DELETE", f"jobs/query/{job}", user=READER).status == 403
