"""The daemons of a trial: processes that are ended, frozen and started again."""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import aiohttp

from tests.daemon import Daemon

_LOOK_S = 0.5
_OK = 200


@dataclass(slots=True, kw_only=True)
class Member:
    """One place in the fleet, which a daemon of this `config` fills again and again.

    `complaints` collects what a daemon did that none may ever do.
    """

    number: int
    config: Path
    daemon: Daemon | None = None
    frozen: bool = False
    complaints: list[str] = field(default_factory=list)
    lives: list[Daemon] = field(default_factory=list)
    _running: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self) -> None:
        """Start a daemon, and return before it is ready."""
        self.daemon = await self._running.enter_async_context(Daemon.running(self.config))
        self.lives.append(self.daemon)

    async def ready(self) -> None:
        """Wait until it is ready."""
        if self.daemon is not None:
            await self.daemon.ready()

    async def is_ready(self) -> bool:
        """Tell whether it is ready now."""
        daemon = self.daemon
        if daemon is None or not daemon.listens:
            return False
        # A daemon that has ended by itself is reported when it is stopped.
        with suppress(aiohttp.ClientError, TimeoutError):
            return (await daemon.probe("readyz"))[0] == _OK
        return False

    async def kill(self) -> None:
        """End it as a power cut would."""
        daemon = self._leave()
        if daemon is not None:
            await daemon.kill()
        await self._running.aclose()

    async def stop(self) -> None:
        """Stop it in good order, as Kubernetes does."""
        daemon = self._leave()
        if daemon is not None:
            # Before it listens it has begun nothing, and the signal can end it like any process.
            begun, status = daemon.listens, await daemon.stop()
            if status != 0 and (begun or status != -signal.SIGTERM):
                self.complaints.append(f"daemon {self.number} ended with {status} when it was stopped")
        await self._running.aclose()

    def freeze(self) -> None:
        """Let it stand still; its connections stay open."""
        if self.daemon is not None and self.daemon.runs:
            self.frozen = True
            self.daemon.freeze()

    def thaw(self) -> None:
        """Let it go on."""
        if self.daemon is not None and self.frozen:
            self.daemon.thaw()
        self.frozen = False

    async def close(self) -> None:
        """End whatever runs."""
        self.thaw()
        await self._running.aclose()

    def _leave(self) -> Daemon | None:
        """Return the daemon that will be ended; one that has ended by itself is a finding."""
        daemon, self.daemon = self.daemon, None
        if daemon is None or daemon.runs:
            return daemon
        self.complaints.append(f"daemon {self.number} ended by itself: {daemon.output[-1000:]}")
        return None

    async def examine(self) -> None:
        """Ask whether it is alive: nothing that happens around it may make it say no."""
        daemon = self.daemon
        if daemon is None or self.frozen or not daemon.listens:
            return
        try:
            status, body = await daemon.probe("healthz")
        except (aiohttp.ClientError, TimeoutError):
            # It was ended or frozen meanwhile, or has not come so far.
            return
        if status != _OK:
            self.complaints.append(f"daemon {self.number} called itself dead: {body['problems']}")


@dataclass(slots=True, kw_only=True)
class Fleet:
    """All daemons of a trial. A context: what still runs at its end is killed."""

    members: Sequence[Member]

    async def __aenter__(self) -> Self:
        """Start every daemon."""
        await asyncio.gather(*(member.start() for member in self.members))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave nothing behind."""
        await asyncio.gather(*(member.close() for member in self.members))

    async def ready(self) -> None:
        """Wait until every daemon is ready."""
        await asyncio.gather(*(member.ready() for member in self.members))

    async def is_ready(self) -> bool:
        """Tell whether every daemon is ready now."""
        return all(await asyncio.gather(*(member.is_ready() for member in self.members)))

    async def stop(self) -> None:
        """Stop every daemon in good order."""
        await asyncio.gather(*(member.stop() for member in self.members))

    async def watch(self) -> None:
        """Examine every daemon now and then, until cancelled."""
        while True:
            await asyncio.gather(*(member.examine() for member in self.members))
            await asyncio.sleep(_LOOK_S)

    @property
    def gains(self) -> int:
        """How often any daemon has been given channels to read."""
        lives = [life for member in self.members for life in member.lives]
        return sum(life.output.count('"ownership.gained"') for life in lives)

    @property
    def complaints(self) -> list[str]:
        """Acts of daemons that no daemon may ever do."""
        crashed = [
            f"daemon {member.number} shows a traceback:\n{_last_lines(life.output)}"
            for member in self.members
            for life in member.lives
            if "Traceback (most recent call last)" in life.output
        ]
        return [complaint for member in self.members for complaint in member.complaints] + crashed


def _last_lines(output: str) -> str:
    begin = output.index("Traceback (most recent call last)")
    return output[begin : begin + 3000]
