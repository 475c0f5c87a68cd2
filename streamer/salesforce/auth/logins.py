"""Logins of a process: one holder of tokens for each org, shared by all parts that use the org."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamer.clock import Clock
from streamer.settings import OrgSettings

if TYPE_CHECKING:
    import aiohttp

    from streamer.salesforce.auth.tokens import Tokens


@dataclass(slots=True)
class _Login:
    """Tokens in use, with their HTTP client and the number of users."""

    http: aiohttp.ClientSession
    tokens: Tokens
    users: int = 0


class Logins:
    """Lends the tokens of orgs.

    A user and an app have few grants, and a login can use its refresh token up.
    So parts that use one org with the same settings at the same time share one
    token.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._logins: dict[OrgSettings, _Login] = {}

    @asynccontextmanager
    async def opened(self, org: OrgSettings) -> AsyncIterator[tuple[Tokens, aiohttp.ClientSession]]:
        """Lend the tokens of `org`, and the HTTP client that gets them; nobody logs in yet.

        Raises `ConfigurationError` when a secret would travel in the clear.
        """
        login = self._logins.get(org)
        if login is None:
            login = self._logins[org] = await self._made(org)
        login.users += 1
        try:
            yield login.tokens, login.http
        finally:
            login.users -= 1
            if not login.users:
                del self._logins[org]
                await login.http.close()

    async def _made(self, org: OrgSettings) -> _Login:
        # A command that opens no connection holds logins too.
        import aiohttp  # noqa: PLC0415 - see `streamer.later`

        from streamer.salesforce.auth.tokens import Tokens  # noqa: PLC0415 - as said

        http = aiohttp.ClientSession()
        try:
            return _Login(http, Tokens(http, org, self.clock))
        except BaseException:
            await http.close()
            raise
