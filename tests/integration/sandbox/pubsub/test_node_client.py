"""An independent client, salesforce-pubsub-api-client for Node.js, works unchanged against the sandbox."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamer.clock import TurnedClock
from streamer.sandbox import OrgSetup, Sandbox, SandboxSettings, parse_schema
from streamer.sandbox.certificates import Certificates, certificates
from tests.waiting import awaited, limited
from tools.npm import installed

# Its Avro library needs underscore, and does not say so.
PACKAGES = ("salesforce-pubsub-api-client@5.5.2", "underscore@1.13.7")
ACCOUNTS = "/data/AccountChangeEvent"
ORDERS = "/event/Order_Placed__e"
SCHEMA = {
    "events": {
        "Order_Placed__e": {
            "fields": {"Order_No__c": {"type": "string", "required": True}, "Amount__c": "double"}
        }
    }
}
# Prints a line of JSON for everything that the client tells, and carries out a line of JSON at a time.
SCRIPT = """
const {default: PubSubApiClient} = require('salesforce-pubsub-api-client');
const {SANDBOX, PUBSUB} = process.env;
const big = (key, value) => typeof value === 'bigint' ? value.toString() : value;
const say = told => console.log(JSON.stringify(told, big));
const quiet = {debug() {}, info() {}, warn() {}, error() {}};
(async () => {
  const client = new PubSubApiClient({
    authType: 'oauth-client-credentials', loginUrl: SANDBOX, clientId: 'sandbox',
    clientSecret: 'sandbox-secret', pubSubEndpoint: PUBSUB, rejectUnauthorizedSsl: false,
  }, quiet);
  await client.connect();
  const hear = (subscription, kind, data) => say({kind, data: data && data.message ? data.message : data});
  const commands = {
    earliest: ({topic, count}) => client.subscribeFromEarliestEvent(topic, hear, count),
    replay: ({topic, count, id}) => client.subscribeFromReplayId(topic, hear, count, id),
    latest: ({topic, count}) => client.subscribe(topic, hear, count),
    publish: async ({topic, payload}) => say({kind: 'published', data: await client.publish(topic, payload)}),
    batch: ({topic, events}) => client.publishBatch(topic, events, (info, kind, data) => say({kind, data})),
  };
  say({kind: 'connected'});
  for await (const line of require('readline').createInterface({input: process.stdin})) {
    const {command, ...rest} = JSON.parse(line);
    await commands[command](rest);
  }
  client.close();
  process.exit(0);
})();
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeClient:
    """A process in which the client runs."""

    sandbox: Sandbox
    process: asyncio.subprocess.Process

    async def do(self, command: str, topic: str, **more: Any) -> None:
        """Let the client carry out a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(orjson.dumps({"command": command, "topic": topic, **more}) + b"\n")
        await self.process.stdin.drain()

    async def told(self, kind: str) -> Any:
        """Return the client's next message of that kind."""
        assert self.process.stdout is not None
        async with limited(kind):
            while line := await self.process.stdout.readline():
                told = orjson.loads(line)
                if told["kind"] == kind:
                    return told.get("data")
        raise AssertionError("the client has ended")

    async def events(self, count: int) -> list[Any]:
        """Return the next events."""
        return [await self.told("event") for _ in range(count)]


@asynccontextmanager
async def running(files: Certificates) -> AsyncIterator[NodeClient]:
    """Run the client against an empty org over TLS, logged in with client credentials."""
    modules = await asyncio.to_thread(installed, *PACKAGES)
    settings = SandboxSettings(org=OrgSetup(schema=parse_schema(SCHEMA)), tls=files)
    async with Sandbox(TurnedClock(), pubsub_port=0, settings=settings) as sandbox:
        environment = {
            **os.environ,
            "NODE_PATH": str(modules),
            "NODE_EXTRA_CA_CERTS": str(files.authority),
            "SANDBOX": sandbox.url,
            "PUBSUB": sandbox.pubsub_address,
        }
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            "node", "-e", SCRIPT, env=environment, stdin=pipe, stdout=pipe, limit=10_000_000
        )
        client = NodeClient(sandbox=sandbox, process=process)
        try:
            await client.told("connected")
            yield client
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await awaited(process.wait())


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[NodeClient]:
    """The client, connected to an empty org."""
    async with running(certificates(tmp_path, ())) as client:
        yield client


async def test_it_decodes_changes(node: NodeClient) -> None:
    """With the names of the fields that changed, components of compound fields among them."""
    with node.sandbox.org.transaction() as transaction:
        account = transaction.create("Account", {"Name": "Acme", "Phone": "1", "BillingCity": "Oslo"})
    await node.do("earliest", ACCOUNTS, count=5)
    (created,) = await node.events(1)
    address = created["payload"]["BillingAddress"]
    assert (created["payload"]["Name"], address["City"]) == ("Acme", "Oslo")
    with node.sandbox.org.transaction() as transaction:
        transaction.update("Account", account, {"Phone": None, "BillingCity": "Bergen", "Industry": "Energy"})
    (updated,) = await node.events(1)
    header = updated["payload"]["ChangeEventHeader"]
    assert set(header["changedFields"]) == {"Phone", "Industry", "LastModifiedDate", "BillingAddress.City"}
    assert (header["nulledFields"], header["changeType"], header["recordIds"]) == (
        ["Phone"],
        "UPDATE",
        [account],
    )
    assert updated["replayId"] > created["replayId"]


async def test_it_resumes_behind_a_replay_id(node: NodeClient) -> None:
    """And hears of its last event."""
    for number in range(3):
        with node.sandbox.org.transaction() as transaction:
            transaction.create("Account", {"Name": str(number)})
    await node.do("earliest", ACCOUNTS, count=1)
    (first,) = await node.events(1)
    await node.told("lastEvent")
    # The client keeps its stream of a topic; another channel carries the same.
    await node.do("replay", "/data/ChangeEvents", count=2, id=first["replayId"])
    assert [each["payload"]["Name"] for each in await node.events(2)] == ["1", "2"]


async def test_it_drains_a_backlog(node: NodeClient) -> None:
    """Asking for more whenever it has had what it asked for."""
    for number in range(1_000):
        with node.sandbox.org.transaction() as transaction:
            transaction.create("Account", {"Name": str(number)})
    await node.do("earliest", ACCOUNTS)
    assert [each["payload"]["Name"] for each in await node.events(1_000)] == [
        str(number) for number in range(1_000)
    ]


async def test_it_publishes(node: NodeClient) -> None:
    """One event, and several in a stream; and receives them."""
    payload = {"CreatedDate": 1_735_689_600_000, "CreatedById": "005Sb0000000001IAA", "Order_No__c": "A-17"}
    await node.do("publish", ORDERS, payload={**payload, "Amount__c": {"double": 12.5}})
    result = await node.told("published")
    assert result["replayId"] == node.sandbox.bus.newest_replay_id(ORDERS)
    more = [{"id": str(number), "payload": {**payload, "Amount__c": None}} for number in range(2)]
    await node.do("batch", ORDERS, events=more)
    response = await node.told("publishResponse")
    assert [each["correlationKey"] for each in response["results"]] == ["0", "1"]
    await node.do("earliest", ORDERS, count=3)
    received = [each["payload"] for each in await node.events(3)]
    assert [each["Amount__c"] for each in received] == [12.5, None, None]
    assert received[0] == {**payload, "Amount__c": 12.5}


async def test_it_hears_of_errors(node: NodeClient) -> None:
    """Of a stream that ends for its token, and of a topic that does not exist."""
    await node.do("latest", ACCOUNTS, count=5)
    await node.do("latest", "/event/Nope", count=5)
    assert "NOT_FOUND" in str(await node.told("error"))
    node.sandbox.tokens.revoke_all()
    assert "UNAUTHENTICATED" in str(await node.told("error"))
