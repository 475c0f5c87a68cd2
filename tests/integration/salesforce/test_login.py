"""Logging in to the sandbox, and to servers that behave badly."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from streamer.app.ingest.ingesting import Ingesting
from streamer.app.observers import Observers
from streamer.clock import SystemClock, TurnedClock
from streamer.errors import ConfigurationError, CredentialsRefused, OrgChanged, SalesforceUnavailable
from streamer.log.memory import MemoryFaults, MemoryLog
from streamer.observe.metrics import Metrics
from streamer.salesforce.auth.flows import Logins
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.cometd.session import BayeuxOptions, BayeuxSession
from streamer.sandbox.server import Sandbox
from streamer.settings import Auth, JwtAuth, PasswordAuth, RefreshAuth, Settings
from streamer.supervision.status import Status
from tests.keys import private_key_pem
from tests.streaming import APP, org_at

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TOKEN: dict[str, Any] = {
    "access_token": "T1",
    "id": "https://login.salesforce.com/id/00D000000000001EAA/005000000000001AAA",
}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client."""
    async with aiohttp.ClientSession() as http:
        yield http


@asynccontextmanager
async def login_server(token: Handler, userinfo: Handler | None = None) -> AsyncIterator[str]:
    """Serve a token endpoint of the test's own; yields its address."""
    app = web.Application()
    app.router.add_post("/services/oauth2/token", token)
    if userinfo:
        app.router.add_get("/services/oauth2/userinfo", userinfo)
    async with TestServer(app) as server:
        yield f"http://localhost:{server.port}"


def answering(*answers: Any, status: int = 200) -> Handler:
    """Return an endpoint that gives one answer after the other, and then the last one for ever."""
    waiting = list(answers)

    async def answer(request: web.Request) -> web.StreamResponse:
        given = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(given, dict) and "access_token" in given:
            given = {"instance_url": f"http://localhost:{request.url.port}", **given}
        return web.json_response(given, status=status)

    return answer


@pytest.mark.parametrize(
    "auth",
    [
        APP,
        RefreshAuth(
            flow="refresh",
            client_id="sandbox",
            client_secret=SecretStr("sandbox-secret"),
            refresh_token=SecretStr("sandbox-refresh-token"),
        ),
        PasswordAuth(
            flow="password",
            client_id="sandbox",
            client_secret=SecretStr("sandbox-secret"),
            username="bus@sandbox.example",
            password=SecretStr("sandbox-password"),
        ),
        JwtAuth(
            flow="jwt",
            client_id="sandbox",
            username="bus@sandbox.example",
            key=SecretStr(private_key_pem()),
        ),
    ],
    ids=lambda auth: type(auth).__name__,
)
async def test_every_flow_opens_the_org(http: aiohttp.ClientSession, auth: Auth) -> None:
    """The token names the instance and the org."""
    clock = TurnedClock()
    async with Sandbox(clock) as sandbox:
        token = await Tokens(http, org_at(sandbox.url, auth), clock).token()
        assert token.instance_url == sandbox.url
        assert token.org == sandbox.org.settings.org_id
        assert sandbox.tokens.valid(f"Bearer {token.access_token}")
        assert token.access_token not in repr(token)


async def test_many_callers_cost_one_login(http: aiohttp.ClientSession) -> None:
    """Whoever finds the token stale gets the same new one."""
    clock = TurnedClock()
    async with Sandbox(clock) as sandbox:
        tokens = Tokens(http, org_at(sandbox.url), clock)
        stale = await tokens.token()
        renewed = await asyncio.gather(*(tokens.refreshed(stale) for _ in range(20)))
        assert len(set(renewed)) == 1
        assert len(sandbox.tokens) == 2


async def test_many_callers_share_one_refusal(http: aiohttp.ClientSession) -> None:
    """A wrong password is tried once, however many wait; the next caller tries again."""
    refused = {"error": "invalid_grant", "error_description": "authentication failure"}
    calls = []

    async def token(request: web.Request) -> web.StreamResponse:
        calls.append(request)
        return await answering(refused, status=400)(request)

    async with login_server(token) as url:
        tokens = Tokens(http, org_at(url), TurnedClock())
        outcomes = await asyncio.gather(*(tokens.token() for _ in range(5)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [CredentialsRefused] * 5
        assert len(calls) == 1
        with pytest.raises(CredentialsRefused):
            await tokens.token()
        assert len(calls) == 2


async def test_refused_password_is_not_tried_again_at_once(http: aiohttp.ClientSession) -> None:
    """A few in a row would lock the user's account, for people too."""
    refused = {"error": "invalid_grant", "error_description": "authentication failure"}
    calls = []

    async def token(request: web.Request) -> web.StreamResponse:
        calls.append(request)
        return await answering(refused, status=400)(request)

    clock = TurnedClock()
    secret = SecretStr("wrong")
    auth = PasswordAuth(
        flow="password", client_id="app", client_secret=secret, username="ann@acme.com", password=secret
    )
    async with login_server(token) as url:
        tokens = Tokens(http, org_at(url, auth), clock)
        for tried in (1, 1, 2, 2):
            with pytest.raises(CredentialsRefused):
                await tokens.token()
            assert len(calls) == tried
            await clock.turn(40.0)


async def test_refusal_that_echoes_the_secret_does_not_show_it(http: aiohttp.ClientSession) -> None:
    """Whatever a server writes, our secrets stay ours."""
    echo = {"error": "invalid_client", "error_description": "no such secret: s3cret\n!"}
    async with login_server(answering(echo, status=400)) as url:
        auth = APP.model_copy(update={"client_secret": SecretStr("s3cret")})
        with pytest.raises(CredentialsRefused) as raised:
            await Tokens(http, org_at(url, auth), TurnedClock()).token()
    assert "s3cret" not in str(raised.value)
    assert "***" in str(raised.value)


async def test_org_is_asked_for_when_the_answer_does_not_name_it(http: aiohttp.ClientSession) -> None:
    """Userinfo names the org with 18 characters."""
    token = answering({**TOKEN, "id": ""})
    async with login_server(token, answering({"organization_id": "00D000000000001EAA"})) as url:
        tokens = Tokens(http, org_at(url), TurnedClock())
        assert (await tokens.token()).org == "00D000000000001EAA"


async def test_login_to_another_org_than_before_is_refused(http: aiohttp.ClientSession) -> None:
    """Positions of one org mean nothing in another."""
    other = {**TOKEN, "id": TOKEN["id"].replace("00D000000000001EAA", "00D000000000002EAA")}
    async with login_server(answering(TOKEN, other)) as url:
        tokens = Tokens(http, org_at(url), TurnedClock())
        with pytest.raises(ConfigurationError, match="00D000000000002EAA"):
            await tokens.refreshed(await tokens.token())


async def test_instance_that_would_get_the_token_in_the_clear_is_refused(http: aiohttp.ClientSession) -> None:
    """An answer can't send our token over plain http to another machine."""
    async with login_server(answering({**TOKEN, "instance_url": "http://acme.example"})) as url:
        with pytest.raises(ConfigurationError, match="instance_url"):
            await Tokens(http, org_at(url), TurnedClock()).token()


@pytest.mark.parametrize("token", ["T1\r\nX-Evil: 1", "", "T 1", "T\u00fc", "T" * 20_000])
async def test_token_that_fits_no_header_is_refused(http: aiohttp.ClientSession, token: str) -> None:
    """It would end the daemon where the header is written."""
    async with login_server(answering({**TOKEN, "access_token": token})) as url:
        with pytest.raises(CredentialsRefused, match="an invalid access_token"):
            await Tokens(http, org_at(url), TurnedClock()).token()


async def test_error_code_is_shown_briefly_and_without_secrets(http: aiohttp.ClientSession) -> None:
    """An endpoint can echo what it was sent as the code, too."""
    said = {"error": "sandbox-secret\n" + "x" * 10_000}
    async with login_server(answering(said, status=400)) as url:
        with pytest.raises(CredentialsRefused) as raised:
            await Tokens(http, org_at(url), TurnedClock()).token()

    assert "sandbox-secret" not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600


async def test_rotated_refresh_token_is_used_next(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """With rotation each refresh token is good once."""
    used = []

    async def token(request: web.Request) -> web.StreamResponse:
        used.append((await request.post())["refresh_token"])
        return await answering({**TOKEN, "refresh_token": f"r{len(used)}"})(request)

    async with login_server(token) as url:
        auth = RefreshAuth(
            flow="refresh", client_id="app", refresh_token=SecretStr("r0"), token_file=tmp_path / "token"
        )
        tokens = Tokens(http, org_at(url, auth), TurnedClock())
        await tokens.refreshed(await tokens.token())
    assert used == ["r0", "r1"]


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_server_in_trouble_is_tried_later(http: aiohttp.ClientSession, status: int) -> None:
    """Nobody has to act on a server error."""
    async with login_server(answering({}, status=status)) as url:
        with pytest.raises(SalesforceUnavailable):
            await Tokens(http, org_at(url), TurnedClock()).token()


async def test_page_in_place_of_a_token_says_to_check_the_address(http: aiohttp.ClientSession) -> None:
    """A redirect is not followed with our secrets, and an HTML page is not taken for a token."""

    async def moved(_: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("https://elsewhere.example")

    async with login_server(moved) as url:
        with pytest.raises(CredentialsRefused, match=r"check org\.login_url"):
            await Tokens(http, org_at(url), TurnedClock()).token()


async def test_silent_login_server_is_given_up_by_the_clock(http: aiohttp.ClientSession) -> None:
    """A login that is not answered ends after 30 s."""
    asked, clock = asyncio.Event(), TurnedClock()

    async def silent(_: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with login_server(silent) as url:
        login = asyncio.create_task(Tokens(http, org_at(url), clock).token())
        await asked.wait()
        await clock.turn(31)
        with pytest.raises(SalesforceUnavailable, match="30 s"):
            await login


async def test_endless_answer_is_not_read_to_its_end(http: aiohttp.ClientSession) -> None:
    """A token is small; a server can't fill our memory."""
    async with login_server(answering({**TOKEN, "padding": "x" * 1_000_000})) as url:
        with pytest.raises(SalesforceUnavailable, match="more than 65536 bytes"):
            await Tokens(http, org_at(url), TurnedClock()).token()


async def test_unreachable_login_server_is_tried_later(http: aiohttp.ClientSession) -> None:
    """A connection that fails is one sentence that names the address."""
    async with login_server(answering(TOKEN)) as url:
        pass
    with pytest.raises(SalesforceUnavailable, match="can't be reached"):
        await Tokens(http, org_at(url), TurnedClock()).token()


async def test_org_that_is_named_is_checked_without_the_log() -> None:
    """Its checkpoints would decide nothing, and reading them can take long or wait for the log."""
    clock = SystemClock()
    async with Sandbox(clock) as sandbox:
        other = org_at(sandbox.url).model_copy(update={"id": "00D000000000009AAA"})
        ingesting = Ingesting(
            settings=Settings.model_validate({"org": other, "channels": ["/data/ChangeEvents"]}),
            clock=clock,
            observers=Observers(metrics=Metrics(clock=clock)),
            status=Status(),
            logins=Logins(clock),
        )
        with pytest.raises(OrgChanged):
            await ingesting.run(MemoryLog(faults=MemoryFaults(down=True)))  # type: ignore[arg-type] # it needs no condition here


async def test_salesforces_clock_is_known_from_its_answers(http: aiohttp.ClientSession) -> None:
    """The login and each answer of a session state it, so that a wrong clock of ours hides no event."""
    orgs, ours = TurnedClock(), TurnedClock(TurnedClock().now() + 300.0)
    async with Sandbox(orgs) as sandbox:
        token = await Tokens(http, org_at(sandbox.url, APP), ours).token()
        async with BayeuxSession(token, ours, BayeuxOptions()) as session:
            before = session.org_time
            await session.handshake()

        assert token.ahead_s == pytest.approx(-300.0, abs=2.0)
        assert before is None
        assert session.org_time == pytest.approx(orgs.now(), abs=2.0)
