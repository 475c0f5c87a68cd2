"""The SOAP API: a login, and calls in its session."""

import re

import pytest

from tests.integration.sandbox.conftest import Client

OPEN = '<env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/">'
LOGIN = (
    '<n1:login xmlns:n1="urn:partner.soap.sforce.com"><n1:username>bus@sandbox.example</n1:username>'
    "<n1:password>{}</n1:password></n1:login>"
)
ILLEGAL = "INVALID_SESSION_ID: Invalid Session ID found in SessionHeader: Illegal Session"


async def call(client: Client, url: str, operation: str, session_id: str = "") -> tuple[int, str]:
    """Return the status and the envelope of a call."""
    header = f"<env:Header><SessionHeader><sessionId>{session_id}</sessionId></SessionHeader></env:Header>"
    envelope = f"{OPEN}{header}<env:Body>{operation}</env:Body></env:Envelope>"
    headers = {"Content-Type": "text/xml", "SOAPAction": '""'}
    async with client.http.post(url, data=envelope, headers=headers) as response:
        return response.status, await response.text()


def element(envelope: str, name: str) -> str:
    """Return the text of an element."""
    found = re.search(f"<{name}>([^<]*)</{name}>", envelope)
    assert found is not None, envelope
    return found[1]


@pytest.mark.parametrize("api", ["u", "c"])
async def test_a_session_is_used_and_ended_where_the_login_says(client: Client, api: str) -> None:
    """The partner and the enterprise API return an address that serves further calls."""
    _, session = await call(client, f"/services/Soap/{api}/64.0", LOGIN.format("sandbox-password"))
    url, session_id = element(session, "serverUrl"), element(session, "sessionId")
    status, user = await call(client, url, "<getUserInfo/>", session_id)
    assert (status, element(user, "userName")) == (200, "bus@sandbox.example")
    _, time = await call(client, url, "<getServerTimestamp/>", session_id)
    assert element(time, "timestamp") == "2025-01-01T00:00:00.000Z"
    status, ended = await call(client, url, "<logout/>", session_id)
    assert (status, "<logoutResponse/>" in ended) == (200, True)
    status, refused = await call(client, url, "<getUserInfo/>", session_id)
    assert (status, element(refused, "faultstring")) == (500, ILLEGAL)


@pytest.mark.parametrize("operation", ["query", "logout", "describeGlobal"])
@pytest.mark.parametrize("api", ["u", "c", "m"])
async def test_no_session_is_no_invalid_login(client: Client, api: str, operation: str) -> None:
    """Whatever is called, and in any version."""
    _, refused = await call(client, f"/services/Soap/{api}/66.0", f"<{operation}/>", "expired")
    assert element(refused, "faultstring") == ILLEGAL
    assert element(refused, "sf:exceptionCode") == "INVALID_SESSION_ID"


async def test_a_wrong_password_is_an_invalid_login(client: Client) -> None:
    """A login alone can be invalid."""
    status, refused = await call(client, "/services/Soap/u/64.0", LOGIN.format("wrong"))
    assert (status, element(refused, "sf:exceptionCode")) == (500, "INVALID_LOGIN")


async def test_an_operation_that_is_not_served_is_named(client: Client) -> None:
    """The fault of a call with a session names the operation."""
    _, session = await call(client, "/services/Soap/u/64.0", LOGIN.format("sandbox-password"))
    status, fault = await call(client, "/services/Soap/u/64.0", "<query/>", element(session, "sessionId"))
    assert status == 500
    assert "No operation available for request {urn:partner.soap.sforce.com}query" in fault
