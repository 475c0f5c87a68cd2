"""The webhook plugin: any event to any HTTP target."""

import time
from base64 import b64encode
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import orjson
import pytest
from cloudevents.v1.http import from_http
from pydantic import ValidationError
from standardwebhooks import Webhook as Receiver

from streamer.clock import TurnedClock
from streamer.events import Content, Delivered, Delivery, Outcome, Reject, Skip
from streamer.ports import Preview
from streamer.testing import Received, Reply, ScriptedTarget
from subscribers.webhook import Webhook
from tests.deliveries import ORDER, context, delivery, event

SECRET = "whsec_" + b64encode(b"s" * 32).decode()


async def exchanged(
    what: Delivery, *, reply: Reply | None = None, clock: TurnedClock | None = None, **settings: Any
) -> tuple[Outcome, list[Received]]:
    """Return the outcome of one delivery, and the requests that the target got."""
    async with ScriptedTarget(reply or Reply(body=b"")) as target:
        placed = {"url": "{target}/hook", **settings}
        placed["url"] = placed["url"].replace("{target}", target.url)
        read = Webhook.Settings.model_validate(placed)
        async with Webhook(read, context(clock or TurnedClock())) as plugin:
            return await plugin.deliver(what), list(target.requests)


async def sent(what: Delivery, **settings: Any) -> Received:
    """Return the request of one delivery, which the target has taken."""
    outcome, [request] = await exchanged(what, **settings)
    assert isinstance(outcome, Delivered)
    return request


@pytest.mark.parametrize("form", ["binary", "structured"])
async def test_another_library_reads_the_event(form: str) -> None:
    """Whatever its fields hold."""
    odd = event(subject='"ü %\n')
    request = await sent(delivery(odd, body={"total": 12.5}), content_mode=form)

    # The library leaves the quoting of the HTTP binding, section 3.1.3.2, to its user.
    headers = {name: unquote(value) for name, value in request.headers.items()}
    read = from_http(headers, request.body)
    assert (read["id"], read["subject"], read["type"]) == (odd.id, odd.subject, odd.type)
    assert read.data == {"total": 12.5}


async def test_body_is_the_whole_content() -> None:
    """A target that knows nothing of CloudEvents gets the shape that it wants."""
    request = await sent(delivery(body=[1, {"a": None}]), method="PUT")

    assert (request.method, request.path, request.body) == ("PUT", "/hook", b'[1,{"a":null}]')
    assert request.headers["Content-Type"] == "application/json"


async def test_content_is_sent_with_its_media_type() -> None:
    """A template makes XML, too."""
    xml = Content(data="<a>ü</a>".encode(), type="application/xml")
    request = await sent(replace(delivery(), content=xml), content_mode="plain")

    assert (request.body, request.headers["Content-Type"]) == (xml.data, "application/xml")
    assert not [name for name in request.headers if name.startswith("ce-")]


async def test_request_can_be_shown_before_it_is_sent() -> None:
    """With its headers, and without its secrets."""
    read = Webhook.Settings.model_validate(
        {"url": "https://e.com/{record_id}", "method": "GET", "headers": {"X-Key": "hunter22"}}
    )
    shown = Webhook(read, context(TurnedClock())).preview(delivery())

    assert isinstance(shown, Preview)
    assert shown.request == f"GET https://e.com/{ORDER}"
    assert shown.headers["X-Key"] == "***"
    assert shown.headers["ce-id"] == f"tx:1:{ORDER}"
    assert "Content-Length" not in shown.headers


async def test_address_names_the_record() -> None:
    """A value stays within its part of the address."""
    data = {"fields": {"City": "a/b?c&d=%2F #ü"}}
    request = await sent(
        delivery(event(data=data)),
        url="{target}/orders/{record_id}/{data.fields.City}?city={data.fields.City}&x=1",
    )

    assert request.path == (
        f"/orders/{ORDER}/a%2Fb%3Fc&d=%252F%20%23%C3%BC?city=a/b?c%26d%3D%252F%20%23%C3%BC&x=1"
    )


@pytest.mark.parametrize("method", ["DELETE", "GET"])
async def test_request_without_content_still_tells_of_the_event(method: str) -> None:
    """Its headers do."""
    request = await sent(delivery(), method=method)

    assert (request.method, request.body) == (method, b"")
    assert "Content-Type" not in request.headers
    assert request.headers["ce-type"] == "salesforce.cdc.Order.created"


async def test_signature_covers_the_content_in_any_form() -> None:
    """A receiver checks the bytes that it got."""
    clock = TurnedClock(time.time())
    request = await sent(
        delivery(),
        content_mode="structured",
        signing={"secrets": [SECRET]},
        clock=clock,
        headers={"X-Tenant": "a"},
    )

    assert Receiver(SECRET).verify(request.body, dict(request.headers)) == orjson.loads(request.body)
    assert request.headers["X-Tenant"] == "a"


async def test_header_that_comes_back_is_masked() -> None:
    """A value of a header can be a secret."""
    outcome, _ = await exchanged(
        delivery(), headers={"X-Key": "hunter22"}, reply=Reply(status=400, body=b"bad key hunter22")
    )

    assert isinstance(outcome, Reject)
    assert outcome.answer == "bad key ***"


@pytest.mark.parametrize(
    ("what", "settings", "kind"),
    [
        (delivery(body={}), {}, Skip),
        (delivery(body=2**70), {}, Reject),
        (delivery(event(subject=None)), {"url": "{target}/{record_id}"}, Reject),
    ],
)
async def test_event_that_makes_no_request_has_an_outcome(
    what: Delivery, settings: dict[str, Any], kind: type
) -> None:
    """The target is not asked."""
    outcome, requests = await exchanged(what, **settings)

    assert type(outcome) is kind
    assert not getattr(outcome, "sent", True)
    assert not requests


async def test_outcomes_say_what_a_status_means() -> None:
    """Any target is served."""
    outcome, _ = await exchanged(delivery(), reply=Reply(status=409), outcomes={409: "skip"})

    assert isinstance(outcome, Skip)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"url": "https://{entity}.e.com/"}, "url must name one host"),
        ({"url": "https://e.com/{city}"}, "{city} is not a placeholder"),
        ({"url": "http://e.com/{entity}"}, "url is plain http"),
        ({"headers": {"a b": "c"}}, "is not a valid name of a header"),
        (
            {"headers": {"Authorization": "hunter22"}},
            "Streamer itself sets the header Authorization: use auth",
        ),
        ({"headers": {"ce-id": "hunter22"}}, "Streamer itself sets the header ce-id"),
        ({"headers": {"X-A": "hunter22\n"}}, "headers.X-A contains a line feed"),
        ({"headers": {"X-A": "hunter22ü"}}, "headers.X-A must be ASCII"),
        ({"method": "HEAD"}, "'POST', 'PUT'"),
    ],
)
def test_mistake_is_a_clear_sentence(settings: dict[str, Any], sentence: str) -> None:
    """The sentence names the mistake and shows no secret."""
    with pytest.raises(ValidationError) as error:
        Webhook.Settings.model_validate({"url": "https://e.com", **settings})

    assert sentence in str(error.value)
    assert "hunter22" not in str(error.value)
