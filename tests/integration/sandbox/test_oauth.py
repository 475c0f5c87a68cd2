"""Logins to the sandbox by each flow, and refused ones."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from streamer.clock import TurnedClock
from streamer.sandbox import ConnectedApp, Sandbox, SandboxSettings
from tools.proxy import TcpProxy

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT = {"client_id": "sandbox", "client_secret": "sandbox-secret"}
USER = {"username": "bus@sandbox.example", "password": "sandbox-password"}
REFRESH = {"grant_type": "refresh_token", "refresh_token": "sandbox-refresh-token"}


@pytest.fixture
async def sandbox(clock: TurnedClock) -> AsyncIterator[Sandbox]:
    """A sandbox that verifies the signatures of JWTs."""
    async with Sandbox(clock, settings=SandboxSettings(app=ConnectedApp(jwt_key=PUBLIC))) as running:
        yield running


def assertion(clock: TurnedClock, key: rsa.RSAPrivateKey = KEY, **claims: Any) -> dict[str, str]:
    """Return the form of a JWT bearer request."""
    content = {
        "iss": "sandbox",
        "sub": "bus@sandbox.example",
        "aud": "https://login.salesforce.com",
        "exp": int(clock.now()) + 180,
    }
    return {"grant_type": JWT_BEARER, "assertion": jwt.encode(content | claims, key, algorithm="RS256")}


async def login(sandbox: Sandbox, form: dict[str, str], **headers: str) -> tuple[int, dict[str, str]]:
    """Ask for a token."""
    async with (
        aiohttp.ClientSession(sandbox.url, headers=headers) as http,
        http.post("/services/oauth2/token", data=form) as response,
    ):
        return response.status, await response.json()


@pytest.mark.parametrize(
    "form",
    [
        {"grant_type": "client_credentials", **CLIENT},
        {"grant_type": "password", **CLIENT, **USER},
        {"grant_type": "password", **CLIENT, **USER, "password": "sandbox-passwordSECURITYTOKEN"},
        {**REFRESH, **CLIENT},
    ],
    ids=lambda form: form["grant_type"],
)
async def test_each_flow_gives_a_token_that_is_good(sandbox: Sandbox, form: dict[str, str]) -> None:
    """The answer has what Salesforce's has, and no expiry."""
    status, answer = await login(sandbox, form)
    assert status == 200
    assert sandbox.tokens.valid(f"Bearer {answer['access_token']}")
    assert answer["instance_url"] == sandbox.url
    assert answer["id"] == f"{sandbox.url}/id/{sandbox.org.settings.org_id}/{sandbox.org.settings.user_id}"
    assert (answer["token_type"], answer["issued_at"]) == ("Bearer", "1735689600000")
    assert "expires_in" not in answer


async def test_instance_is_where_the_client_has_found_it(sandbox: Sandbox) -> None:
    """A client that comes through a proxy goes on through it."""
    async with TcpProxy(int(sandbox.url.rsplit(":", 1)[1])) as proxy, aiohttp.ClientSession() as http:
        here = f"http://localhost:{proxy.port}"
        form = {"grant_type": "client_credentials", **CLIENT}
        async with http.post(f"{here}/services/oauth2/token", data=form) as response:
            assert (await response.json())["instance_url"] == here


async def test_client_credentials_may_come_as_basic(sandbox: Sandbox) -> None:
    """The id and secret are read from the header when the form has none."""
    basic = base64.b64encode(b"sandbox:sandbox-secret").decode()
    status, _ = await login(sandbox, {"grant_type": "client_credentials"}, Authorization=f"Basic {basic}")
    assert status == 200


@pytest.mark.parametrize("audience", ["https://login.salesforce.com", "https://test.salesforce.com", None])
async def test_a_signed_jwt_gives_a_token(sandbox: Sandbox, clock: TurnedClock, audience: str | None) -> None:
    """Its audience is a login address of Salesforce's or the sandbox itself."""
    status, answer = await login(sandbox, assertion(clock, aud=audience or sandbox.url))
    assert status == 200
    assert sandbox.tokens.valid(answer["access_token"])


@pytest.mark.parametrize(
    ("claims", "error", "description"),
    [
        ({"iss": "other"}, "invalid_client_id", "client identifier invalid"),
        ({"sub": "other@x"}, "invalid_grant", "user hasn't approved this consumer"),
        ({"aud": "https://example.com"}, "invalid_grant", "Audience validation failed"),
        ({"exp": 1_735_689_600}, "invalid_grant", "expired authorization code"),
        ({"exp": "soon"}, "invalid_grant", "invalid assertion"),
    ],
)
async def test_a_jwt_with_a_wrong_claim_is_refused(
    sandbox: Sandbox, clock: TurnedClock, claims: dict[str, Any], error: str, description: str
) -> None:
    """Each claim has a refusal of its own."""
    status, answer = await login(sandbox, assertion(clock, **claims))
    assert (status, answer) == (400, {"error": error, "error_description": description})


async def test_a_jwt_that_another_key_signed_is_refused(sandbox: Sandbox, clock: TurnedClock) -> None:
    """The sandbox was given the public key, so it verifies."""
    status, answer = await login(sandbox, assertion(clock, OTHER_KEY))
    assert (status, answer["error_description"]) == (400, "invalid assertion")


@pytest.mark.parametrize(
    ("form", "error", "description"),
    [
        ({}, "unsupported_grant_type", "grant type not supported"),
        ({"grant_type": "client_credentials"}, "invalid_client_id", "client identifier invalid"),
        (
            {"grant_type": "client_credentials", **CLIENT, "client_secret": "wrong"},
            "invalid_client",
            "invalid client credentials",
        ),
        (
            {"grant_type": "password", **CLIENT, **USER, "password": "wrong"},
            "invalid_grant",
            "authentication failure",
        ),
        (
            {**REFRESH, **CLIENT, "refresh_token": "old"},
            "invalid_grant",
            "expired access/refresh token",
        ),
        ({"grant_type": JWT_BEARER, "assertion": "rubbish"}, "invalid_grant", "invalid assertion"),
    ],
)
async def test_wrong_credentials_are_refused(
    sandbox: Sandbox, form: dict[str, str], error: str, description: str
) -> None:
    """The answer is a 400 with OAuth's error code and Salesforce's description."""
    status, answer = await login(sandbox, form)
    assert (status, answer) == (400, {"error": error, "error_description": description})


async def test_userinfo_and_identity_tell_who_is_logged_in(sandbox: Sandbox) -> None:
    """Both name the user and the org; without a token they tell nothing."""
    _, answer = await login(sandbox, {"grant_type": "client_credentials", **CLIENT})
    bearer = {"Authorization": f"Bearer {answer['access_token']}"}
    async with aiohttp.ClientSession() as http:
        for url in (f"{sandbox.url}/services/oauth2/userinfo", answer["id"]):
            about = await (await http.get(url, headers=bearer)).json()
            assert about["organization_id"] == sandbox.org.settings.org_id
            assert about["preferred_username"] == "bus@sandbox.example"
            assert (await http.get(url)).status == 403


async def test_identity_has_the_keys_that_clients_read(sandbox: Sandbox) -> None:
    """The addresses hold `{version}`, for clients to fill in, and work then."""
    _, answer = await login(sandbox, {"grant_type": "client_credentials", **CLIENT})
    bearer = {"Authorization": f"Bearer {answer['access_token']}"}
    async with aiohttp.ClientSession() as http:
        about = await (await http.get(answer["id"], headers=bearer)).json()
        urls = about["urls"]
        assert {
            "enterprise",
            "metadata",
            "partner",
            "rest",
            "sobjects",
            "query",
            "tooling_rest",
        } <= urls.keys()
        org_id = sandbox.org.settings.org_id
        assert urls["partner"] == f"{sandbox.url}/services/Soap/u/{{version}}/{org_id}"
        assert urls["sobjects"] == f"{sandbox.url}/services/data/v{{version}}/sobjects/"
        for name in ("sobjects", "recent"):
            found = await http.get(urls[name].replace("{version}", "66.0"), headers=bearer)
            assert found.status == 200
    names = {"nickname", "given_name", "family_name", "zoneinfo", "locale", "language", "utcOffset"}
    names |= {"nick_name", "first_name", "last_name", "timezone", "photos", "user_type", "active"}
    names |= {"email_verified", "picture", "profile", "is_app_installed", "asserted_user"}
    assert names <= about.keys()
