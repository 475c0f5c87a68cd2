"""Messages in Slack."""

import asyncio
from typing import Any

import pytest

from streamer.clock import TurnedClock
from streamer.events import Delivered, Delivery, Disable, Hold, Outcome, Reject, Retry
from streamer.sandbox.targets import MalformedAnswer, SlackReceiver
from subscribers.slack import Slack
from tests.deliveries import context, delivery
from tests.waiting import limited


async def deliver(receiver: SlackReceiver, *deliveries: Delivery, **settings: Any) -> list[Outcome]:
    """Return the outcomes of `deliveries`, without the pause of a second between them."""
    defaults = {
        "token": "xoxb-local-token",
        "channel": "#general",
        "api_url": receiver.api_url,
        "interval_s": 0,
    }
    read = Slack.Settings.model_validate(defaults | settings)
    async with Slack(read, context(TurnedClock())) as plugin:
        return [await plugin.deliver(each) for each in deliveries]


async def deliver_by_webhook(receiver: SlackReceiver, *deliveries: Delivery) -> list[Outcome]:
    """Return the outcomes of `deliveries` to the incoming webhook."""
    read = Slack.Settings.model_validate({"webhook_url": receiver.webhook_url, "interval_s": 0})
    async with Slack(read, context(TurnedClock())) as plugin:
        return [await plugin.deliver(each) for each in deliveries]


async def test_message_is_posted_by_the_api(slack: SlackReceiver) -> None:
    """The receipt has the position of the message."""
    [outcome] = await deliver(slack, delivery(text="Won & done"))

    assert outcome == Delivered(answer={"ts": "1735689600.000001", "channel": "C0GENERAL1"})
    assert slack.messages[0]["text"] == "Won &amp; done"
    assert [block["type"] for block in slack.messages[0]["blocks"]] == ["header", "section", "context"]


async def test_message_is_posted_by_webhook(slack: SlackReceiver) -> None:
    """A webhook's `ok` is a delivery."""
    assert await deliver_by_webhook(slack, delivery(text="Won")) == [Delivered()]
    assert slack.messages[0]["text"] == "Won"


async def test_longest_message_is_within_the_limits(slack: SlackReceiver) -> None:
    """Whatever a record holds, Slack takes the message."""
    assert isinstance((await deliver(slack, delivery(text="&" * 60_000)))[0], Delivered)


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"channel": "#nowhere"}, "channel_not_found: set channel to the id of an existing channel"),
        ({"token": "xoxb-other"}, "invalid_auth: set token to a valid token"),
    ],
)
async def test_wrong_setting_holds_the_target_and_says_what_to_do(
    slack: SlackReceiver, settings: dict[str, str], advice: str
) -> None:
    """A mistake that every event would share turns none of them into a dead letter."""
    [outcome] = await deliver(slack, delivery(), **settings)

    assert isinstance(outcome, Hold)
    assert advice in outcome.reason


async def test_wrong_channel_of_one_event_rejects_that_event(slack: SlackReceiver) -> None:
    """A wrong channel from the mapping concerns one event, not the target."""
    [outcome] = await deliver(slack, delivery(body={"channel": "#nowhere"}))

    assert isinstance(outcome, Reject)


async def test_archived_channel_holds_the_target(slack: SlackReceiver) -> None:
    """The webhook's 410 is about the channel; it disables nothing."""
    slack.archived.add("C0GENERAL1")
    [by_api] = await deliver(slack, delivery())
    [by_webhook] = await deliver_by_webhook(slack, delivery())

    assert isinstance(by_api, Hold)
    assert isinstance(by_webhook, Hold)
    assert not isinstance(by_webhook, Disable)
    assert "unarchive the channel" in by_webhook.reason


async def test_webhook_that_was_removed_holds_the_target(slack: SlackReceiver) -> None:
    """The operator is told to make a new one."""
    slack.webhook_gone = True
    [outcome] = await deliver_by_webhook(slack, delivery())

    assert isinstance(outcome, Hold)
    assert (
        outcome.reason == "Slack answered no_service: create a new webhook and set webhook_url to its address"
    )


async def test_blocks_that_slack_refuses_reject_the_event(slack: SlackReceiver) -> None:
    """A broken mapping can't succeed later."""
    broken = delivery(body={"blocks": [{"type": "header"}]})

    assert [type(outcome) for outcome in await deliver(slack, broken)] == [Reject]
    assert [type(outcome) for outcome in await deliver_by_webhook(slack, broken)] == [Reject]


async def test_body_that_is_no_object_is_rejected(slack: SlackReceiver) -> None:
    """A mapping to a mere text has no place in a message."""
    assert isinstance((await deliver(slack, delivery(body="Won")))[0], Reject)


async def test_rate_limit_holds_the_target_for_as_long_as_slack_asks(slack: SlackReceiver) -> None:
    """The sixth message of one moment waits a second and costs no attempt."""
    outcomes = await deliver(slack, *(delivery(key=str(number)) for number in range(6)))

    assert [type(outcome) for outcome in outcomes] == [Delivered] * 5 + [Hold]
    assert outcomes[5].after_s == 1.0  # type: ignore[union-attr] # asserted to be a Hold


async def test_polite_pace_never_meets_the_rate_limit(slack: SlackReceiver, clock: TurnedClock) -> None:
    """At a message a second, a delivery that would wait too long gives its turn back instead."""
    read = Slack.Settings.model_validate({"webhook_url": slack.webhook_url})
    async with Slack(read, context(clock)) as plugin, asyncio.TaskGroup() as tasks:
        posted = [tasks.create_task(plugin.deliver(delivery(key=str(number)))) for number in range(8)]
        async with limited("the messages"):
            for arrived in range(1, 7):
                await slack.journal.reached(arrived)
                await clock.turn(1.0)

    outcomes = [task.result() for task in posted]
    assert [type(outcome) for outcome in outcomes] == [Delivered] * 6 + [Hold] * 2
    assert {record.status for record in slack.journal} == {200}


@pytest.mark.parametrize("malformed_answer", MalformedAnswer)
async def test_malformed_answer_with_status_200_is_tried_again(
    slack: SlackReceiver, malformed_answer: MalformedAnswer
) -> None:
    """Only Slack's own answer counts as a delivery."""
    slack.faults.malformed_answer = malformed_answer
    [by_api] = await deliver(slack, delivery())
    [by_webhook] = await deliver_by_webhook(slack, delivery())

    assert isinstance(by_api, Retry)
    assert isinstance(by_webhook, Retry)


async def test_secret_of_the_webhook_is_not_in_outcomes(slack: SlackReceiver) -> None:
    """A proxy that repeats the URL in its error page reveals nothing."""
    slack.faults.fail_keys, slack.faults.echo = ".", True
    [outcome] = await deliver_by_webhook(slack, delivery())

    assert isinstance(outcome, Retry)
    assert "***" in outcome.answer
    assert "local-webhook-secret" not in repr(outcome)
