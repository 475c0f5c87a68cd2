"""The Salesforce plugin holds the contract of every plugin, with the sandbox as its target."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from streamer.clock import SystemClock
from streamer.events import Delivery, JsonObject
from streamer.sandbox import OrgSetup, Sandbox, SandboxSettings, parse_schema
from streamer.testing import SubscriberContract, a_delivery, an_event
from subscribers.salesforce import Salesforce

NUMBER = {"type": "string", "external_id": True}
SCHEMA = {
    "objects": {"Invoice__c": {"fields": {"Number__c": NUMBER, "Amount__c": "double"}}},
    "events": {"Order_Placed__e": {"fields": {"Amount__c": "double"}}},
}


class _Contract(SubscriberContract):
    """One operation in an org of its own."""

    plugin = Salesforce
    # Two ports on which nothing listens.
    nowhere = "http://localhost:9 localhost:9"
    operation: Mapping[str, Any]

    def settings(self, address: str) -> Mapping[str, Any]:
        """Return the settings for the org at `address`: that of its login, and that of its Pub/Sub API."""
        url, _, pubsub = address.partition(" ")
        auth = {"flow": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox-secret"}
        org = {"login_url": url, "auth": auth, "pubsub": {"endpoint": f"http://{pubsub}"}, "proxy": "direct"}
        return {**self.operation, "org": org, "timeout_s": 20}

    @asynccontextmanager
    async def target(self) -> AsyncIterator[str]:
        """Run an org."""
        settings = SandboxSettings(org=OrgSetup(schema=parse_schema(SCHEMA)))
        async with Sandbox(SystemClock(), pubsub_port=0, settings=settings) as sandbox:
            sandbox.apex.rest("POST", "/orders/*", lambda call: call.arguments)
            yield f"{sandbox.url} {sandbox.pubsub_address}"

    def delivery(self, number: int) -> Delivery:
        """Return the delivery of an order or an invoice, with its fields as its body."""
        return a_delivery(an_event(number, subject=f"801{number:012d}AAA"), body=self.body(number))

    def body(self, number: int) -> JsonObject:
        """Return the body of a delivery."""
        return {"Amount__c": number}


class TestOverPubSub(_Contract):
    """A platform event, over the Pub/Sub API."""

    operation: Mapping[str, Any] = {"event": "Order_Placed__e"}


class TestOverRest(_Contract):
    """A platform event, over REST."""

    operation: Mapping[str, Any] = {"event": "Order_Placed__e", "transport": "rest"}


class TestRecords(_Contract):
    """Records that are written by an external id."""

    operation: Mapping[str, Any] = {"upsert": {"sobject": "Invoice__c", "external_id": "Number__c"}}

    def body(self, number: int) -> JsonObject:
        """Return an invoice."""
        return {"Number__c": f"INV-{number}", "Amount__c": number}


class TestMethod(_Contract):
    """An Apex method."""

    operation: Mapping[str, Any] = {"call": {"rest": "/orders/{number}"}}

    def body(self, number: int) -> JsonObject:
        """Return the arguments."""
        return {"number": number, "amount": 1}
