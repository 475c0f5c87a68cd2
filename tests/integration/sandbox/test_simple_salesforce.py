"""An independent client, simple-salesforce, works unchanged against the sandbox."""

import asyncio
import csv
import io
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from requests.adapters import HTTPAdapter
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceOperationError,
    SalesforceResourceNotFound,
)

from streamer.clock import TurnedClock
from streamer.sandbox import Sandbox, SandboxSettings, parse_schema
from tools.kafka.certificate import write_certificate

LOGIN = "https://login.salesforce.com"
MY_DOMAIN = "https://acme.my.salesforce.com"


class Diverted(HTTPAdapter):
    """Stands in for DNS: requests to Salesforce's hosts go to the sandbox."""

    def __init__(self, host: str, url: str) -> None:
        """Send requests for `host` to `url`."""
        super().__init__()
        self._host, self._url = host, url

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Send the request to the sandbox."""
        request.url = (request.url or "").replace(self._host, self._url)
        return super().send(request, *args, **options)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """The certificate that clients trust, and the server's key with it."""
    return write_certificate(tmp_path)


@pytest.fixture
async def sandbox(clock: TurnedClock, certificate: tuple[Path, Path]) -> AsyncIterator[Sandbox]:
    """A sandbox over https, which simple-salesforce insists on."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate[1])
    async with Sandbox(clock, settings=SandboxSettings(tls=tls)) as running:
        yield running


@pytest.fixture
def session(sandbox: Sandbox, certificate: tuple[Path, Path]) -> Iterator[requests.Session]:
    """A session that trusts the sandbox's certificate."""
    with requests.Session() as http:
        http.trust_env = False
        http.verify = str(certificate[0])
        for host in (LOGIN, MY_DOMAIN):
            http.mount(host, Diverted(host, sandbox.url))
        yield http


@pytest.fixture
def salesforce(sandbox: Sandbox, session: requests.Session) -> Any:
    """The client, with a token; its attributes are made up as they are asked for."""
    token = sandbox.tokens.issue(user_id=sandbox.org.settings.user_id, client_id="sandbox")
    return Salesforce(instance_url=sandbox.url, session_id=token, session=session)


def private_key() -> str:
    """Return a new private key; this sandbox checks the claims alone."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    "credentials",
    [
        lambda: {"username": "bus@sandbox.example", "password": "sandbox-password", "security_token": "XYZ"},
        lambda: {
            "username": "bus@sandbox.example",
            "password": "sandbox-password",
            "consumer_key": "sandbox",
            "consumer_secret": "sandbox-secret",
        },
        lambda: {
            "username": "bus@sandbox.example",
            "consumer_key": "sandbox",
            "privatekey": private_key(),
        },
        lambda: {"consumer_key": "sandbox", "consumer_secret": "sandbox-secret", "domain": "acme.my"},
    ],
    ids=["soap", "password", "jwt", "client-credentials"],
)
async def test_it_logs_in(session: requests.Session, credentials: Callable[[], dict[str, Any]]) -> None:
    """Each of its login flows ends in a session that can be used."""

    def login_and_ask() -> Any:
        return Salesforce(session=session, **credentials()).is_sandbox()

    assert await asyncio.to_thread(login_and_ask) is True


async def test_a_wrong_password_is_its_login_error(session: requests.Session) -> None:
    """It understands the SOAP fault."""
    wrong: dict[str, Any] = {"username": "bus@sandbox.example", "password": "wrong", "security_token": ""}
    with pytest.raises(SalesforceAuthenticationFailed, match="INVALID_LOGIN"):
        await asyncio.to_thread(lambda: Salesforce(session=session, **wrong))


async def test_it_works_with_records(salesforce: Any) -> None:
    """Create, get, update, upsert, query all pages and delete."""

    def work() -> list[Any]:
        contact = salesforce.Contact.create({"LastName": "Smith", "Email": "smith@example.com"})["id"]
        salesforce.Contact.update(contact, {"LastName": "Jones"})
        salesforce.Contact.upsert("Badge__c/7", {"LastName": "Berg"})
        found = salesforce.query_all("SELECT Id, LastName FROM Contact ORDER BY LastName")
        renamed = salesforce.Contact.get(contact)["Name"]
        by_badge = salesforce.Contact.get_by_custom_id("Badge__c", "7")["LastName"]
        salesforce.Contact.delete(contact)
        left = salesforce.query("SELECT COUNT() FROM Contact")["totalSize"]
        return [[row["LastName"] for row in found["records"]], renamed, by_badge, left]

    assert await asyncio.to_thread(work) == [["Berg", "Jones"], "Jones", "Berg", 1]


async def test_its_queries_are_answered(salesforce: Any) -> None:
    """Groups, children, semi-joins and date literals, in pages and all at once."""

    def work() -> list[Any]:
        account = salesforce.Account.create({"Name": "Acme", "Industry": "Energy", "AnnualRevenue": 5})["id"]
        salesforce.Account.create({"Name": "Bolt", "Industry": "Energy"})
        salesforce.Contact.create({"LastName": "Berg", "AccountId": account})
        grouped = salesforce.query(
            "SELECT Industry, COUNT(Id) n, AVG(AnnualRevenue) FROM Account "
            "GROUP BY Industry HAVING COUNT(Id) > 1"
        )
        parents = salesforce.query_all(
            "SELECT Name, (SELECT LastName FROM Contacts) FROM Account WHERE CreatedDate = TODAY "
            "AND Id IN (SELECT AccountId FROM Contact WHERE LastName LIKE 'b%')"
        )
        return [
            [(row["Industry"], row["n"], row["expr0"]) for row in grouped["records"]],
            [(row["Name"], row["Contacts"]["records"][0]["LastName"]) for row in parents["records"]],
        ]

    assert await asyncio.to_thread(work) == [[("Energy", 2, 5.0)], [("Acme", "Berg")]]


async def test_it_describes_and_replicates(salesforce: Any, clock: TurnedClock) -> None:
    """Types, limits and the records deleted in a span of time."""
    contact = (await asyncio.to_thread(lambda: salesforce.Contact.create({"LastName": "Smith"})))["id"]
    await clock.turn(60)
    await asyncio.to_thread(lambda: salesforce.Contact.delete(contact))

    def ask() -> list[Any]:
        fields = [field["name"] for field in salesforce.Contact.describe()["fields"]]
        types = [each["name"] for each in salesforce.describe()["sobjects"]]
        deleted = salesforce.restful(
            "sobjects/Contact/deleted", {"start": "2025-01-01T00:00:30+00:00", "end": "2025-01-01T00:02:00Z"}
        )
        return ["LastName" in fields, "Account" in types, [each["id"] for each in deleted["deletedRecords"]]]

    assert await asyncio.to_thread(ask) == [True, True, [contact]]


async def test_it_raises_its_own_errors(salesforce: Any, sandbox: Sandbox) -> None:
    """Refusals have the statuses and bodies that it knows."""
    with pytest.raises(SalesforceResourceNotFound):
        await asyncio.to_thread(lambda: salesforce.Contact.get("003000000000001AAA"))
    with pytest.raises(SalesforceMalformedRequest, match="Required fields are missing"):
        await asyncio.to_thread(lambda: salesforce.Contact.create({"FirstName": "Ida"}))
    sandbox.tokens.revoke_all()
    with pytest.raises(SalesforceExpiredSession):
        await asyncio.to_thread(lambda: salesforce.query("SELECT Id FROM Contact"))


async def test_it_raises_what_a_declared_schema_refuses(salesforce: Any, sandbox: Sandbox) -> None:
    """Of records, queries and platform events."""
    fields = {"Number__c": {"type": "string", "length": 3, "external_id": True, "unique": True}}
    events = {"Paid__e": {"fields": {"Amount__c": "double"}}}
    sandbox.org.declare(parse_schema({"objects": {"Invoice__c": {"fields": fields}}, "events": events}))
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("INVALID_FIELD", lambda: salesforce.Invoice__c.create({"Nope__c": 1})),
        ("STRING_TOO_LONG", lambda: salesforce.Invoice__c.create({"Number__c": "1234"})),
        ("DUPLICATE_VALUE", lambda: salesforce.Invoice__c.create({"Number__c": "1"})),
        ("INVALID_FIELD", lambda: salesforce.query("SELECT Nope__c FROM Invoice__c")),
        ("INVALID_FIELD", lambda: salesforce.Paid__e.create({"Nope__c": 1})),
    ]
    await asyncio.to_thread(lambda: salesforce.Invoice__c.upsert("Number__c/1", {"Name": "First"}))
    for code, call in calls:
        with pytest.raises(SalesforceMalformedRequest, match=code):
            await asyncio.to_thread(call)


async def test_it_manages_channels_by_the_tooling_api(salesforce: Any) -> None:
    """Its `toolingexecute` selects an entity, finds and deselects it, and raises a refusal."""
    members = "sobjects/PlatformEventChannelMember"
    body = {
        "FullName": "ChangeEvents_AccountChangeEvent",
        "Metadata": {"eventChannel": "ChangeEvents", "selectedEntity": "AccountChangeEvent"},
    }
    query = {"q": "SELECT Id, SelectedEntity FROM PlatformEventChannelMember"}
    account = {"q": f"{query['q']} WHERE SelectedEntity = 'AccountChangeEvent'"}

    def work() -> list[Any]:
        (usual,) = salesforce.toolingexecute("query", params=account)["records"]
        salesforce.toolingexecute(f"{members}/{usual['Id']}", "DELETE")
        created = salesforce.toolingexecute(members, "POST", body)
        found = salesforce.toolingexecute("query", params=query)["records"]
        with pytest.raises(SalesforceMalformedRequest, match="DUPLICATE_DEVELOPER_NAME"):
            salesforce.toolingexecute(members, "POST", body)
        metadata = salesforce.toolingexecute(f"{members}/{created['id']}")["Metadata"]
        salesforce.toolingexecute(f"{members}/{created['id']}", "DELETE")
        left = salesforce.toolingexecute("query", params=account)["totalSize"]
        return [
            created["success"],
            "AccountChangeEvent" in [row["SelectedEntity"] for row in found],
            metadata["selectedEntity"],
            left,
        ]

    assert await asyncio.to_thread(work) == [True, True, "AccountChangeEvent", 0]


async def test_it_reads_in_volume(salesforce: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    """Its `bulk2` makes query jobs, and reads their results page by page, into memory or files."""
    with sandbox.org.transaction() as transaction:
        for number in range(5):
            transaction.create("Account", {"Name": f'A "{number}"', "AnnualRevenue": number * 10_000_000})
        transaction.delete("Account", transaction.create("Account", {"Name": "Gone"}))
    query = "SELECT Name, AnnualRevenue FROM Account ORDER BY Name"

    def work() -> list[Any]:
        bulk = salesforce.bulk2.Account
        pages = list(bulk.query(query, max_records=2))
        rows = [row for page in pages for row in csv.DictReader(io.StringIO(page))]
        everything = list(bulk.query_all(query))
        files = bulk.download(query, path=str(tmp_path), max_records=3)
        texts = [Path(each["file"]).read_text("utf-8") for each in files]
        with pytest.raises(SalesforceMalformedRequest, match="Selecting compound data"):
            list(bulk.query("SELECT BillingAddress FROM Account"))
        return [len(pages), rows[4], everything[0].count("\n"), [text.count("\n") for text in texts]]

    last = {"Name": 'A "4"', "AnnualRevenue": "4.0E7"}
    assert await asyncio.to_thread(work) == [3, last, 7, [4, 3]]


async def test_a_failed_job_is_its_error(salesforce: Any, sandbox: Sandbox) -> None:
    """With the message of the job."""
    sandbox.faults.fail_query_job()
    with pytest.raises(SalesforceOperationError, match="QUERY_TIMEOUT"):
        await asyncio.to_thread(lambda: list(salesforce.bulk2.Account.query("SELECT Id FROM Account")))


async def test_it_replicates(salesforce: Any, clock: TurnedClock) -> None:
    """Its `updated` and `deleted`."""
    start = datetime.fromtimestamp(clock.now(), UTC)
    contact = (await asyncio.to_thread(lambda: salesforce.Contact.create({"LastName": "Smith"})))["id"]
    await clock.turn(600)
    end = datetime.fromtimestamp(clock.now(), UTC)

    def ask() -> list[Any]:
        updated = salesforce.Contact.updated(start, end)["ids"]
        salesforce.Contact.delete(contact)
        return [updated, salesforce.Contact.deleted(start, end)["deletedRecords"]]

    assert await asyncio.to_thread(ask) == [[contact], []]


async def test_it_writes_in_volume(salesforce: Any, sandbox: Sandbox) -> None:
    """Its `bulk2` inserts, updates, upserts and deletes, and reads what became of each row."""

    def work() -> list[Any]:
        bulk = salesforce.bulk2.Account
        (inserted,) = bulk.insert(
            records=[{"Name": f"A{number}", "Key__c": f"K{number}"} for number in range(5)]
        )
        ids = [row["sf__Id"] for row in _rows(bulk.get_successful_records(inserted["job_id"]))]
        (updated,) = bulk.update(records=[{"Id": each, "Phone": "1"} for each in ids])
        (upserted,) = bulk.upsert(
            records=[{"Key__c": "K4", "Name": "B4"}, {"Key__c": "K5", "Name": "B5"}],
            external_id_field="Key__c",
        )
        created = [row["sf__Created"] for row in _rows(bulk.get_successful_records(upserted["job_id"]))]
        (deleted,) = bulk.delete(records=[{"Id": ids[0]}, {"Id": ids[0]}])
        (error,) = (row["sf__Error"] for row in _rows(bulk.get_failed_records(deleted["job_id"])))
        counts = [
            (each["numberRecordsProcessed"], each["numberRecordsFailed"])
            for each in (inserted, updated, upserted, deleted)
        ]
        names = sorted(row["Name"] for row in salesforce.query("SELECT Name FROM Account")["records"])
        left = bulk.get_unprocessed_records(deleted["job_id"])
        return [counts, created, error.partition(":")[0], names, left]

    assert await asyncio.to_thread(work) == [
        [(5, 0), (5, 0), (2, 0), (2, 1)],
        ["false", "true"],
        "ENTITY_IS_DELETED",
        ["A1", "A2", "A3", "B4", "B5"],
        '"Id"\n',
    ]
    kinds = [
        orjson.loads(each.data)["payload"]["ChangeEventHeader"]["changeType"]
        for each in sandbox.bus.after("/data/AccountChangeEvent", 0)
    ]
    assert set(kinds) == {"CREATE", "UPDATE", "DELETE"}


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))
