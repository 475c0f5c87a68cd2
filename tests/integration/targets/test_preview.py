"""A preview shows the request that a delivery sends, without its secrets."""

from typing import Any

import pytest

from streamer.clock import TurnedClock
from streamer.events import Content, Delivered, Delivery, Reject, Skip
from streamer.ports import Plugin, Preview
from streamer.testing import ScriptedTarget
from subscribers.erp import Erp
from subscribers.fulfillment import Fulfillment
from subscribers.http import RequestSubscriber
from subscribers.slack import Slack
from tests.deliveries import context, delivery, event

SECRET = "hunter2-hunter2-hunter2"
SIGNING = {"secrets": ["whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="]}
XML = Content(data="<a>ü</a>".encode(), type="text/xml; charset=utf-8")


def made(plugin: Plugin, settings: dict[str, Any]) -> RequestSubscriber:
    """Return a subscriber that is not opened yet."""
    subscriber = plugin(plugin.Settings.model_validate(settings), context(TurnedClock()))
    assert isinstance(subscriber, RequestSubscriber)
    return subscriber


def with_content(given: Delivery) -> Delivery:
    """Return `given` with an XML document."""
    return Delivery(event=given.event, key=given.key, attempt=1, content=XML)


@pytest.mark.parametrize(
    ("plugin", "given"),
    [
        (Erp, delivery(body={"amount": 1.5})),
        (Erp, delivery(key="a.b ü")),
        (Erp, with_content(delivery())),
        (Fulfillment, delivery(body={"amount": 1})),
        (Fulfillment, delivery(event("salesforce.cdc.Order.deleted"))),
        (Slack, delivery(text="<!here> won")),
    ],
)
async def test_preview_is_what_is_sent(plugin: Plugin, given: Delivery) -> None:
    """To the last header, where no secret is in it."""
    async with ScriptedTarget() as target:
        more: dict[str, Any] = {"url": f"{target.url}/api?client=7"}
        if plugin is Slack:
            more = {"token": SECRET, "channel": "C1", "api_url": target.url}
        subscriber = made(plugin, more)
        preview = subscriber.preview(given)
        async with subscriber:
            await subscriber.deliver(given)  # type: ignore[attr-defined] # each has it
        [sent] = target.requests

    assert isinstance(preview, Preview)
    assert preview.request == f"{sent.method} {target.url}{sent.path}"
    shown = {**preview.headers, "Authorization": sent.headers.get("Authorization", "")}
    assert {name: value for name, value in shown.items() if value} == dict(sent.headers)
    assert preview.content == sent.body


@pytest.mark.parametrize(
    ("auth", "shown"),
    [
        ({"kind": "api_key", "header": "X-Key", "key": SECRET}, ("X-Key", "***")),
        ({"kind": "basic", "username": "ann", "password": SECRET}, ("Authorization", "Basic ***")),
        ({"kind": "bearer", "token": SECRET}, ("Authorization", "Bearer ***")),
        (
            {
                "kind": "oauth2",
                "token_url": "https://erp.acme.com/token",
                "client_id": "app",
                "client_secret": SECRET,
            },
            ("Authorization", "Bearer ***"),
        ),
    ],
)
def test_preview_shows_no_secret(auth: dict[str, str], shown: tuple[str, str]) -> None:
    """Neither in a header nor in the address, nor where the event repeats it."""
    url = f"https://erp.acme.com/api?code={SECRET}"
    preview = made(Erp, {"url": url, "auth": auth, "signing": SIGNING}).preview(delivery(body={"a": SECRET}))

    assert isinstance(preview, Preview)
    assert shown in preview.headers.items()
    assert preview.headers["webhook-signature"] == "v1,***"
    assert SECRET not in repr(preview)
    assert preview.content == b'{"a":"***"}'


def test_preview_of_a_delivery_that_sends_nothing_is_its_outcome() -> None:
    """With the reason."""
    erp = made(Erp, {"url": "https://erp.acme.com/api"})

    assert isinstance(erp.preview(delivery(body={})), Skip)
    assert isinstance(erp.preview(delivery(body={"a": object()})), Reject)


async def test_content_is_sent_as_it_is_and_signed() -> None:
    """In the place of a body, with its type."""
    async with ScriptedTarget() as target:
        erp = made(Erp, {"url": target.url, "method": "POST", "signing": SIGNING})
        async with erp:
            outcome = await erp.deliver(with_content(delivery()))  # type: ignore[attr-defined] # it has it
        [sent] = target.requests

    assert isinstance(outcome, Delivered)
    assert (sent.body, sent.headers["Content-Type"]) == (XML.data, XML.type)
    assert sent.headers["Accept"] == "*/*"
    assert sent.headers["webhook-signature"].startswith("v1,")
