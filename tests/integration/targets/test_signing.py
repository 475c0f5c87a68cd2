"""Signed requests, verified by the Standard Webhooks library for receivers."""

import time
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from streamer.clock import TurnedClock
from streamer.events import Delivered, Delivery, Outcome, Retry
from streamer.testing import Received, Reply, ScriptedTarget
from subscribers.erp import Erp
from tests.deliveries import context, delivery, event

OLD = "whsec_" + b64encode(b"o" * 24).decode()
# Some receivers hand out secrets without padding.
NEW = "whsec_" + b64encode(b"n" * 64).decode().rstrip("=")
OTHER = "whsec_" + b64encode(b"x" * 32).decode()


async def sent(
    *deliveries: Delivery, secrets: Sequence[str], clock: TurnedClock | None = None, **settings: Any
) -> list[Received]:
    """Return the requests of `deliveries`, one after the other, half a minute apart."""
    # The library compares the time-stamp with the machine's own clock.
    clock = clock or TurnedClock(time.time())
    async with ScriptedTarget() as target:
        defaults = {"url": target.url, "signing": {"secrets": secrets}}
        read = Erp.Settings.model_validate(defaults | settings)
        async with Erp(read, context(clock)) as plugin:
            for each in deliveries:
                assert isinstance(await plugin.deliver(each), Delivered)
                await clock.turn(30.0)
        return list(target.requests)


@pytest.mark.parametrize("key", ["tx:1:801000000000001AAA:erp", "a.b.c:erp", "a\r\nb ü 😀 %41:erp"])
async def test_receiver_takes_the_old_and_the_new_secret(key: str) -> None:
    """While a secret is replaced, a receiver with either one accepts the request, whatever the key holds."""
    body = {"amount": 12.5, "name": "Müller & Söhne 😀"}
    [request] = await sent(delivery(key=key, body=body), secrets=[NEW, OLD])

    for secret in (OLD, NEW):
        assert Webhook(secret).verify(request.body, dict(request.headers)) == body
    assert request.headers["webhook-id"] == request.headers["Idempotency-Key"]


@pytest.mark.parametrize("change", ["body", "webhook-id", "webhook-timestamp", "secret"])
async def test_receiver_refuses_what_was_changed(change: str) -> None:
    """Body, id and time are all signed, and an unknown secret proves nothing."""
    [request] = await sent(delivery(body={"amount": 1}), secrets=[NEW, OLD])
    headers = dict(request.headers)
    if change in headers:
        headers[change] = str(int(headers[change]) + 1) if change == "webhook-timestamp" else "tx:2"
    body = b'{"amount":2}' if change == "body" else request.body

    with pytest.raises(WebhookVerificationError, match="No matching signature found"):
        Webhook(OTHER if change == "secret" else OLD).verify(body, headers)


async def test_full_stop_in_a_key_can_not_move_what_is_signed() -> None:
    """The id ends at the first full stop, so no other id, time and body are signed alike."""
    [request] = await sent(delivery(key="a.1735689600.b:erp"), secrets=[OLD])

    assert request.headers["webhook-id"] == "a%2E1735689600%2Eb:erp"


async def test_each_attempt_is_signed_at_its_own_time() -> None:
    """A receiver refuses old time-stamps, so a retry a day later needs a new one, under the same id."""
    now = int(time.time()) - 30
    first, second = await sent(delivery(), delivery(), secrets=[OLD], clock=TurnedClock(now + 0.9))

    assert [int(request.headers["webhook-timestamp"]) for request in (first, second)] == [now, now + 30]
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    for request in (first, second):
        Webhook(OLD).verify(request.body, dict(request.headers))


async def test_request_after_a_renewed_token_is_signed_too() -> None:
    """The attempt that follows a 401 carries proof of both kinds."""
    aside = {"/token": Reply(body=b'{"access_token": "t", "expires_in": 60}')}
    async with ScriptedTarget(aside=aside) as target:
        target.then(Reply(status=401))
        auth = {
            "kind": "oauth2",
            "token_url": f"{target.url}/token",
            "client_id": "c",
            "client_secret": "s",
        }
        settings = {"url": target.url, "auth": auth, "signing": {"secrets": [OLD]}}
        async with Erp(Erp.Settings.model_validate(settings), context(TurnedClock(time.time()))) as plugin:
            assert isinstance(await plugin.deliver(delivery()), Delivered)

    assert len(target.requests) == 2
    Webhook(OLD).verify(target.requests[1].body, dict(target.requests[1].headers))


async def test_nothing_is_signed_unless_asked() -> None:
    """Without `signing` there is no signature, and no time-stamp."""
    [request] = await sent(delivery(), secrets=[OLD], signing=None)

    assert not {"webhook-signature", "webhook-timestamp"} & {name.lower() for name in request.headers}


@pytest.mark.parametrize("set_as", [NEW, NEW + "=="])
@pytest.mark.parametrize("form", [NEW, NEW.removeprefix("whsec_"), NEW + "=="])
async def test_secret_is_taken_out_of_answers(form: str, set_as: str) -> None:
    """A target that repeats its secret in an error page does not bring it into a dead letter."""
    async with ScriptedTarget(Reply(status=500, body=f"you signed with {form}!".encode())) as target:
        settings = Erp.Settings.model_validate({"url": target.url, "signing": {"secrets": [OLD, set_as]}})
        async with Erp(settings, context(TurnedClock())) as plugin:
            outcome: Outcome = await plugin.deliver(delivery(event()))

    assert isinstance(outcome, Retry)
    assert NEW.removeprefix("whsec_") not in repr(outcome)
    assert NEW.removeprefix("whsec_") not in repr(settings) + repr(vars(plugin)) + repr(vars(plugin._http))
    assert "***" in outcome.answer
