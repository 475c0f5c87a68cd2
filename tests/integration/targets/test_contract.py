"""Our own plugins keep the plugin contract."""

from typing import Any

from streamer.testing import HttpSubscriberContract, Reply
from subscribers.erp import Erp
from subscribers.fulfillment import Fulfillment
from subscribers.slack import Slack


class TestErp(HttpSubscriberContract):
    """An ERP that requires a fixed token."""

    plugin = Erp

    def settings(self, address: str) -> dict[str, Any]:
        """Return the settings for an ERP at `address`."""
        return {"url": f"{address}/api/invoices", "auth": {"kind": "bearer", "token": "hunter22"}}


class TestErpWithOAuth(HttpSubscriberContract):
    """An ERP that requires a token of its own, and signatures."""

    plugin = Erp
    aside = {"/token": Reply(body=b'{"access_token": "hunter23", "expires_in": 3600}')}  # noqa: RUF012 - never changed

    def settings(self, address: str) -> dict[str, Any]:
        """Return the settings for an ERP at `address`."""
        auth = {
            "kind": "oauth2",
            "token_url": f"{address}/token",
            "client_id": "streamer",
            "client_secret": "hunter22",
        }
        signing = {"secrets": ["whsec_" + "c2lnbmluZy1zZWNyZXQtb2YtMzItYnl0ZXMtbG9uZw=="]}
        return {"url": f"{address}/api/invoices", "method": "POST", "auth": auth, "signing": signing}


class TestErpOverSoap(HttpSubscriberContract):
    """A SOAP service that requires a user."""

    plugin = Erp
    accepted = Reply(
        headers={"Content-Type": "text/xml"},
        body=b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body/></s:Envelope>',
    )

    def settings(self, address: str) -> dict[str, Any]:
        """Return the settings for a service at `address`."""
        security = {"username": "streamer", "password": "hunter22", "timestamp_s": 60}
        return {"url": f"{address}/soap", "soap": {"operation": "Create", "security": security}}


class TestFulfillment(HttpSubscriberContract):
    """A fulfilment service that requires a key."""

    plugin = Fulfillment

    def settings(self, address: str) -> dict[str, Any]:
        """Return the settings for a service at `address`."""
        return {"url": address, "auth": {"kind": "api_key", "key": "hunter22"}}


class TestSlackApp(HttpSubscriberContract):
    """Slack's Web API."""

    plugin = Slack

    def settings(self, address: str) -> dict[str, Any]:
        """Return the settings for a workspace at `address`."""
        return {"token": "hunter22", "channel": "#sales", "api_url": address, "interval_s": 0}


class TestSlackWebhook(HttpSubscriberContract):
    """Slack's incoming webhook, whose address is the secret."""

    plugin = Slack
    accepted = Reply(body=b"ok")
    secrets = ("hunter22",)

    def settings(self, address: str) -> dict[str, Any]:
        """Return the settings for a webhook at `address`."""
        return {"webhook_url": f"{address}/services/T0/B0/hunter22", "interval_s": 0}
