"""Apex methods that a test defines, over REST and SOAP."""

from typing import Any

import pytest

from streamer.sandbox import ApexCall, ApexException
from tests.integration.sandbox.conftest import Client

OPEN = '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/">'
CLASS = "http://soap.sforce.com/schemas/class/acme/Invoices"


def echo(call: ApexCall) -> Any:
    """Return what came."""
    return {"method": call.method, "path": call.path, "query": call.query, "body": call.arguments}


def throw(_: ApexCall) -> Any:
    """Throw."""
    raise ApexException("System.NullPointerException: Attempt to de-reference a null object")


async def test_method_is_found_by_its_mapping(client: Client) -> None:
    """And by its HTTP method."""
    client.sandbox.apex.rest("POST", "/invoices/*", echo)
    client.sandbox.apex.rest("GET", "/invoices/*", echo)
    url = "/services/apexrest/invoices"
    status, body = await client("POST", f"{url}/7/lines?q=1", {"amount": 2})
    assert status == 200
    assert body == {"method": "POST", "path": "/invoices/7/lines", "query": {"q": "1"}, "body": {"amount": 2}}

    status, [error] = await client("PUT", f"{url}/7", {})
    assert (status, error["errorCode"]) == (405, "METHOD_NOT_ALLOWED")
    status, [error] = await client("GET", f"{url}-other/7")
    assert (status, error["message"]) == (404, "Could not find a match for URL")


async def test_exception_is_an_answer_with_its_words(client: Client) -> None:
    """As is a body that is no JSON."""
    client.sandbox.apex.rest("POST", "/throw", throw)
    status, [error] = await client("POST", "/services/apexrest/throw", {})
    assert (status, error["errorCode"]) == (500, "APEX_ERROR")
    assert error["message"].startswith("System.NullPointerException")

    async with client.http.post("/services/apexrest/throw", data=b"{") as answer:
        assert answer.status == 400


async def test_call_needs_a_session(client: Client) -> None:
    """Over REST in a header, over SOAP in the envelope."""
    client.sandbox.apex.rest("GET", "/echo", echo)
    client.sandbox.tokens.revoke_all()
    status, [error] = await client("GET", "/services/apexrest/echo")
    assert (status, error["errorCode"]) == (401, "INVALID_SESSION_ID")
    status, text = await soap(client, "<confirm/>", session_id="none")
    assert status == 500
    assert "<faultcode>sf:INVALID_SESSION_ID</faultcode>" in text


async def soap(client: Client, body: str, *, session_id: str | None = None) -> tuple[int, str]:
    """Return the status and the text of the answer to an envelope."""
    token = session_id or client.sandbox.tokens.issue(
        user_id=client.sandbox.org.settings.user_id, client_id="sandbox"
    )
    header = f"<SessionHeader><sessionId>{token}</sessionId></SessionHeader>"
    own = f'{OPEN}<e:Header xmlns="{CLASS}">{header}</e:Header><e:Body xmlns="{CLASS}">{body}</e:Body>'
    url = "/services/Soap/class/acme/Invoices"
    async with client.http.post(url, data=f"{own}</e:Envelope>", headers={"SOAPAction": '""'}) as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ("<confirm><number>7</number></confirm>", 200, "<result><number>7</number></result>"),
        ("<throw/>", 500, "<faultstring>System.NullPointerException"),
        ("<unknown/>", 500, "No operation available for request unknown"),
        ("<confirm>", 500, "the envelope is not XML"),
    ],
)
async def test_soap_method_answers(client: Client, body: str, status: int, text: str) -> None:
    """With its result, or a fault."""
    client.sandbox.apex.soap("acme/Invoices", "confirm", lambda call: call.arguments)
    client.sandbox.apex.soap("acme/Invoices", "throw", throw)
    answered, whole = await soap(client, body)

    assert answered == status
    assert text in whole
