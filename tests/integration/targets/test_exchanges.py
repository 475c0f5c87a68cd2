"""Outcomes of failed attempts contain the request and the head of the answer, without secrets."""

from hashlib import sha256
from typing import Any

import pytest

from streamer.clock import TurnedClock
from streamer.events import AttemptExchange, Hold, Outcome, Reject, Retry
from streamer.ports import Plugin
from streamer.testing import Reply, ScriptedTarget
from streamer.testing.scripted_target import Answering, Raw
from subscribers.erp import Erp
from subscribers.slack import Slack
from subscribers.webhook import Webhook
from tests.deliveries import ORDER, context, delivery

BODY = {"total": 1}
BUSY = Reply(
    status=503,
    body=b"busy",
    headers={"Retry-After": "30", "X-Request-Id": "r-1", "Set-Cookie": "session=hunter22"},
)


async def failed(plugin: Plugin, settings: dict[str, Any], reply: Answering) -> AttemptExchange:
    """Return the exchange of one failed delivery; `{target}` in the settings is the target's address."""
    async with ScriptedTarget(reply) as target:
        placed = {
            name: value.replace("{target}", target.url) if isinstance(value, str) else value
            for name, value in settings.items()
        }
        made: Any = plugin(plugin.Settings.model_validate(placed), context(TurnedClock()))
        async with made as opened:
            outcome: Outcome = await opened.deliver(delivery(body=BODY))
    assert isinstance(outcome, Retry | Hold | Reject)
    assert outcome.exchange is not None
    assert "hunter22" not in repr(outcome)
    host = target.url.removeprefix("http://")
    shown = outcome.exchange.request.replace(host, "target")
    return AttemptExchange(
        request=shown,
        size=outcome.exchange.size,
        digest=outcome.exchange.digest,
        status=outcome.exchange.status,
        headers=outcome.exchange.headers,
    )


async def test_request_and_answer_are_kept_without_secrets() -> None:
    """With the size and the digest of the content, and with the headers that help."""
    settings = {
        "url": "{target}/orders/{record_id}?code=hunter22",
        "content_mode": "plain",
        "auth": {"kind": "bearer", "token": "hunter22"},
    }
    exchange = await failed(Webhook, settings, BUSY)

    content = b'{"total":1}'
    assert exchange == AttemptExchange(
        request=f"POST http://target/orders/{ORDER}?code=***",
        size=len(content),
        digest=sha256(content).hexdigest()[:16],
        status=503,
        headers={
            "retry-after": "30",
            "content-type": exchange.headers["content-type"],
            "x-request-id": "r-1",
        },
    )


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/hooks/catch/1/hunter22", "/hooks/***"),
        ("/services/k3Jd83hf0Qm29sLw7Tz1hunter22", "/services/***"),
        ("/webhookb2/0a1b-hunter22@2c3d/IncomingWebhook/4e5f", "/webhookb2/***"),
        ("/hunter22/v2.1/accounts", "/***/v2.1/accounts"),
    ],
)
async def test_path_that_is_a_permission_is_not_kept(path: str, shown: str) -> None:
    """As the addresses of incoming webhooks are."""
    exchange = await failed(Webhook, {"url": f"{{target}}{path}"}, BUSY)

    assert exchange.request == f"POST http://target{shown}"


async def test_address_of_a_slack_webhook_is_not_kept() -> None:
    """Whatever Slack answers."""
    settings = {"webhook_url": "{target}/services/T0/B0/hunter22"}

    for reply in (BUSY, Reply(status=400, body=b"no_text"), Reply(body=b"odd")):
        assert (await failed(Slack, settings, reply)).request == "POST http://target/***"


async def test_fault_of_a_soap_service_has_its_request() -> None:
    """The digest is made without the password in the envelope."""
    security = {"username": "u", "password": "hunter22", "password_type": "text"}
    settings = {"url": "{target}/soap", "soap": {"operation": "Create", "security": security}}
    fault = b"<Envelope><Body><Fault><faultcode>Server</faultcode></Fault></Body></Envelope>"
    exchange = await failed(Erp, settings, Reply(status=500, body=fault))

    assert (exchange.request, exchange.status) == ("POST http://target/soap", 500)


async def test_request_without_an_answer_is_kept() -> None:
    """Nobody can say whether the target has taken it."""
    exchange = await failed(Webhook, {"url": "{target}/a"}, Raw())

    assert (exchange.request, exchange.status, dict(exchange.headers)) == ("POST http://target/a", None, {})
