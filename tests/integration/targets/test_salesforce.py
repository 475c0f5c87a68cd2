"""The Salesforce plugin holds the contract of every plugin, with the sandbox as its target."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from streamer.clock import SystemClock
from streamer.events import Delivery
from streamer.sandbox import OrgSettings, Sandbox, SandboxSettings, parse_schema
from streamer.testing import SubscriberContract, a_delivery, an_event
from subscribers.salesforce import Salesforce

SCHEMA = {"events": {"Order_Placed__e": {"fields": {"Amount__c": "double"}}}}


class _Contract(SubscriberContract):
    """A platform event in an org of its own."""

    plugin = Salesforce
    # Two ports on which nothing listens.
    nowhere = "http://localhost:9 localhost:9"
    transport: str

    def settings(self, address: str) -> Mapping[str, Any]:
        """Return the settings for the org at `address`: that of its login, and that of its Pub/Sub API."""
        url, _, pubsub = address.partition(" ")
        auth = {"flow": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox-secret"}
        org = {"login_url": url, "auth": auth, "pubsub": {"endpoint": f"http://{pubsub}"}, "proxy": "direct"}
        return {"event": "Order_Placed__e", "transport": self.transport, "org": org, "timeout_s": 2}

    @asynccontextmanager
    async def target(self) -> AsyncIterator[str]:
        """Run an org."""
        settings = SandboxSettings(org=OrgSettings(schema=parse_schema(SCHEMA)))
        async with Sandbox(SystemClock(), pubsub_port=0, settings=settings) as sandbox:
            yield f"{sandbox.url} {sandbox.pubsub_address}"

    def delivery(self, number: int) -> Delivery:
        """Return the delivery of an order, with the fields of the event as its body."""
        return a_delivery(an_event(number, subject=f"801{number:012d}AAA"), body={"Amount__c": number})


class TestOverPubSub(_Contract):
    """Over the Pub/Sub API."""

    transport = "pubsub"


class TestOverRest(_Contract):
    """Over REST."""

    transport = "rest"
