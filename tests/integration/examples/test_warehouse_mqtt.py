"""Warehouse over MQTT: each order is picked once, and new devices know which products are sold."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamer.app.plan import plan
from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from tests.in_process import offer_plugins
from tests.integration.examples.running import Example
from tests.mqtt import Consumer, consuming
from tools.mosquitto import Mosquitto

EXAMPLE = Example(name="warehouse-mqtt.yaml")
PASSWORD = "hunter22"
_FIRST, _SECOND = "warehouse/orders/A%2F1", "warehouse/orders/A%2F2"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer the plugin, however the package was installed."""
    offer_plugins(monkeypatch, mqtt="subscribers.mqtt:Mqtt")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Run the warehouse's broker, at which only Streamer may write."""
    passwords, rights = tmp_path / "passwords", tmp_path / "rights"
    for user in ("streamer", "device"):
        new = [] if passwords.exists() else ["-c"]
        subprocess.run(["mosquitto_passwd", *new, "-b", passwords, user, PASSWORD], check=True)
    rights.write_text(
        "user streamer\ntopic write warehouse/#\n\nuser device\ntopic read warehouse/#\ntopic read #\n"
    )
    settings = ["allow_anonymous false", f"password_file {passwords}", f"acl_file {rights}"]
    with Mosquitto(tmp_path, *settings) as running:
        yield running


async def test_warehouse_gets_orders_and_products(tmp_path: Path, broker: Mosquitto) -> None:
    """Through a restart of the broker: a device misses nothing, and a new one knows what is sold."""
    device = {"username": "device", "password": PASSWORD}
    settings = {"MQTT_URL": f"mqtt://localhost:{broker.port}", "MQTT_PASSWORD": PASSWORD}
    async with Sandbox(SystemClock()) as sandbox, EXAMPLE.running(sandbox, tmp_path, **settings):
        org = sandbox.org
        with org.transaction() as transaction:
            lamp = transaction.create("Product2", {"Name": "Lamp", "IsActive": True})
            chair = transaction.create("Product2", {"Name": "Chair", "IsActive": True})
        async with consuming(broker.port, client_id="picker", **device) as picker:
            org.publish_platform_event("Order_Placed__e", {"Order_No__c": "A/1", "Amount__c": 12.5})
            await picker.until(lambda c: len(c.received) == 3)
        broker.stop()
        org.publish_platform_event("Order_Placed__e", {"Order_No__c": "A/2", "Express__c": True})
        for fields in ({"Name": "Lamp 2"}, {"IsActive": False}):
            with org.transaction() as transaction:
                transaction.update("Product2", lamp, fields)
        with org.transaction() as transaction:
            transaction.delete("Product2", chair)
        broker.start()
        async with consuming(broker.port, client_id="picker", **device) as again:
            await again.until(lambda c: latest(c, lamp) == b"false" and latest(c, chair) == b"")
            await again.until(lambda c: _SECOND in orders(c))
        async with consuming(broker.port, **device) as late:
            await late.until(lambda c: c.received)

    first = {_FIRST: {"order": "A/1", "amount": 12.5, "express": False}}
    assert orders(picker) == first
    # The broker can have missed the acknowledgement of the first order.
    assert first | orders(again) == first | {_SECOND: {"order": "A/2", "express": True}}
    assert [(each.topic, each.payload) for each in late.received] == [
        (f"warehouse/products/{lamp}/sold", b"false")
    ]


def orders(consumer: Consumer) -> dict[str, Any]:
    """Return the orders that a consumer got, by their topics."""
    return {each.topic: orjson.loads(each.payload) for each in consumer.received if "orders" in each.topic}


def latest(consumer: Consumer, product: str) -> bytes | None:
    """Return the last message that a consumer got of a product."""
    return next((each.payload for each in reversed(consumer.received) if product in each.topic), None)


def test_example_is_valid_as_it_stands() -> None:
    """And keeps the schema that its first line names."""
    environ = {
        "SF_LOGIN_URL": "https://acme.my.salesforce.com",
        "MQTT_URL": "mqtts://broker.acme.com:8883",
        "MQTT_PASSWORD": PASSWORD,
    }
    checked = plan(EXAMPLE.document(environ), SystemClock())

    assert set(checked.subscribers) == {"picking", "products"}
    assert EXAMPLE.schema_mistakes() == []
