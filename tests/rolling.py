"""Processes that share one org's channels, replaced one after the other as an orchestrator does."""

import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.arrivals import Arrivals
from tests.daemon import Daemon
from tests.ingest_group import IngestGroup
from tests.waiting import until

_SHARED_S = 120.0


@dataclass(slots=True, kw_only=True)
class RollingRestart:
    """Replaces `processes`, each only when the one that replaces it is ready.

    Events must stream into so many `topics` all the time, each the topic of one channel.
    """

    config: Path
    processes: int
    topics: int
    group: IngestGroup
    arrivals: Arrivals
    _daemons: deque[Daemon] = field(default_factory=deque, init=False)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack, init=False)

    @asynccontextmanager
    async def ready(self) -> AsyncIterator["RollingRestart"]:
        """Start them, and give them back once each has a share; end whatever runs on leaving."""
        await self._create_topics()
        async with self._stack:
            for _ in range(self.processes):
                await self._start()
            await until(self._shared, every_s=0.1)
            yield self

    async def run(self, progress: Callable[[], object] = lambda: None) -> Mapping[str, float]:
        """Replace each process; return the longest that an event of each topic waited, in seconds.

        `progress` is called after each.
        """
        await self.arrivals.longest_wait_s(topics=self.topics, since=0)
        since = time.time()
        for _ in range(self.processes):
            await (await self._start()).ready()
            oldest = self._daemons.popleft()
            assert await oldest.stop() == 0, oldest.output
            progress()
        await until(self._shared, every_s=0.1)
        return await self.arrivals.longest_waits_s(topics=self.topics, since=since)

    async def _create_topics(self) -> None:
        # A topic that appears while a group rebalances can cost a member its partitions.
        async with Daemon.running(self.config) as first:
            await self.arrivals.longest_wait_s(topics=self.topics, since=0)
            assert await first.stop() == 0, first.output

    async def _start(self) -> Daemon:
        daemon = await self._stack.enter_async_context(Daemon.running(self.config))
        self._daemons.append(daemon)
        return daemon

    async def _shared(self) -> bool:
        return await self.group.is_shared_by(self.processes)
