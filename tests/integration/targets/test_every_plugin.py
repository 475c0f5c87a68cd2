"""Rules for every plugin: it returns an outcome for any behaviour of its target."""

from collections.abc import Callable
from typing import Any

import pytest

from streamer.clock import TurnedClock
from streamer.events import Delivered, FailureClass, Hold, Outcome, Reject, Retry, Skip
from streamer.ports import Plugin
from streamer.sandbox.targets import ErpReceiver, FulfillmentReceiver, MalformedAnswer, SlackReceiver
from streamer.sandbox.targets.receiver import Receiver
from subscribers.erp import Erp
from subscribers.fulfillment import Fulfillment
from subscribers.slack import Slack
from tests.deliveries import context, delivery, opened

CASES: dict[str, tuple[Plugin, type[Receiver], Callable[[Any], dict[str, Any]]]] = {
    "erp": (Erp, ErpReceiver, lambda erp: {"url": f"{erp.url}/api/invoices"}),
    "fulfillment": (Fulfillment, FulfillmentReceiver, lambda service: {"url": service.url}),
    "slack-app": (
        Slack,
        SlackReceiver,
        lambda slack: {"token": "t", "channel": "#sales", "api_url": slack.api_url},
    ),
    "slack-webhook": (Slack, SlackReceiver, lambda slack: {"webhook_url": slack.webhook_url}),
}

FAULTS: list[tuple[dict[str, Any], type]] = [
    ({}, Delivered),
    *(({"malformed_answer": malformed_answer}, Retry) for malformed_answer in MalformedAnswer),
    ({"down": True}, Retry),
    ({"lose_answers": 9}, Retry),
    ({"unauthorized": True}, Hold),
    ({"retry_after": "7"}, Hold),
    ({"retry_after": "Wed, 01 Jan 2025 00:00:07 GMT", "busy_status": 503}, Hold),
    ({"fail_keys": ".", "fail_status": 302}, Reject),
    ({"fail_keys": ".", "fail_status": 400}, Reject),
    ({"fail_keys": ".", "fail_status": 500}, Retry),
    ({"fail_keys": ".", "fail_status": 503}, Retry),
]


CLASSES: list[tuple[dict[str, Any], FailureClass]] = [
    *(
        ({"malformed_answer": malformed_answer}, FailureClass.UNEXPECTED_ANSWER)
        for malformed_answer in MalformedAnswer
    ),
    ({"down": True}, FailureClass.CONNECTION),
    ({"lose_answers": 9}, FailureClass.CONNECTION),
    ({"unauthorized": True}, FailureClass.REFUSED_CREDENTIALS),
    ({"retry_after": "7"}, FailureClass.RATE_LIMITED),
    ({"fail_keys": ".", "fail_status": 302}, FailureClass.HTTP_3XX),
    ({"fail_keys": ".", "fail_status": 400}, FailureClass.HTTP_4XX),
    ({"fail_keys": ".", "fail_status": 503}, FailureClass.HTTP_5XX),
]


async def outcome_at(name: str, faults: dict[str, Any]) -> Outcome:
    """Return the outcome of one delivery by the plugin `name` to a target with `faults`."""
    plugin, receiver_class, settings = CASES[name]
    clock = TurnedClock()
    async with receiver_class(clock) as receiver:
        for switch, position in faults.items():
            setattr(receiver.faults, switch, position)
        read = plugin.Settings.model_validate(settings(receiver))
        async with opened(plugin, read, context(clock)) as subscriber:
            return await subscriber.deliver(delivery())


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("faults", "failure"), CLASSES)
async def test_fault_has_its_class(name: str, faults: dict[str, Any], failure: FailureClass) -> None:
    """By which failed attempts are counted."""
    outcome = await outcome_at(name, faults)

    assert not isinstance(outcome, Delivered | Skip)
    assert outcome.failure is failure


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("faults", "kind"), FAULTS)
async def test_fault_becomes_its_outcome(name: str, faults: dict[str, Any], kind: type) -> None:
    """Each fault of a target has one meaning, whichever target it is."""
    outcome = await outcome_at(name, faults)

    assert type(outcome) is kind
    assert getattr(outcome, "after_s", None) in {None, 7.0, 60.0}


@pytest.mark.parametrize("name", CASES)
async def test_every_request_carries_the_key_of_its_delivery(name: str) -> None:
    """The same key goes out under both names that targets know."""
    plugin, receiver_class, settings = CASES[name]
    clock = TurnedClock()
    async with receiver_class(clock) as receiver:
        read = plugin.Settings.model_validate(settings(receiver))
        async with opened(plugin, read, context(clock)) as subscriber:
            await subscriber.deliver(delivery(key="target:42"))

    assert [record.key for record in receiver.journal] == ["target:42"]
    assert receiver.journal[0].headers["webhook-id"] == "target:42"
    assert receiver.journal.accepted == {"target:42": 1}
