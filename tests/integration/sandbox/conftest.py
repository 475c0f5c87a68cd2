"""A running sandbox and a client that is logged in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import pytest

from streamer.clock import TurnedClock
from streamer.sandbox import Sandbox

DATA = "/services/data/v66.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Speaks JSON with a sandbox in one session."""

    http: aiohttp.ClientSession
    sandbox: Sandbox

    async def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        """Return the status and the body of an answer; a path without `/` is a REST one."""
        url = path if path.startswith(("/", "http")) else f"{DATA}/{path}"
        async with self.http.request(method, url, json=body, **options) as response:
            text = await response.read()
            return response.status, orjson.loads(text) if text else None


@pytest.fixture
def clock() -> TurnedClock:
    """The clock of the sandbox, which stands still."""
    return TurnedClock()


@pytest.fixture
async def sandbox(clock: TurnedClock) -> AsyncIterator[Sandbox]:
    """An empty org that listens."""
    async with Sandbox(clock) as running:
        yield running


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[Client]:
    """A client with a valid token."""
    async with session(sandbox) as client:
        yield client


@asynccontextmanager
async def session(sandbox: Sandbox) -> AsyncIterator[Client]:
    """Return a context that gives a client with a valid token."""
    token = sandbox.tokens.issue(user_id=sandbox.org.settings.user_id, client_id="sandbox")
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(sandbox.url, headers=headers) as http:
        yield Client(http=http, sandbox=sandbox)
