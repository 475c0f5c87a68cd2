"""Tokens that clients introspect and revoke, and the document that names the endpoints."""

import aiohttp
import pytest

from streamer.clock import TurnedClock
from tests.integration.sandbox.conftest import Client

CREDENTIALS = {"client_id": "sandbox", "client_secret": "sandbox-secret"}
REFRESH = {"grant_type": "refresh_token", "refresh_token": "sandbox-refresh-token"}
REVOKE = "/services/oauth2/revoke"


async def logged_in(client: Client, **form: str) -> str:
    """Return a token of a login by `form`."""
    async with client.http.post("/services/oauth2/token", data={**CREDENTIALS, **form}) as response:
        token: str = (await response.json())["access_token"]
        return token


async def introspected(client: Client, token: str) -> dict[str, object]:
    """Return what the org says of a token."""
    form = {**CREDENTIALS, "token": token, "token_type_hint": "access_token"}
    async with client.http.post("/services/oauth2/introspect", data=form) as response:
        about: dict[str, object] = await response.json()
        return about


async def test_an_access_token_is_introspected(client: Client, clock: TurnedClock) -> None:
    """Each use moves its expiry; introspection does not count as one."""
    token = await logged_in(client, grant_type="client_credentials")
    await clock.turn(60)
    about = await introspected(client, token)
    settings = client.sandbox.org.settings
    assert about == {
        "active": True,
        "scope": "api",
        "client_id": "sandbox",
        "username": "bus@sandbox.example",
        "sub": f"{client.sandbox.url}/id/{settings.org_id}/{settings.user_id}",
        "token_type": "access_token",
        "exp": 1_735_696_800,
        "iat": 1_735_689_600,
        "nbf": 1_735_689_600,
    }
    assert (await introspected(client, token))["exp"] == 1_735_696_800


async def test_a_refresh_token_is_introspected(client: Client) -> None:
    """It has no end of its own."""
    about = await introspected(client, "sandbox-refresh-token")
    assert (about["active"], about["token_type"], "exp" in about) == (True, "refresh_token", False)


async def test_an_unknown_token_is_inactive(client: Client) -> None:
    """The answer says nothing else."""
    assert await introspected(client, "rubbish") == {"active": False}


async def test_introspection_needs_the_client(client: Client) -> None:
    """A secret that is wrong is refused as at the token endpoint."""
    form = {**CREDENTIALS, "client_secret": "wrong", "token": "x"}
    async with client.http.post("/services/oauth2/introspect", data=form) as response:
        assert (response.status, (await response.json())["error"]) == (400, "invalid_client")


@pytest.mark.parametrize(
    ("method", "path", "form"),
    [
        ("POST", REVOKE, True),
        ("POST", REVOKE + "?token={}", False),
        ("GET", REVOKE + "?token={}", False),
        ("GET", REVOKE + "?token={}&callback=done", False),
    ],
    ids=["form", "query", "link", "script"],
)
async def test_a_token_is_revoked_in_every_form(client: Client, method: str, path: str, form: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Each ends the session; each states an error the second time."""
    token = await logged_in(client, grant_type="client_credentials")
    data = {"token": token} if form else None
    answers = []
    for _ in range(2):
        async with client.http.request(method, path.format(token), data=data) as response:
            answers.append((response.status, await response.text()))
        assert not client.sandbox.tokens.valid(token)
    error = '{"error": "invalid_token", "error_description": "invalid token"}'
    script = [(200, "done({});"), (200, 'done({"error":"invalid_token"});')]
    assert answers == (script if "callback" in path else [(200, ""), (400, error)])


async def test_a_callback_is_a_name(client: Client) -> None:
    """No script of the caller's choice is served."""
    async with client.http.get(REVOKE, params={"token": "x", "callback": "alert(1);f"}) as response:
        assert (response.status, response.content_type) == (400, "application/json")


async def test_revoking_the_refresh_token_ends_what_it_opened(client: Client) -> None:
    """Its sessions end, and it opens no others; other sessions go on."""
    refreshed = await logged_in(client, **REFRESH)
    other = await logged_in(client, grant_type="client_credentials")
    async with client.http.post(REVOKE, data={"token": "sandbox-refresh-token"}) as response:
        assert response.status == 200
    assert [client.sandbox.tokens.valid(token) for token in (refreshed, other)] == [False, True]
    async with client.http.post("/services/oauth2/token", data={**CREDENTIALS, **REFRESH}) as response:
        assert (await response.json())["error_description"] == "expired access/refresh token"


async def test_refreshing_needs_the_secret(client: Client) -> None:
    """The client id alone opens nothing."""
    async with client.http.post(
        "/services/oauth2/token", data={**REFRESH, "client_id": "sandbox"}
    ) as response:
        refused = {"error": "invalid_client", "error_description": "invalid client credentials"}
        assert (response.status, await response.json()) == (400, refused)


async def test_the_endpoints_are_discovered(client: Client) -> None:
    """Without a session, under the address by which the client came."""
    url = client.sandbox.url
    async with aiohttp.ClientSession(url) as http:
        async with http.get("/.well-known/openid-configuration") as response:
            document = await response.json()
        async with http.get(document["jwks_uri"]) as response:
            assert await response.json() == {"keys": []}
    assert document["issuer"] == url
    for name in ("token", "revocation", "userinfo", "introspection"):
        assert document[f"{name}_endpoint"].startswith(f"{url}/services/oauth2/")
