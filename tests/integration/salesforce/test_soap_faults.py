"""Outcomes of what Apex web services answer over SOAP: a retry, a hold or a dead letter."""

from dataclasses import replace

import orjson
import pytest

from streamer.clock import SystemClock
from streamer.events import FailureClass, Hold, Outcome, Reject, Retry
from streamer.salesforce.auth.flows import Logins
from streamer.salesforce.publish.access import OrgAccess
from streamer.settings import OrgSettings
from streamer.testing import Reply, ScriptedTarget
from streamer.testing.scripted_target import Answering, Silence
from subscribers.salesforce import Salesforce
from tests.deliveries import context, delivery

TOKEN = "/services/oauth2/token"
CALL = {"soap": "Invoices", "method": "confirm"}
TRIES = 5


def fault(code: str, text: str = "m", *, status: int = 500, exception: str = "") -> Reply:
    """Return a fault, with the `exception` code in its detail."""
    detail = f"<detail><e><exceptionCode>{exception}</exceptionCode></e></detail>" if exception else ""
    said = f"<faultcode>{code}</faultcode><faultstring>{text}</faultstring>{detail}"
    envelope = f"<Envelope><Body><Fault>{said}</Fault></Body></Envelope>"
    return Reply(status=status, headers={"Content-Type": "text/xml"}, body=envelope.encode())


def page(status: int, **headers: str) -> Reply:
    """Return an answer that is not an envelope."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers={"Content-Type": "text/html", **named}, body=b"<html>no</html>")


async def tried(answer: Answering, *, attempt: int, timeout_s: float = 20) -> tuple[Outcome, int]:
    """Return the outcome of a call that gets `answer`, and how many requests it took."""
    aside: dict[str, Answering] = {}
    async with ScriptedTarget(answer, aside=aside) as target:
        identity = f"{target.url}/id/00D000000000001EAA/005000000000001AAA"
        token = {"access_token": "T", "instance_url": target.url, "id": identity}
        aside[TOKEN] = Reply(body=orjson.dumps(token))
        auth = {"flow": "client_credentials", "client_id": "app", "client_secret": "hunter22"}
        org = OrgSettings.model_validate(
            {"login_url": target.url, "auth": auth, "client_name": "bus", "proxy": "direct"}
        )
        access = OrgAccess(settings=org, clock=SystemClock(), logins=Logins(SystemClock()))
        settings = Salesforce.Settings.model_validate(
            {"call": CALL, "refusal_tries": TRIES, "timeout_s": timeout_s}
        )
        async with Salesforce(settings, replace(context(SystemClock()), org=access)) as plugin:
            outcome = await plugin.deliver(replace(delivery(body={"a": 1}), attempt=attempt))
        return outcome, len(target.requests)


@pytest.mark.parametrize(
    "answer",
    [
        fault("sf:UNABLE_TO_LOCK_ROW"),
        fault("soapenv:Client", "System.DmlException: first error: UNABLE_TO_LOCK_ROW, unable to obtain"),
        fault("sf:QUERY_TIMEOUT"),
        fault("soapenv:Server", exception="REQUEST_RUNNING_TOO_LONG"),
        page(200),
        page(503),
        fault("soapenv:Server", status=503),
    ],
)
async def test_what_passes_is_tried_again_however_often(answer: Answering) -> None:
    """Such are a locked row, a service that is away, and an answer that is not an envelope."""
    outcome, _ = await tried(answer, attempt=TRIES + 1)

    assert isinstance(outcome, Retry)


@pytest.mark.parametrize(
    "answer",
    [
        fault("soapenv:Client", "System.DmlException: the period is closed"),
        fault("soapenv:Server"),
        fault("soapenv:Server.userException"),
        fault("soapenv:Client", status=200),
        fault("soapenv:Client", status=400),
        fault("sf:UNKNOWN_EXCEPTION"),
        fault("sf:SOMETHING", "System.LimitException: Too many SOQL queries: 101"),
    ],
)
async def test_fault_without_a_known_reason_is_tried_a_few_times(answer: Answering) -> None:
    """A method's exception can be temporary or concern the event; after a few tries it is a dead letter."""
    outcomes = [(await tried(answer, attempt=attempt))[0] for attempt in (1, TRIES - 1, TRIES)]

    assert [type(each) for each in outcomes] == [Retry, Retry, Reject]
    assert all(each.failure is FailureClass.REJECTED for each in outcomes if isinstance(each, Retry | Reject))


@pytest.mark.parametrize(
    "answer",
    [
        fault("sf:FIELD_CUSTOM_VALIDATION_EXCEPTION"),
        fault("soapenv:Client", exception="INVALID_FIELD_FOR_INSERT_UPDATE"),
        fault("sf:DUPLICATE_VALUE", status=400),
        page(400),
    ],
)
async def test_refusal_that_no_repetition_changes_is_a_dead_letter_at_once(answer: Answering) -> None:
    """With what was said."""
    outcome, _ = await tried(answer, attempt=1)

    assert isinstance(outcome, Reject)
    assert outcome.sent


@pytest.mark.parametrize(
    ("answer", "failure", "alert"),
    [
        (fault("sf:REQUEST_LIMIT_EXCEEDED"), FailureClass.RATE_LIMITED, False),
        (fault("soapenv:Client", exception="EXCEEDED_RATE_LIMIT"), FailureClass.RATE_LIMITED, False),
        (fault("sf:SERVER_UNAVAILABLE"), FailureClass.HTTP_5XX, False),
        (fault("sf:SERVER_UNAVAILABLE", status=503), FailureClass.HTTP_5XX, False),
        (fault("sf:API_CURRENTLY_DISABLED"), FailureClass.HTTP_5XX, False),
        (page(429), FailureClass.RATE_LIMITED, False),
        (fault("soapenv:Server", status=429), FailureClass.RATE_LIMITED, False),
        (page(503, Retry_After="30"), FailureClass.HTTP_5XX, False),
        (fault("sf:API_DISABLED_FOR_ORG"), FailureClass.REJECTED, True),
        (fault("sf:FUNCTIONALITY_NOT_ENABLED"), FailureClass.REJECTED, True),
        (fault("sf:STORAGE_LIMIT_EXCEEDED"), FailureClass.REJECTED, True),
        (fault("sf:INVALID_TYPE"), FailureClass.REJECTED, True),
        (page(403), FailureClass.REJECTED, True),
        (page(404), FailureClass.REJECTED, True),
        (page(405), FailureClass.REJECTED, True),
        (fault("soapenv:Client", status=403), FailureClass.REJECTED, True),
    ],
)
async def test_what_is_about_the_org_holds_it(answer: Answering, failure: FailureClass, alert: bool) -> None:  # noqa: FBT001 - a case
    """It costs no event an attempt; an operator is called where only a person can help."""
    outcome, _ = await tried(answer, attempt=TRIES + 1)

    assert isinstance(outcome, Hold)
    assert (outcome.failure, outcome.alert) == (failure, alert)


@pytest.mark.parametrize("status", [200, 401, 403, 500])
async def test_ended_session_is_renewed_once_and_then_holds(status: int) -> None:
    """Whatever the status, which no guide names."""
    outcome, requests = await tried(fault("sf:INVALID_SESSION_ID", status=status), attempt=TRIES + 1)

    assert isinstance(outcome, Hold)
    assert (outcome.failure, outcome.alert) == (FailureClass.REFUSED_CREDENTIALS, True)
    assert requests == 2


async def test_lost_answer_is_tried_again() -> None:
    """The method can have run."""
    outcome, _ = await tried(Silence(), attempt=TRIES + 1, timeout_s=0.1)

    assert isinstance(outcome, Retry)
    assert outcome.failure is FailureClass.TIMEOUT


async def test_answer_of_more_than_four_megabytes_is_not_read() -> None:
    """A larger body does not count as an answer."""
    large = b"<Envelope><Body><r><result>" + b"x" * 4 * 1024 * 1024 + b"</result></r></Body></Envelope>"
    outcome, _ = await tried(Reply(body=large), attempt=1)

    assert isinstance(outcome, Retry)
