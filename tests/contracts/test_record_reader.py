"""Contracts of `RecordReader` and `Describer`, for the twin and the REST API."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import aiohttp
import pytest

from streamer.clock import TurnedClock
from streamer.errors import RecordsRefused
from streamer.ports import Describer, RecordReader
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.memory import MemoryRecords
from streamer.salesforce.records import RestRecords
from streamer.salesforce.rest import Rest
from streamer.sandbox.server import Sandbox
from tests.streaming import org_at

_CITY = {"name": "BillingCity", "type": "string", "compoundFieldName": "BillingAddress"}


class Org(Protocol):
    """An org with records, and a reader of them."""

    @property
    def reader(self) -> RecordReader:
        """The reader."""
        ...

    @property
    def describer(self) -> Describer:
        """Describer of the org's entities."""
        ...

    def create(self, **fields: str) -> str:
        """Create an account, and return its id."""
        ...

    def delete(self, record_id: str) -> None:
        """Delete an account."""
        ...


class Twin:
    """The twin in memory."""

    def __init__(self) -> None:
        """Hold no record."""
        describe = {
            "name": "Account",
            "fields": [{"name": "Id", "type": "id", "compoundFieldName": None}, _CITY],
        }
        self.reader = self.describer = MemoryRecords({"Account": {}}, {"Account": describe})

    def create(self, **fields: str) -> str:
        """Hold one more."""
        accounts = self.reader.records["Account"]
        record_id = f"001{len(accounts):015d}"
        accounts[record_id] = dict(fields)
        return record_id

    def delete(self, record_id: str) -> None:
        """Hold one less."""
        del self.reader.records["Account"][record_id]


class Sandboxed:
    """The sandbox's org."""

    def __init__(self, sandbox: Sandbox, reader: RestRecords) -> None:
        """Read it over its REST API."""
        self._sandbox = sandbox
        self.reader = self.describer = reader

    def create(self, **fields: str) -> str:
        """Create a record in a transaction of its own."""
        with self._sandbox.org.transaction() as transaction:
            return transaction.create("Account", fields)

    def delete(self, record_id: str) -> None:
        """Delete a record in a transaction of its own."""
        with self._sandbox.org.transaction() as transaction:
            transaction.delete("Account", record_id)


@pytest.fixture(params=["twin", "rest"])
async def org(request: pytest.FixtureRequest) -> AsyncIterator[Org]:
    """Each org in turn."""
    if request.param == "twin":
        yield Twin()
        return
    clock = TurnedClock()
    async with Sandbox(clock) as sandbox, aiohttp.ClientSession() as http:
        tokens = Tokens(http, org_at(sandbox.url), clock)
        yield Sandboxed(sandbox, RestRecords(Rest(http, tokens, clock)))


async def read(org: Org, *ids: str) -> Mapping[str, object]:
    """Return two fields of accounts."""
    return await org.reader.read("Account", ids, ["Name", "Description"])


async def test_records_come_by_their_ids_with_the_fields(org: Org) -> None:
    """No other field comes, and the order of the ids does not matter."""
    one = org.create(Name="One", Description="text", Industry="Energy")
    two = org.create(Name="Two", Description="more")

    assert await read(org, two, one) == {
        one: {"Name": "One", "Description": "text"},
        two: {"Name": "Two", "Description": "more"},
    }


async def test_missing_and_deleted_records_are_left_out(org: Org) -> None:
    """The others come all the same."""
    one, two = org.create(Name="One", Description="1"), org.create(Name="Two", Description="2")
    org.delete(one)

    assert list(await read(org, one, "001000000000ZZZAAA", two)) == [two]


async def test_share_of_the_requests_is_one_or_unknown_at_first(org: Org) -> None:
    """A reader that can't know it does not guess."""
    await read(org, org.create(Name="One", Description="1"))

    assert org.reader.requests_left is None or 0.99 < org.reader.requests_left < 1.0


async def test_describe_names_the_fields_with_their_types_and_compound_fields(org: Org) -> None:
    """A record's fields are known before the first is read."""
    describe = await org.describer.describe("Account")

    assert describe["name"] == "Account"
    city = next(field for field in describe["fields"] if field["name"] == "BillingCity")
    assert {name: city[name] for name in _CITY} == _CITY


async def test_describe_of_no_entity_is_refused(org: Org) -> None:
    """With Salesforce's code."""
    with pytest.raises(RecordsRefused) as raised:
        await org.describer.describe("Acount")

    assert raised.value.code == "NOT_FOUND"
