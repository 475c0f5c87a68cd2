"""Our own plugins keep the plugin contract."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from streamer.testing import HttpSubscriberContract, Reply, SubscriberContract
from subscribers import stdout
from subscribers.erp import Erp
from subscribers.file import File
from subscribers.fulfillment import Fulfillment
from subscribers.mqtt import Mqtt
from subscribers.slack import Slack
from subscribers.stdout import Stdout
from subscribers.webhook import Webhook
from tools.mosquitto import Mosquitto
from tools.ports import free_ports


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


class TestWebhook(HttpSubscriberContract):
    """Any target, which gets a CloudEvent."""

    plugin = Webhook

    def settings(self, address: str) -> dict[str, Any]:
        """Return the settings for a target at `address`."""
        return {
            "url": f"{address}/hook/{{id}}",
            "headers": {"X-Key": "hunter22"},
            "auth": {"kind": "basic", "username": "u", "password": "hunter23"},
            "content_mode": "structured",
        }


class TestMqtt(SubscriberContract):
    """A real broker."""

    plugin = Mqtt
    nowhere = f"mqtt://localhost:{free_ports(1)[0]}"

    def settings(self, address: str) -> dict[str, Any]:
        """Return the settings for a broker at `address`."""
        return {"url": address, "topic": "{type}/{id}", "username": "u", "password": "hunter22"}

    @asynccontextmanager
    async def target(self) -> AsyncIterator[str]:
        """Run a broker that lets everybody in."""
        with TemporaryDirectory() as folder, Mosquitto(Path(folder)) as broker:
            yield f"mqtt://localhost:{broker.port}"


class TestFile(SubscriberContract):
    """A folder on a disk."""

    plugin = File
    nowhere = "/dev/null/nowhere"

    def settings(self, address: str) -> dict[str, Any]:
        """Return the settings for a file in `address`."""
        return {"path": f"{address}/%Y/{{type}}.jsonl"}

    @asynccontextmanager
    async def target(self) -> AsyncIterator[str]:
        """Make a folder."""
        with TemporaryDirectory() as folder:
            yield folder


class TestStdout(SubscriberContract):
    """The stdout target, writing to a file instead."""

    plugin = Stdout
    nowhere = "unused"

    @pytest.fixture(autouse=True)
    def _without_a_reader(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Close the standard output, except where a target opens it."""
        monkeypatch.setattr(stdout, "_STDOUT", -1)
        monkeypatch.setattr(Stdout, "_output", stdout._Output())
        self._patch = monkeypatch

    def settings(self, _address: str) -> dict[str, Any]:
        """Return the settings, which know no address."""
        return {"format": "structured"}

    @asynccontextmanager
    async def target(self) -> AsyncIterator[str]:
        """Open a file for it."""
        with TemporaryDirectory() as folder, (Path(folder) / "out").open("wb") as file:
            self._patch.setattr(stdout, "_STDOUT", file.fileno())
            yield folder
            self._patch.setattr(stdout, "_STDOUT", -1)
