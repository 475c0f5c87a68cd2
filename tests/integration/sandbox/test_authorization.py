"""Logins in a browser, by the authorization-code flow."""

import base64
import hashlib
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest
from pydantic import SecretStr

from streamer.clock import TurnedClock
from streamer.sandbox import ConnectedApp, Sandbox, SandboxSettings, User

AUTHORIZE, TOKEN = "/services/oauth2/authorize", "/services/oauth2/token"
BACK = "http://localhost:1717/OauthRedirect?from=sandbox"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
PKCE = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
SECRET = {"client_secret": "sandbox-secret"}
EVIL = '"><script>alert(1)</script>'


class Page(HTMLParser):
    """The form of a page, its buttons with their texts, and all tags."""

    def __init__(self, text: str) -> None:
        """Read the page."""
        super().__init__()
        self.fields: dict[str, str] = {}
        self.buttons: dict[str, str] = {}
        self.tags: list[str] = []
        self.form: dict[str, str | None] = {}
        self._value: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what can be sent."""
        found = dict(attrs)
        self.tags.append(tag)
        if tag == "form":
            self.form = found
        elif tag == "input":
            self.fields[str(found["name"])] = str(found["value"])
        elif tag == "button":
            self._value = str(found["value"])

    def handle_endtag(self, tag: str) -> None:
        """End the text of a button."""
        if tag == "button":
            self._value = None

    def handle_data(self, data: str) -> None:
        """Note the text of a button."""
        if self._value is not None:
            self.buttons[self._value] = data


@pytest.fixture
async def sandbox(clock: TurnedClock) -> AsyncIterator[Sandbox]:
    """An org with two users; the name of one contains characters that HTML escapes."""
    ida = User(username=f"ida{EVIL}@acme.example", client_id="ida", client_secret=SecretStr("ida-secret"))
    settings = SandboxSettings(users=(ida,))
    async with Sandbox(clock, settings=settings) as running:
        yield running


@pytest.fixture
async def browser(sandbox: Sandbox) -> AsyncIterator[aiohttp.ClientSession]:
    """A browser, which follows no redirect so that a test sees it."""
    async with aiohttp.ClientSession(sandbox.url) as http:
        yield http


async def asked(browser: aiohttp.ClientSession, **changes: str | None) -> aiohttp.ClientResponse:
    """Open the login as a client's link does; a change to `None` leaves a parameter out."""
    query = {"response_type": "code", "client_id": "sandbox", "redirect_uri": BACK, "state": "a&b", **changes}
    sent = {name: value for name, value in query.items() if value is not None}
    response = await browser.get(AUTHORIZE, params=sent, allow_redirects=False)
    await response.read()
    return response


async def pressed(browser: aiohttp.ClientSession, page: Page, user: str, **headers: str) -> dict[str, str]:
    """Press a button and return the parameters that lead back to the client, or the status."""
    data = {**page.fields, "user": user}
    async with browser.post(
        str(page.form["action"]), data=data, headers=headers, allow_redirects=False
    ) as answer:
        if answer.status != 302:
            return {"status": str(answer.status)}
        assert answer.headers["Location"].startswith(f"{BACK}&")
        return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


async def code_of(browser: aiohttp.ClientSession, **changes: str | None) -> str:
    """Log in as the first user and return the code."""
    page = Page(await (await asked(browser, **changes)).text())
    return (await pressed(browser, page, next(iter(page.buttons))))["code"]


async def exchanged(browser: aiohttp.ClientSession, code: str, **changes: str) -> tuple[int, dict[str, Any]]:
    """Exchange a code for tokens."""
    form = {"grant_type": "authorization_code", "code": code, "client_id": "sandbox", "redirect_uri": BACK}
    async with browser.post(TOKEN, data={**form, **changes}) as response:
        return response.status, await response.json()


async def test_the_page_names_client_and_users(browser: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """A button for each user, and one that denies; nothing of a name is markup."""
    page = Page(await (await asked(browser, scope="api refresh_token")).text())
    assert list(page.buttons.values()) == [
        "Allow sandbox access as bus@sandbox.example",
        f"Allow sandbox access as ida{EVIL}@acme.example",
        "Deny access",
    ]
    assert sandbox.org.settings.user_id in page.buttons
    assert {"title", "main", "h1"} <= set(page.tags)
    assert "script" not in page.tags


async def test_the_page_is_shown_in_no_frame_and_runs_nothing(browser: aiohttp.ClientSession) -> None:
    """Its headers say so, and keep it out of caches."""
    headers = (await asked(browser)).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert (headers["X-Frame-Options"], headers["Cache-Control"]) == ("DENY", "no-store")


async def test_a_login_ends_in_tokens_of_the_user(browser: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    """The state comes back, and the refresh token that the scope asks for opens further sessions."""
    page = Page(await (await asked(browser, scope="api  refresh_token")).text())
    user_id = list(page.buttons)[1]
    back = await pressed(browser, page, user_id)
    assert (back["state"], back["from"]) == ("a&b", "sandbox")
    status, tokens = await exchanged(browser, back["code"], **SECRET)
    assert (status, tokens["scope"], tokens["id"].split("/")[-1]) == (200, "api refresh_token", user_id)
    assert sandbox.tokens.valid(tokens["access_token"])
    form = {"grant_type": "refresh_token", "client_id": "sandbox", "refresh_token": tokens["refresh_token"]}
    async with browser.post(TOKEN, data={**form, **SECRET}) as response:
        refreshed = await response.json()
    session = sandbox.tokens.session(refreshed["access_token"])
    assert (session and session.user_id, "refresh_token" in refreshed) == (user_id, False)
    assert sandbox.tokens.revoke(tokens["refresh_token"])
    assert not sandbox.tokens.valid(refreshed["access_token"])


async def test_a_refresh_token_is_its_clients(browser: aiohttp.ClientSession) -> None:
    """Another client can't use it."""
    code = await code_of(browser, scope="refresh_token")
    _, tokens = await exchanged(browser, code, **SECRET)
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    for client in ({"client_id": "ida", "client_secret": "ida-secret"}, {"client_id": "sandbox", **SECRET}):
        async with browser.post(TOKEN, data={**form, **client}) as response:
            assert response.status == (200 if client["client_id"] == "sandbox" else 400)


async def test_without_its_scope_there_is_no_refresh_token(browser: aiohttp.ClientSession) -> None:
    """Only an access token then."""
    _, tokens = await exchanged(browser, await code_of(browser), **SECRET)
    assert (tokens["scope"], "refresh_token" in tokens) == ("api", False)


async def test_a_client_without_secret_proves_itself_by_pkce(browser: aiohttp.ClientSession) -> None:
    """The verifier must be that of the challenge."""
    code = await code_of(browser, **PKCE)
    assert (await exchanged(browser, code, code_verifier=VERIFIER))[0] == 200


async def test_public_client_refreshes_without_a_secret(browser: aiohttp.ClientSession) -> None:
    """It has none; a token that was got with a secret needs it."""
    for asking, exchanging, status in ((PKCE, {"code_verifier": VERIFIER}, 200), ({}, SECRET, 400)):
        code = await code_of(browser, scope="api refresh_token", **asking)
        _, tokens = await exchanged(browser, code, **exchanging)
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        async with browser.post(TOKEN, data={**form, "client_id": "sandbox"}) as response:
            assert response.status == status
        wrong = {"client_id": "sandbox", "client_secret": "wrong"}
        async with browser.post(TOKEN, data={**form, **wrong}) as response:
            assert response.status == 400


@pytest.mark.parametrize(
    ("asking", "exchanging", "error"),
    [
        ({}, {}, "invalid_client"),
        ({}, {"client_secret": "wrong"}, "invalid_client"),
        ({}, {**SECRET, "client_id": "other"}, "invalid_client_id"),
        ({}, {"client_id": "ida", "client_secret": "ida-secret"}, "invalid_grant"),
        ({}, {**SECRET, "redirect_uri": "http://localhost:1717/other"}, "redirect_uri_mismatch"),
        ({}, {**SECRET, "code": "rubbish"}, "invalid_grant"),
        (PKCE, SECRET, "invalid_grant"),
        (PKCE, {"code_verifier": VERIFIER[:-1] + "x"}, "invalid_grant"),
        (PKCE, {**SECRET, "code_verifier": CHALLENGE}, "invalid_grant"),
    ],
)
async def test_a_code_is_not_given_away(
    browser: aiohttp.ClientSession, asking: dict[str, str], exchanging: dict[str, str], error: str
) -> None:
    """Each check has its own error."""
    code = await code_of(browser, **asking)
    status, answer = await exchanged(browser, **{"code": code, **exchanging})
    assert (status, answer["error"]) == (400, error)


async def test_a_code_is_used_once_and_soon(browser: aiohttp.ClientSession, clock: TurnedClock) -> None:
    """A failed try uses it up, too."""
    code = await code_of(browser)
    assert (await exchanged(browser, code, **SECRET))[0] == 200
    expired = {"error": "invalid_grant", "error_description": "expired authorization code"}
    assert await exchanged(browser, code, **SECRET) == (400, expired)
    code = await code_of(browser, **PKCE)
    assert (await exchanged(browser, code, code_verifier="x" * 43))[0] == 400
    assert await exchanged(browser, code, code_verifier=VERIFIER) == (400, expired)
    code = await code_of(browser)
    await clock.turn(901)
    assert await exchanged(browser, code, **SECRET) == (400, expired)


async def test_a_denial_leads_back(browser: aiohttp.ClientSession) -> None:
    """With the error of a user who says no."""
    back = await pressed(browser, Page(await (await asked(browser)).text()), "")
    assert (back["error"], back["state"]) == ("access_denied", "a&b")


async def test_a_page_is_answered_once_and_soon(browser: aiohttp.ClientSession, clock: TurnedClock) -> None:
    """Its ticket is no one else's, and ends."""
    page = Page(await (await asked(browser)).text())
    user = next(iter(page.buttons))
    assert "code" in await pressed(browser, page, user)
    assert await pressed(browser, page, user) == {"status": "400"}
    page = Page(await (await asked(browser)).text())
    await clock.turn(601)
    assert await pressed(browser, page, user) == {"status": "400"}


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}],
    ids=["origin", "site", "host"],
)
async def test_another_site_presses_no_button(
    browser: aiohttp.ClientSession, sandbox: Sandbox, headers: dict[str, str]
) -> None:
    """Even with the ticket; and a rebound name does not get the page."""
    page = Page(await (await asked(browser)).text())
    user = next(iter(page.buttons))
    assert await pressed(browser, page, user, **headers) == {"status": "403"}
    async with browser.get(AUTHORIZE, headers={"Host": "evil.example"}) as response:
        assert response.status == 403
    own = {"Origin": sandbox.url, "Sec-Fetch-Site": "same-origin"}
    assert "code" in await pressed(browser, page, user, **own)


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": EVIL},
        {"client_id": None},
        {"redirect_uri": None},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": "http://localhost.evil.example/"},
        {"redirect_uri": "http://localhost@evil.example/"},
        {"redirect_uri": "http://localhost:pw@localhost/"},
        {"redirect_uri": "http://evil.example\\@localhost/"},
        {"redirect_uri": "http://localhost/\r\nSet-Cookie: a=b"},
        {"redirect_uri": "http://localhost/#here"},
        {"redirect_uri": "javascript:alert(1)//localhost"},
        {"redirect_uri": "http://localhost:99999999/"},
    ],
)
async def test_nothing_leads_to_a_strange_address(
    browser: aiohttp.ClientSession, changes: dict[str, str | None]
) -> None:
    """The error is a page, and repeats nothing as markup."""
    response = await asked(browser, **changes)
    assert (response.status, "Location" in response.headers) == (400, False)
    assert "script" not in Page(await response.text()).tags


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "api everything"}, "invalid_scope"),
        ({**PKCE, "code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
    ],
)
async def test_a_bad_request_leads_back_with_its_error(
    browser: aiohttp.ClientSession, changes: dict[str, str], error: str
) -> None:
    """To the client, which made the mistake."""
    location = (await asked(browser, **changes)).headers["Location"]
    assert location.startswith(f"{BACK}&error={error}&")
    assert location.endswith("&state=a%26b")


async def test_declared_addresses_are_the_only_ones(clock: TurnedClock) -> None:
    """Those of this machine are only the default."""
    app = ConnectedApp(callbacks=("https://app.example/back", "sfdc://done"))
    async with (
        Sandbox(clock, settings=SandboxSettings(app=app)) as sandbox,
        aiohttp.ClientSession(sandbox.url) as browser,
    ):
        for uri, status in ((BACK, 400), ("https://app.example/back", 200), ("sfdc://done", 200)):
            assert (await asked(browser, redirect_uri=uri)).status == status
