"""Login of both probes, and their run until they are interrupted."""

import asyncio
import gc
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import aiohttp

_LOGIN = {"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox-secret"}


async def logged_in(http: aiohttp.ClientSession, url: str) -> tuple[str, str]:
    """Return an access token for the org at `url`, and the org's id."""
    async with http.post(f"{url}/services/oauth2/token", data=_LOGIN) as response:
        token = await response.json()
    return token["access_token"], token["id"].split("/")[-2]


def run(draining: Coroutine[Any, Any, None]) -> None:
    """Run a probe until it is interrupted."""
    # The daemon does so too: there are no cycles to look for in what is parsed and dropped.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    with suppress(KeyboardInterrupt):
        asyncio.run(draining)
