"""Effects and limits of a subscriber's `outcomes`."""

from typing import Any

import pytest

from streamer.clock import TurnedClock
from streamer.events import Delivered, Delivery, Hold, Outcome, Reject, Retry, Skip
from streamer.ports import Plugin
from streamer.testing import Reply, ScriptedTarget
from subscribers.erp import Erp
from subscribers.fulfillment import Fulfillment
from subscribers.slack import Slack
from tests.deliveries import context, delivery, event, opened

HTML = b"<html>No such page</html>"
CANCELLATION = delivery(event("salesforce.cdc.Order.deleted"))


async def answered(
    plugin: Plugin,
    reply: Reply,
    outcomes: dict[Any, str],
    of: Delivery | None = None,
    **settings: Any,
) -> Outcome:
    """Return the outcome of a delivery that the target answers with `reply`."""
    async with ScriptedTarget(reply) as target:
        placed = {
            name: value.format(url=target.url) if isinstance(value, str) else value
            for name, value in settings.items()
        }
        read = plugin.Settings.model_validate(placed | {"outcomes": outcomes})
        async with opened(plugin, read, context(TurnedClock())) as subscriber:
            return await subscriber.deliver(of or delivery())


@pytest.mark.parametrize("plugin", [Erp, Fulfillment])
@pytest.mark.parametrize(("key", "word", "kind"), [(404, "skip", Skip), ("4xx", "retry", Retry)])
async def test_subscriber_says_what_a_status_means(plugin: Plugin, key: Any, word: str, kind: type) -> None:
    """An ERP that answers 404 before a record has been replicated to it is asked again."""
    outcome = await answered(plugin, Reply(status=404), {key: word}, url="{url}")

    assert type(outcome) is kind


async def test_slack_takes_outcomes_as_well() -> None:
    """They cover answers that Slack has no error for, such as a proxy's page."""
    page = Reply(status=404, body=HTML)

    assert isinstance(await answered(Slack, page, {404: "hold"}, webhook_url="{url}/hook"), Hold)
    assert isinstance(await answered(Slack, page, {}, webhook_url="{url}/hook"), Reject)


async def test_slacks_own_words_come_first() -> None:
    """A webhook that was removed holds the target, whatever a 404 means otherwise."""
    gone = Reply(status=404, body=b"no_service")

    assert isinstance(await answered(Slack, gone, {404: "skip"}, webhook_url="{url}/hook"), Hold)


@pytest.mark.parametrize("word", ["reject", "retry", "disable"])
async def test_nothing_to_cancel_is_skipped_whatever_a_404_means(word: str) -> None:
    """The service's own answer to a cancellation counts more than its status."""
    unknown = Reply(status=404, body=b'{"error": "no_such_shipment"}')

    assert isinstance(await answered(Fulfillment, unknown, {404: word}, CANCELLATION, url="{url}"), Skip)


async def test_missing_page_means_what_the_subscriber_says_also_on_a_cancellation() -> None:
    """A 404 from another server than the service is a status like any other."""
    page = Reply(status=404, body=HTML)

    assert isinstance(await answered(Fulfillment, page, {404: "retry"}, CANCELLATION, url="{url}"), Retry)
    assert isinstance(await answered(Fulfillment, page, {}, CANCELLATION, url="{url}"), Reject)


@pytest.mark.parametrize("plugin", [Erp, Fulfillment])
@pytest.mark.parametrize(("status", "key"), [(200, 200), (200, "2xx"), (404, 404), (404, "4xx")])
async def test_what_is_called_delivered_is_believed(plugin: Plugin, status: int, key: Any) -> None:
    """An operator's `delivered` outweighs the suspicion of a login page."""
    outcome = await answered(plugin, Reply(status=status, body=HTML), {key: "delivered"}, url="{url}")

    assert outcome == Delivered()


async def test_credentials_are_renewed_before_a_refusal_means_anything() -> None:
    """A revoked token does not reject the event, though 401 usually rejects."""
    aside = {"/token": Reply(body=b'{"access_token": "t"}')}
    auth = {"kind": "oauth2", "client_id": "c", "client_secret": "secret"}
    async with ScriptedTarget(aside=aside) as target:
        target.then(Reply(status=401), Reply(), Reply(status=401), Reply(status=401))
        settings = {
            "url": target.url,
            "auth": auth | {"token_url": f"{target.url}/token"},
            "outcomes": {401: "reject"},
        }
        async with Erp(Erp.Settings.model_validate(settings), context(TurnedClock())) as plugin:
            outcomes = [await plugin.deliver(delivery(key=key)) for key in "ab"]

    assert [type(outcome) for outcome in outcomes] == [Delivered, Reject]


async def test_outcomes_are_not_about_the_token_endpoint() -> None:
    """Without a token nothing was sent, so no event can be rejected for it."""
    async with ScriptedTarget(aside={"/token": Reply(status=429, headers={"Retry-After": "33"})}) as target:
        auth = {
            "kind": "oauth2",
            "token_url": f"{target.url}/token",
            "client_id": "c",
            "client_secret": "secret",
        }
        settings = {"url": target.url, "auth": auth, "outcomes": {429: "reject"}}
        async with Erp(Erp.Settings.model_validate(settings), context(TurnedClock())) as plugin:
            outcome = await plugin.deliver(delivery())

    assert isinstance(outcome, Hold)
    assert outcome.after_s == 33.0


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b'{"access_token": "s3cret-token\\r\\n", "token_type": "Bearer"}'),
        (200, b'{"token": "s3cret-token"}'),
        (201, b'{"access_token": "s3cret-token"}'),
        (400, b'{"error": "s3cret-token"}'),
        (500, b"s3cret-token"),
    ],
)
async def test_answer_of_a_token_endpoint_is_never_shown(status: int, body: bytes) -> None:
    """It can hold a token that works, in a form that we don't expect."""
    async with ScriptedTarget(aside={"/token": Reply(status=status, body=body)}) as target:
        auth = {
            "kind": "oauth2",
            "token_url": f"{target.url}/token",
            "client_id": "c",
            "client_secret": "secret",
        }
        settings = Erp.Settings.model_validate({"url": target.url, "auth": auth})
        async with Erp(settings, context(TurnedClock())) as plugin:
            outcome = await plugin.deliver(delivery())

    assert isinstance(outcome, Hold)
    assert "s3cret" not in repr(outcome).replace("_", "-")


async def test_token_endpoint_that_is_not_there_holds_the_target(clock: TurnedClock) -> None:
    """There is no answer that could name a pause."""
    auth = {"kind": "oauth2", "token_url": "http://localhost:1", "client_id": "c", "client_secret": "secret"}
    settings = Erp.Settings.model_validate({"url": "http://localhost:1", "auth": auth})
    async with Erp(settings, context(clock)) as plugin:
        outcome = await plugin.deliver(delivery())

    assert isinstance(outcome, Hold)
    assert outcome.reason.startswith("Streamer got no access token: can't connect to localhost:1")
