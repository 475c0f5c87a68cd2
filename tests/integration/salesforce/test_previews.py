"""The preview of a subscriber that writes into an org equals the request that the org gets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import orjson
import pytest

from streamer.clock import SystemClock, TurnedClock
from streamer.events import Delivered, Reject, Skip
from streamer.ports import Preview
from streamer.salesforce.auth.flows import Logins
from streamer.salesforce.publish.access import OrgAccess
from streamer.sandbox import OrgSetup, Sandbox, SandboxSettings, parse_schema
from streamer.settings import OrgSettings as Org
from subscribers.salesforce import Salesforce
from tests.deliveries import context, delivery
from tests.forward_proxy import Asked, ForwardProxy
from tests.unit.subscribers.salesforce.orgs import change

CLIENT = "acme-bus"
EVENT = "Order_Placed__e"
SCHEMA = {
    "objects": {"Invoice__c": {"fields": {"Number__c": {"type": "string", "external_id": True}}}},
    "events": {EVENT: {"fields": {"Amount__c": "double", "Note__c": "string"}}},
}
SECRET = "sandbox-secret"
BODY = {"Id": "a/ü b", "amount": Decimal("12.50"), "late": False, "who": "A&B <c>", "none": None}
# The client adds these to any request.
OF_HTTP = {"host", "accept", "accept-encoding", "user-agent", "content-length"}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """An org, and a proxy through which it is reached."""

    sandbox: Sandbox
    proxy: ForwardProxy

    def plugin(self, **operation: Any) -> Salesforce:
        """Return the plugin of a daemon that reads the org."""
        access = OrgAccess(
            settings=Org.model_validate(
                {
                    "login_url": self.sandbox.url,
                    "auth": {"flow": "client_credentials", "client_id": "sandbox", "client_secret": SECRET},
                    "client_name": CLIENT,
                    # The proxy forwards to one port, which is not that of the Pub/Sub API.
                    "proxy": "direct" if operation == {"event": EVENT} else f"http://{self.proxy.address}",
                    "pubsub": {"endpoint": f"http://{self.sandbox.pubsub_address}"},
                }
            ),
            clock=SystemClock(),
            logins=Logins(SystemClock()),
        )
        given = replace(context(SystemClock()), org=access)
        return Salesforce(Salesforce.Settings.model_validate(operation), given)


@asynccontextmanager
async def opened() -> AsyncIterator[World]:
    """Run an org with an account and some methods."""
    settings = SandboxSettings(org=OrgSetup(schema=parse_schema(SCHEMA)))
    async with Sandbox(SystemClock(), pubsub_port=0, settings=settings) as sandbox:
        port = int(sandbox.url.rpartition(":")[2])
        for method in ("GET", "DELETE", "POST"):
            sandbox.apex.rest(method, "/invoices/*", lambda _: {"number": "7"})
        sandbox.apex.soap("acme/Invoices", "confirm", lambda _: {"number": "7"})
        async with ForwardProxy(server_port=port) as proxy:
            yield World(sandbox=sandbox, proxy=proxy)


def shown_as(sent: Asked, world: World) -> Preview:
    """Return the preview that shows what was `sent`; only the session is a secret."""
    session = sent.headers["authorization"].removeprefix("Bearer ")
    assert world.sandbox.tokens.session(session) is not None
    path = sent.address.removeprefix(world.sandbox.url)
    headers = {name: value for name, value in sent.headers.items() if name not in OF_HTTP}
    return Preview(
        request=f"{sent.method} {path}, in {world.sandbox.url}",
        headers={**headers, "authorization": "Bearer ***"},
        content=sent.body.replace(session.encode(), b"***"),
    )


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ({"update": "Account"}, {"Id": "{account}", "Phone": "+49 1"}),
        ({"delete": "Account"}, {"Id": "{account}"}),
        ({"create": "Account"}, {"Name": "Ünal & Sons", "AnnualRevenue": Decimal("12.50")}),
        ({"upsert": {"sobject": "Invoice__c", "external_id": "Number__c"}}, {"Number__c": "I-1"}),
        ({"create": "Invoice__c", "id_field": "Number__c"}, {"Name": "by its key"}),
        ({"event": EVENT, "transport": "rest"}, {"Amount__c": 12.5, "Note__c": "@{none}"}),
        ({"call": {"rest": "/invoices/{Id}"}}, BODY),
        ({"call": {"rest": "/invoices/{Id}", "method": "GET"}}, BODY),
        ({"call": {"rest": "/invoices/{Id}", "method": "DELETE"}}, BODY),
        ({"call": {"rest": "/invoices/{Id}", "wait": False}, "id_field": "key"}, BODY),
        ({"call": {"soap": "acme/Invoices", "method": "confirm"}}, BODY),
    ],
)
async def test_preview_is_what_the_org_gets(operation: dict[str, Any], body: dict[str, Any]) -> None:
    """To the last byte and header, save for the session and what any HTTP client adds."""
    async with opened() as world:
        with world.sandbox.org.transaction() as transaction:
            account = transaction.create("Account", {"Name": "Acme"})
        given = delivery(body={**body, **({"Id": account} if body.get("Id") == "{account}" else {})})
        plugin = world.plugin(**operation)
        preview = plugin.preview(given)
        async with plugin:
            outcome = await plugin.deliver(given)
        [_, sent] = world.proxy.asked

    assert isinstance(outcome, Delivered)
    assert isinstance(preview, Preview)
    lowered = {name.lower(): value for name, value in preview.headers.items()}
    assert replace(preview, headers=lowered) == shown_as(sent, world)


async def test_preview_of_an_event_over_pubsub_is_what_its_consumers_get() -> None:
    """With its id; what the plugin adds is the time and the user."""
    async with opened() as world:
        plugin = world.plugin(event=EVENT)
        given = delivery(body={"Amount__c": 12.5, "Note__c": "ü"})
        preview = plugin.preview(given)
        async with plugin:
            assert isinstance(await plugin.deliver(given), Delivered)
        [published] = world.sandbox.bus.after(f"/event/{EVENT}", 0)

    assert isinstance(preview, Preview)
    message = orjson.loads(published.data)
    fields = {name: value for name, value in message["payload"].items() if not name.startswith("Created")}
    assert orjson.loads(preview.content) == fields
    assert preview.headers == {"accesstoken": "***", "EventUuid": message["event"]["EventUuid"]}
    assert preview.request == (
        f"publish /event/{EVENT} over the Pub/Sub API, in Avro, to {world.sandbox.url}"
    )


@pytest.mark.parametrize(
    "operation",
    [
        {"create": "Account"},
        {"event": EVENT},
        {"event": EVENT, "transport": "rest"},
        {"call": {"rest": "/invoices"}},
        {"call": {"soap": "Invoices", "method": "confirm"}},
    ],
)
async def test_preview_of_what_can_not_be_sent_is_its_outcome(operation: dict[str, Any]) -> None:
    """The one that the delivery has."""
    given = delivery(body={"Amount__c": object()})
    async with opened() as world:
        plugin = world.plugin(**operation)
        preview = plugin.preview(given)
        async with plugin:
            outcome = await plugin.deliver(given)

    assert isinstance(preview, Reject)
    assert not preview.sent
    assert type(outcome) is type(preview)


def test_preview_of_an_own_change_says_that_nothing_is_sent() -> None:
    """Without a login, where the change tells the client."""
    settings = {
        "update": "Opportunity",
        "own_changes": "client",
        "org": {
            "login_url": "https://acme.my.salesforce.com",
            "auth": {"flow": "client_credentials", "client_id": "app", "client_secret": SECRET},
            "client_name": CLIENT,
        },
    }
    plugin = Salesforce(Salesforce.Settings.model_validate(settings), context(TurnedClock()))
    own = change(origin=f"com/salesforce/api/rest/64.0;client={CLIENT}")

    body = {"Id": own.subject, "Name": "x"}
    assert isinstance(plugin.preview(delivery(own, body=body)), Skip)
    assert isinstance(plugin.preview(delivery(change(), body=body)), Preview)
