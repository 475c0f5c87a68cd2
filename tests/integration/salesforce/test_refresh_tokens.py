"""Refresh tokens that Salesforce replaces with each login, in a file that processes share."""

import asyncio
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from streamer.clock import SystemClock
from streamer.errors import ConfigurationError, CredentialsRefused, StreamerError
from streamer.salesforce.auth.tokens import Tokens
from streamer.settings import RefreshAuth, Settings
from tests.streaming import org_at


@dataclass(slots=True)
class Rotation:
    """A token endpoint whose refresh tokens are good once; a used one revokes all, as Salesforce does."""

    good: str = "refresh-token-0"
    used: list[str] = field(default_factory=list)
    is_revoked: bool = False
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        """Spend the token of the request."""
        shown = str((await request.post())["refresh_token"])
        self.used.append(shown)
        if shown != self.good:
            self.is_revoked = True
        if self.is_revoked:
            refusal = {"error": "invalid_grant", "error_description": "expired access/refresh token"}
            return web.json_response(refusal, status=400)
        self.good = f"refresh-token-{len(self.used)}"
        given = self.good
        self.asked.set()
        await self.go_on.wait()
        url = f"http://localhost:{request.url.port}"
        return web.json_response(
            {
                "access_token": f"access-{given}",
                "refresh_token": given,
                "instance_url": url,
                "id": f"{url}/id/00D000000000001EAA/005000000000001AAA",
            }
        )


@asynccontextmanager
async def served(rotation: Rotation) -> AsyncIterator[str]:
    """Serve the endpoint; yields its address."""
    app = web.Application()
    app.router.add_post("/services/oauth2/token", rotation.answer)
    async with TestServer(app) as server:
        yield f"http://localhost:{server.port}"


FIRST = "refresh-token-0"


def tokens(http: aiohttp.ClientSession, url: str, file: Path | None, *, token: str = FIRST) -> Tokens:
    """Return the tokens of a process that has just started."""
    auth = RefreshAuth(flow="refresh", client_id="app", refresh_token=SecretStr(token), token_file=file)
    return Tokens(http, org_at(url, auth), SystemClock())


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client."""
    async with aiohttp.ClientSession() as http:
        yield http


@pytest.fixture
def rotation() -> Rotation:
    """An endpoint that answers at once."""
    rotation = Rotation()
    rotation.go_on.set()
    return rotation


async def test_process_begins_with_the_token_that_the_last_one_got(
    http: aiohttp.ClientSession, rotation: Rotation, tmp_path: Path
) -> None:
    """The configured one was used up by the first login."""
    async with served(rotation) as url:
        for _ in range(3):
            await tokens(http, url, tmp_path / "token").token()

    assert rotation.used == ["refresh-token-0", "refresh-token-1", "refresh-token-2"]


async def test_processes_that_refresh_at_once_spend_each_token_once(
    http: aiohttp.ClientSession, rotation: Rotation, tmp_path: Path
) -> None:
    """Each waits for the other's login, and continues with its token."""

    async def process() -> None:
        own = tokens(http, url, tmp_path / "token")
        for _ in range(4):
            await own.refreshed(await own.token())

    async with served(rotation) as url:
        await asyncio.gather(*(process() for _ in range(3)))

    assert len(set(rotation.used)) == len(rotation.used) == 15
    assert not rotation.is_revoked


async def test_login_that_is_cancelled_keeps_the_token(
    http: aiohttp.ClientSession, rotation: Rotation, tmp_path: Path
) -> None:
    """The server has used up the old one by then."""
    rotation.go_on.clear()
    async with served(rotation) as url:
        login = asyncio.create_task(tokens(http, url, tmp_path / "token").token())
        await rotation.asked.wait()
        login.cancel()
        await asyncio.sleep(0)
        rotation.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await login
        await tokens(http, url, tmp_path / "token").token()

    assert rotation.used == ["refresh-token-0", "refresh-token-1"]


async def test_newly_issued_token_counts_at_once(
    http: aiohttp.ClientSession, rotation: Rotation, tmp_path: Path
) -> None:
    """An operator has issued another, and the file still holds what came of the former."""
    async with served(rotation) as url:
        await tokens(http, url, tmp_path / "token").token()
        rotation.good, rotation.is_revoked = "issued-token", False
        await tokens(http, url, tmp_path / "token", token="issued-token").token()
        await tokens(http, url, tmp_path / "token", token="issued-token").token()

    assert rotation.used == ["refresh-token-0", "issued-token", "refresh-token-2"]


async def test_file_shows_no_token(http: aiohttp.ClientSession, rotation: Rotation, tmp_path: Path) -> None:
    """It is encrypted with the configured token, and its owner's alone."""
    async with served(rotation) as url:
        await tokens(http, url, tmp_path / "new" / "token").token()

    file = tmp_path / "new" / "token"
    assert b"refresh-token" not in file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"nonsense\n", b"encrypted:"])
async def test_damaged_line_of_another_token_does_no_harm(
    http: aiohttp.ClientSession, rotation: Rotation, tmp_path: Path, content: bytes
) -> None:
    """The configured token is tried."""
    (tmp_path / "token").write_bytes(content)
    async with served(rotation) as url:
        await tokens(http, url, tmp_path / "token").token()

    assert rotation.used == ["refresh-token-0"]


@pytest.mark.parametrize("name", ["token", "token.partial"])
async def test_token_is_not_spent_where_the_next_could_not_be_kept(
    http: aiohttp.ClientSession, rotation: Rotation, tmp_path: Path, name: str
) -> None:
    """A folder stands where the file is read, or where the next one is written."""
    (tmp_path / name).mkdir()
    async with served(rotation) as url:
        with pytest.raises(ConfigurationError, match="token_file"):
            await tokens(http, url, tmp_path / "token").token()

    assert rotation.used == []


async def test_rotation_without_a_file_is_refused_with_the_remedy(
    http: aiohttp.ClientSession, rotation: Rotation
) -> None:
    """At the first login, when an operator looks, and not at the next start."""
    async with served(rotation) as url:
        with pytest.raises(ConfigurationError, match=r"org\.auth\.token_file.*jwt"):
            await tokens(http, url, None).token()


async def test_token_that_stays_needs_no_file(http: aiohttp.ClientSession, rotation: Rotation) -> None:
    """Without rotation Salesforce answers with the same one, or with none."""

    async def same(request: web.Request) -> web.Response:
        rotation.good = str((await request.post())["refresh_token"])
        url = f"http://localhost:{request.url.port}"
        identity = f"{url}/id/00D000000000001EAA/005000000000001AAA"
        answer = {
            "access_token": "access",
            "refresh_token": rotation.good,
            "instance_url": url,
            "id": identity,
        }
        return web.json_response(answer)

    app = web.Application()
    app.router.add_post("/services/oauth2/token", same)
    async with TestServer(app) as server:
        own = tokens(http, f"http://localhost:{server.port}", None)
        await own.refreshed(await own.token())

    assert rotation.good == "refresh-token-0"


async def test_refused_login_names_what_to_do(
    http: aiohttp.ClientSession, rotation: Rotation, tmp_path: Path
) -> None:
    """The family of the token was revoked."""
    rotation.is_revoked = True
    async with served(rotation) as url:
        with pytest.raises(CredentialsRefused, match="issue a new refresh token") as refused:
            await tokens(http, url, tmp_path / "token").token()

    assert isinstance(refused.value, StreamerError)


def test_embedded_log_has_the_file_beside_it() -> None:
    """Kafka's processes can run on many machines, so an operator names it there."""
    auth = {"flow": "refresh", "client_id": "app", "refresh_token": "r"}
    org = {"login_url": "https://acme.my.salesforce.com", "auth": auth}
    channels = ["/data/ChangeEvents"]
    for log, expected in (
        ({}, Path("data/streamer.db.refresh-token")),
        ({"sqlite": {"path": "/x/log.db"}}, Path("/x/log.db.refresh-token")),
        ({"kafka": {"bootstrap_servers": "localhost:9092"}}, None),
    ):
        settings = Settings.model_validate({"org": org, "channels": channels, "log": log})
        assert isinstance(settings.org.auth, RefreshAuth)
        assert settings.org.auth.token_file == expected
