"""Deliveries become calls of an Apex method, whose answers are receipts."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamer.errors import SalesforceUnavailable
from streamer.events import Delivered, Outcome, Reject, Retry
from streamer.ports import (
    Answered,
    ApexRestCall,
    ApexSoapCall,
    CallResult,
    Unanswered,
    WriteRefused,
)
from tests.deliveries import delivery
from tests.unit.subscribers.salesforce.orgs import ScriptedOrg, change, outcome_of, plugin
from tests.waiting import limited

BODY = {"Id": "a/b", "amount": 12.5, "late": False, "note": None}


@pytest.mark.parametrize(
    ("call", "made"),
    [
        ({"rest": "/invoices"}, ApexRestCall(method="POST", path="invoices", body=BODY)),
        (
            {"rest": "invoices/{Id}/lines", "method": "PATCH"},
            ApexRestCall(
                method="PATCH",
                path="invoices/a%2Fb/lines",
                body={"amount": 12.5, "late": False, "note": None},
            ),
        ),
        (
            {"rest": "/invoices/{Id}", "method": "GET"},
            ApexRestCall(method="GET", path="invoices/a%2Fb", query={"amount": "12.5", "late": "false"}),
        ),
        (
            {"soap": "Invoices", "method": "confirm"},
            ApexSoapCall(apex_class="Invoices", method="confirm", arguments=BODY),
        ),
    ],
)
async def test_body_is_what_the_method_gets(call: dict[str, Any], made: object) -> None:
    """In its path, its query or its body."""
    org = ScriptedOrg()
    outcome = await outcome_of(org, delivery(change(), body=BODY), call=call)

    assert org.called == [made]
    assert outcome == Delivered(answer={"number": "7"})


async def test_key_is_an_argument_where_it_shall_be() -> None:
    """By which the method knows a repetition."""
    org = ScriptedOrg()
    await outcome_of(org, delivery(change(), key="k"), call={"rest": "/x/{key}"}, id_field="key")

    assert org.called == [ApexRestCall(method="POST", path="x/k", body={})]


@pytest.mark.parametrize("value", ["..", ".", "", None, True, {"a": 1}])
async def test_value_that_leads_elsewhere_is_not_sent(value: Any) -> None:
    """A path has no place for it."""
    org = ScriptedOrg()
    outcome = await outcome_of(org, delivery(change(), body={"Id": value}), call={"rest": "/x/{Id}"})

    assert isinstance(outcome, Reject)
    assert not outcome.sent
    assert org.called == []


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answered(value=[1]), Delivered(answer={"value": [1]})),
        (Answered(value=None), Delivered()),
    ],
)
async def test_answer_of_another_kind_is_kept(answer: CallResult, outcome: Outcome) -> None:
    """Under a name of its own."""
    assert await outcome_of(ScriptedOrg(answer=answer), delivery(change()), call={"rest": "/x"}) == outcome


async def test_refusal_keeps_the_words_of_the_method() -> None:
    """A dead letter shows them."""
    answer = WriteRefused(code="HTTP_409", message="POST /x was refused with HTTP 409", answer='{"a":1}')
    outcome = await outcome_of(ScriptedOrg(answer=answer), delivery(change()), call={"rest": "/x"})

    assert isinstance(outcome, Reject)
    assert outcome.answer == '{"a":1}'


@pytest.mark.parametrize("code", ["APEX_ERROR", "Client"])
async def test_exception_is_tried_again_for_minutes(code: str) -> None:
    """An exception of a method can concern the event, or pass with the deployment under way."""
    org = ScriptedOrg(answer=WriteRefused(code=code, message="System.DmlException: no"))
    tries = [
        await outcome_of(
            org, replace(delivery(change()), attempt=number), call={"rest": "/x"}, refusal_tries=5
        )
        for number in (1, 2, 3, 4, 5)
    ]

    assert isinstance(tries.pop(), Reject)
    assert [each.after_s for each in tries if isinstance(each, Retry)] == [30, 60, 120, 240]


@dataclass
class SlowOrg(ScriptedOrg):
    """Org that answers when it is let, and fails to send what it shall."""

    sends: bool = True
    let: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(
        self, call: ApexRestCall | ApexSoapCall, /, *, on_sent: Callable[[], None] = lambda: None
    ) -> CallResult:
        """Answer late."""
        if self.sends:
            on_sent()
            await self.let.wait()
        return await super().call(call)


UNWAITED = {"rest": "/x", "wait": False}
LOST = Unanswered(error=SalesforceUnavailable("lost"))


async def test_unwaited_call_is_delivered_when_it_is_sent() -> None:
    """Its answer comes later, and closing lets it."""
    org = SlowOrg()
    opened = await plugin(org, call=UNWAITED).__aenter__()
    async with limited("the outcome"):
        outcome = await opened.deliver(delivery(change()))
        assert outcome == Delivered(answer={"call": "POST x", "waited": False})
        assert org.called == []
        org.let.set()
        await opened.__aexit__(None, None, None)
    assert len(org.called) == 1


async def test_unwaited_call_that_can_not_be_sent_is_tried_again() -> None:
    """It does not count as a delivery."""
    assert (
        type(await outcome_of(SlowOrg(sends=False, answer=LOST), delivery(change()), call=UNWAITED)) is Retry
    )


async def test_failure_after_the_sending_is_a_log_line() -> None:
    """With the event that it concerns."""
    org = SlowOrg(answer=LOST)
    with capture_logs() as lines:
        async with plugin(org, call=UNWAITED) as opened:
            outcome = await opened.deliver(delivery(change()))
            org.let.set()

    assert isinstance(outcome, Delivered)
    [line] = [line for line in lines if line["event"] == "call.failed"]
    assert (line["log_level"], line["reason"]) == ("warning", "lost")


async def test_unwaited_calls_are_bounded() -> None:
    """The one above the bound waits for its place."""
    org = SlowOrg()
    async with plugin(org, call=UNWAITED) as opened:
        for _ in range(100):
            await opened.deliver(delivery(change()))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(opened.deliver(delivery(change())), 0.05)
        org.let.set()
        assert isinstance(await opened.deliver(delivery(change())), Delivered)
