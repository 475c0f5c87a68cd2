"""A daemon that a test operates and observes, with the same address after restarts."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.configuration import written
from tests.daemon import Daemon
from tests.integration.monitoring.stretching import Look
from tests.operating import Operator, Said, admin_url
from tests.waiting import until
from tools.ports import free_ports

_BETWEEN_LOOKS_S = 1.5
"""More than the second after which a daemon looks at its own parts."""


@dataclass(slots=True)
class Observed:
    """A daemon of `configuration` in `folder`; it runs from `start` on until `stop` or `kill`."""

    folder: Path
    configuration: dict[str, Any]
    environ: Mapping[str, str] = field(default_factory=dict)
    instance: str = "a"
    port: int = field(default_factory=lambda: free_ports(1)[0])
    _running: AsyncExitStack = field(default_factory=AsyncExitStack, init=False)
    _daemon: Daemon | None = field(default=None, init=False)
    _operator: Operator | None = field(default=None, init=False)

    async def __aenter__(self) -> Self:
        self.configuration["observe"] |= {"port": self.port}
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._running.aclose()

    @property
    def daemon(self) -> Daemon:
        """The daemon that runs."""
        assert self._daemon is not None
        return self._daemon

    async def start(self, *, ready: bool = True) -> None:
        """Run `streamer run`, and wait until it is ready, or at least listens."""
        config = written(self.folder, self.configuration)
        running = Daemon.running(config, environ=self.environ)
        self._daemon = await self._running.enter_async_context(running)
        await (self._daemon.ready() if ready else self._daemon.started())
        self._operator = await Operator.of(self._daemon)

    async def stop(self) -> None:
        """Stop it as a service manager does."""
        assert await self.daemon.stop() == 0

    async def restart(self) -> None:
        """Stop it and start it again."""
        await self.stop()
        await self.start()

    async def reconfigure(self, text: str | None = None) -> None:
        """Write the configuration again, or `text` instead, and let the daemon read it."""
        path = written(self.folder, self.configuration)
        if text is not None:
            path.write_text(text, encoding="utf-8")
        self.daemon.hang_up()

    async def call(self, *arguments: str) -> Said:
        """Call `streamer` with the words of a runbook; it must succeed."""
        assert self._operator is not None
        said = await self._operator.call(*arguments)
        assert said.status == 0, f"{arguments}: {said.output}{said.error}"
        return said

    async def ask(self, method: str, path: str, body: Any) -> None:
        """Ask the admin API for something that no command asks for."""
        url = f"{await admin_url(self.daemon)}/{path}"
        async with aiohttp.ClientSession() as http, http.request(method, url, json=body) as answer:
            assert answer.status < HTTPStatus.MULTIPLE_CHOICES, await answer.text()

    async def look(self) -> Look:
        """Scrape it now."""
        now = time.time()
        try:
            async with (
                aiohttp.ClientSession() as http,
                http.get(f"http://localhost:{self.port}/metrics") as answer,
            ):
                return Look.of(await answer.text(), at=now, instance=self.instance)
        except aiohttp.ClientConnectionError:
            return Look.in_vain(at=now, instance=self.instance)

    async def looks(self) -> tuple[Look, Look]:
        """Scrape it now and in a second or two."""
        first = await self.look()
        await asyncio.sleep(_BETWEEN_LOOKS_S)
        return first, await self.look()

    async def shows(
        self,
        holds: Callable[[Look], object],
        *,
        told: Callable[[Look], object] = lambda look: sorted(look.values.items()),
    ) -> None:
        """Wait until a look at it is as it should be; after a minute in vain say what is `told` of it."""

        async def so() -> bool:
            return bool(holds(await self.look()))

        try:
            await until(so, every_s=0.1)
        except AssertionError:
            raise AssertionError(f"{told(await self.look())}\n{self.daemon.output[-4000:]}") from None
