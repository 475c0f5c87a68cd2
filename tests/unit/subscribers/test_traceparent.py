"""Targets get the trace of an attempt in the form of their protocol, if there is a trace."""

from dataclasses import replace
from typing import Any

import pytest

from streamer.clock import TurnedClock
from subscribers.erp import Erp
from subscribers.fulfillment import Fulfillment
from subscribers.http import Request
from subscribers.kafka.records import Record, Records
from subscribers.kafka.settings import KafkaSettings
from subscribers.mqtt import Mqtt
from subscribers.slack import Slack
from subscribers.webhook import Webhook
from tests.deliveries import context, delivery

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SETTINGS: list[tuple[Any, dict[str, Any]]] = [
    (Webhook, {"url": "https://a.example/x"}),
    (Erp, {"url": "https://a.example/x", "external_id": "subject", "auth": {"kind": "none"}}),
    (Erp, {"url": "https://a.example/x", "method": "POST", "auth": {"kind": "none"}}),
    (Fulfillment, {"url": "https://a.example/x", "order": "subject", "auth": {"kind": "none"}}),
    (Slack, {"webhook_url": "https://hooks.slack.com/services/T0/B0/x"}),
]


@pytest.mark.parametrize(("plugin", "settings"), SETTINGS)
@pytest.mark.parametrize("parent", [None, TRACEPARENT])
def test_request_has_it_as_a_header(plugin: Any, settings: dict[str, Any], parent: str | None) -> None:
    """Beside the headers of the target."""
    made = plugin(plugin.Settings.model_validate(settings), context(TurnedClock()))
    request = made.request(replace(delivery(text="Won"), traceparent=parent))

    assert isinstance(request, Request), request
    preview = made._http.preview(request)
    assert preview.headers.get("traceparent") == parent


@pytest.mark.parametrize("parent", [None, TRACEPARENT])
def test_record_has_it_as_a_header(parent: str | None) -> None:
    """As instrumented consumers look for it."""
    settings = KafkaSettings.model_validate({"bootstrap_servers": "localhost:9092", "topic": "copy"})
    record = Records(settings).of(replace(delivery(), traceparent=parent))

    assert isinstance(record, Record), record
    assert record.headers.get("traceparent") == (parent and parent.encode())


@pytest.mark.parametrize("parent", [None, TRACEPARENT])
def test_message_has_it_as_a_user_property(parent: str | None) -> None:
    """Of MQTT 5."""
    settings = Mqtt.Settings.model_validate({"url": "mqtt://localhost", "topic": "copy"})
    preview: Any = Mqtt(settings, context(TurnedClock())).preview(replace(delivery(), traceparent=parent))

    assert preview.headers.get("traceparent") == parent
