"""Results of publishing become outcomes by the rules for every target; a loop is refused."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pydantic import ValidationError

from streamer.clock import TurnedClock
from streamer.errors import (
    ConfigurationError,
    CredentialsRefused,
    PublishingRefused,
    RetryLater,
    SalesforceUnavailable,
)
from streamer.events import Delivered, Delivery, FailureClass, Hold, Outcome, Reject, ReplayId, Retry, Skip
from streamer.ports import (
    EventPublisher,
    OrgWriter,
    OutgoingEvent,
    PluginContext,
    Published,
    PublishResult,
    PublishTransport,
    Unanswered,
    Unpublished,
)
from subscribers.salesforce import Salesforce
from tests.deliveries import context, delivery, event
from tests.unit.subscribers.salesforce.orgs import WithoutPreviews

EVENT = "Order_Placed__e"
LOGIN = "https://acme.my.salesforce.com"
OWN = {
    "login_url": LOGIN,
    "auth": {"flow": "client_credentials", "client_id": "app", "client_secret": "hunter22"},
}


@dataclass
class ScriptedOrg(WithoutPreviews):
    """Org that answers each event with `result`, and keeps what it was sent."""

    result: PublishResult = field(
        default_factory=lambda: Published(event_uuid="u", replay_id=ReplayId(b"\0\1"))
    )
    sent: list[OutgoingEvent] = field(default_factory=list)
    login_url: str = LOGIN
    client_name: str | None = None

    @asynccontextmanager
    async def publisher(
        self, transport: PublishTransport, *, timeout_s: float
    ) -> AsyncIterator[EventPublisher]:
        """Be the publisher, too."""
        del transport, timeout_s
        yield self

    def writer(self, *, timeout_s: float) -> AbstractAsyncContextManager[OrgWriter]:
        """Give none."""
        raise NotImplementedError

    async def publish(self, topic: str, events: Sequence[OutgoingEvent], /) -> Sequence[PublishResult]:
        """Take the events."""
        assert topic == EVENT
        self.sent += events
        return [self.result] * len(events)


def plugin(reads: ScriptedOrg | None, *received: str, **settings: Any) -> Salesforce:
    """Return the plugin of a daemon that `reads` an org, whose subscriber gets `received` types."""
    read = Salesforce.Settings.model_validate({"event": EVENT, **settings})
    given: PluginContext = replace(context(TurnedClock()), org=reads, receives=lambda each: each in received)
    return Salesforce(read, given)


async def outcome_of(org: ScriptedOrg, of: Delivery, **settings: Any) -> Outcome:
    """Return the outcome of one delivery."""
    async with plugin(org, **settings) as opened:
        return await opened.deliver(of)


A_BODY = {"Order_No__c": "A-17"}


async def test_body_is_published_under_an_id_of_the_delivery() -> None:
    """Which is the same on each attempt, and another for another delivery."""
    org = ScriptedOrg()
    for key in ("one", "one", "two"):
        outcome = await outcome_of(org, delivery(key=key, body=A_BODY))
        assert outcome == Delivered(answer={"event": EVENT, "id": "u", "replay_id": "base64:AAE="})

    assert [sent.fields for sent in org.sent] == [A_BODY] * 3
    first, second, other = [sent.id for sent in org.sent]
    assert first == second != other


async def test_fields_of_the_event_are_published_without_a_body() -> None:
    """A platform event goes on into another org, with stamps of that org."""
    org = ScriptedOrg()
    fields = {"CreatedDate": "2025-01-01T00:00:00.000Z", "CreatedById": "005", **A_BODY}
    await outcome_of(org, delivery(event("salesforce.event.Order__e", data={"fields": fields})))

    assert org.sent[0].fields == A_BODY


async def test_key_is_put_into_the_field_for_it() -> None:
    """By which consumers know a repetition over REST."""
    org = ScriptedOrg()
    await outcome_of(org, delivery(key="k", body=A_BODY), id_field="Key__c", transport="rest")

    assert org.sent[0].fields == {**A_BODY, "Key__c": "k"}


@pytest.mark.parametrize(("body", "kind"), [({}, Skip), ([], Reject), ("text", Reject)])
async def test_body_without_fields_is_not_sent(body: Any, kind: type) -> None:
    """And says nothing about the org."""
    org = ScriptedOrg()
    outcome = await outcome_of(org, delivery(body=body))

    assert type(outcome) is kind
    assert not getattr(outcome, "sent", True)
    assert not org.sent


LATE = SalesforceUnavailable("late")
LATE.__cause__ = TimeoutError()
LOST = SalesforceUnavailable("lost")
LOST.__cause__ = OSError()


@pytest.mark.parametrize(
    ("result", "kind", "failure"),
    [
        (Unanswered(error=LATE), Retry, FailureClass.TIMEOUT),
        (Unanswered(error=LOST), Retry, FailureClass.CONNECTION),
        (Unanswered(error=SalesforceUnavailable("HTTP 503")), Retry, FailureClass.HTTP_5XX),
        (Unanswered(error=SalesforceUnavailable("HTTP 503", after_s=7)), Hold, FailureClass.HTTP_5XX),
        (Unanswered(error=RetryLater("limit", after_s=7)), Hold, FailureClass.RATE_LIMITED),
        (Unanswered(error=CredentialsRefused("no")), Hold, FailureClass.REFUSED_CREDENTIALS),
        (Unanswered(error=PublishingRefused("no")), Hold, FailureClass.REJECTED),
        (Unpublished(code="limit_exceeded", reason="m", is_transient=True), Hold, FailureClass.RATE_LIMITED),
        (Unpublished(code="x", reason="m", is_transient=True), Retry, FailureClass.REJECTED),
        (Unpublished(code="publish", reason="m"), Retry, FailureClass.REJECTED),
        (Unpublished(code="field_refused", reason="m", sent=False), Reject, FailureClass.REJECTED),
    ],
)
async def test_result_becomes_its_outcome(result: PublishResult, kind: type, failure: FailureClass) -> None:
    """As the answers of other targets do."""
    outcome = await outcome_of(ScriptedOrg(result=result), delivery(body=A_BODY))

    assert type(outcome) is kind
    assert not isinstance(outcome, Delivered | Skip)
    assert outcome.failure is failure


@pytest.mark.parametrize(("error", "alert"), [(CredentialsRefused("no"), True), (RetryLater("limit"), False)])
async def test_hold_calls_an_operator_who_must_act(
    error: CredentialsRefused | RetryLater, *, alert: bool
) -> None:
    """And no one for a limit that passes."""
    outcome = await outcome_of(ScriptedOrg(result=Unanswered(error=error)), delivery(body=A_BODY))

    assert isinstance(outcome, Hold)
    assert outcome.alert is alert


async def test_event_that_stays_refused_becomes_a_dead_letter() -> None:
    """Its lane does not wait for a day."""
    org = ScriptedOrg(result=Unpublished(code="publish", reason="m"))
    tries = [await outcome_of(org, replace(delivery(body=A_BODY), attempt=number)) for number in (1, 2, 3)]
    last = await outcome_of(org, replace(delivery(body=A_BODY), attempt=3), refusal_tries=3)

    assert {type(each) for each in tries} == {Retry}
    assert isinstance(last, Reject)
    assert last.sent


@pytest.mark.parametrize("org", [None, OWN])
def test_loop_is_refused(org: Any) -> None:
    """In the daemon's org, also where its address is written again."""
    with pytest.raises(
        ConfigurationError, match="each delivery would cause another delivery: exclude the event from `on`"
    ):
        plugin(ScriptedOrg(), f"salesforce.event.{EVENT}", org=org)


def test_loop_that_when_ends_is_allowed() -> None:
    """As is an event of that name in another org, and another event."""
    own = f"salesforce.event.{EVENT}"
    assert plugin(ScriptedOrg(), own, allow_loop=True)
    assert plugin(ScriptedOrg(login_url="https://other.my.salesforce.com"), own, org=OWN)
    assert plugin(ScriptedOrg(), "salesforce.event.Other__e")


@pytest.mark.parametrize("name", ["Order", "Order__c", "/data/Order__e", "Order Placed__e", ""])
def test_name_that_no_platform_event_has_is_refused(name: str) -> None:
    """Before anything connects."""
    with pytest.raises(ValidationError, match="must be the API name of a custom platform event"):
        plugin(ScriptedOrg(), event=name)


def test_credentials_that_can_not_be_used_are_refused() -> None:
    """A secret never travels in the clear."""
    with pytest.raises(ConfigurationError, match=r"org\.login_url is http://acme"):
        plugin(None, org={**OWN, "login_url": "http://acme.my.salesforce.com"})
    with pytest.raises(ConfigurationError, match="org is missing"):
        plugin(None)
