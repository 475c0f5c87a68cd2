"""Daemon that gets one hostile input after the other, and is replaced when it fails at one."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.acceptance.fuzz.besieged import Besieged


class Siege:
    """Owner of the daemon; each new one has a folder of its own below `directory`."""

    def __init__(self, directory: Path) -> None:
        """Begin without a daemon."""
        self._directory = directory
        self._stack = AsyncExitStack()
        self._besieged: Besieged | None = None
        self._count = 0

    @asynccontextmanager
    async def daemon(self) -> AsyncIterator[Besieged]:
        """Yield the daemon, a new one after an error inside the context."""
        besieged = self._besieged or await self._begin()
        self._besieged = None
        try:
            yield besieged
        except BaseException:
            await self.end()
            raise
        self._besieged = besieged

    async def end(self) -> None:
        """End the daemon."""
        await self._stack.aclose()

    async def _begin(self) -> Besieged:
        self._count += 1
        directory = self._directory / str(self._count)
        directory.mkdir()
        return await self._stack.enter_async_context(Besieged.running(directory))
