"""Two processes share one org's channels, and one of them goes away while events stream."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tests.arrivals import Arrivals
from tests.daemon import Daemon
from tests.ingest_group import IngestGroup
from tests.waiting import until

_SETTLED_S = 0.02
_TRIES = 300
_JOINED_S = 120.0
_REJOIN_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Woken:
    """Times that events waited for the other process, and that the frozen one took to let go once woken."""

    waited_s: float
    let_go_s: float
    zombie: Daemon


@dataclass(slots=True, kw_only=True)
class Takeover:
    """Takes the owner of a channel away, again and again; before each time, two processes run.

    Each method returns the longest that any event has waited since, in seconds.
    Events must stream into so many `topics` all the time.
    """

    config: Path
    path: str
    topics: int
    group: IngestGroup
    arrivals: Arrivals
    _daemons: list[Daemon] = field(default_factory=list, init=False)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack, init=False)

    @asynccontextmanager
    async def ready(self) -> AsyncIterator["Takeover"]:
        """End every process that still runs on leaving."""
        async with self._stack:
            yield self

    async def by_kill(self) -> float:
        """Kill the owner in mid-transaction."""
        owner = await self._owner_of_two()
        await self._freeze_in_mid_transaction(owner)
        since = time.time()
        await owner.kill()
        self._daemons.remove(owner)
        return await self._longest_wait_s(since)

    async def by_stop(self) -> float:
        """Stop the owner as an operator does."""
        owner = await self._owner_of_two()
        since = time.time()
        assert await owner.stop() == 0, owner.output
        self._daemons.remove(owner)
        return await self._longest_wait_s(since)

    async def by_freeze(self) -> Woken:
        """Freeze the owner in mid-transaction, and let it go on when another one has taken over."""
        zombie = await self._owner_of_two()
        await self._freeze_in_mid_transaction(zombie)
        waited_s = await self._longest_wait_s(time.time())
        woken_at = time.time()
        zombie.thaw()

        async def has_let_go() -> bool:
            return _last(zombie, "channel.released", self.path) > woken_at

        await until(has_let_go)
        let_go_s = _last(zombie, "channel.released", self.path) - woken_at
        return Woken(waited_s=waited_s, let_go_s=let_go_s, zombie=zombie)

    async def owner(self) -> Daemon:
        """Wait until exactly one process reads the channel, and return it."""

        async def only_one() -> list[Daemon]:
            readers = [daemon for daemon in self._daemons if _reads(daemon, self.path)]
            return readers if len(readers) == 1 else []

        owners: list[Daemon] = await until(only_one)
        return owners[0]

    async def _owner_of_two(self) -> Daemon:
        while len(self._daemons) < 2:
            running = Daemon.running(self.config, "--role", "ingest")
            self._daemons.append(await self._stack.enter_async_context(running))

        async def shared() -> bool:
            return await self.group.is_shared_by(2)

        await until(shared, every_s=0.1)
        owner = await self.owner()
        await self.arrivals.longest_wait_s(topics=self.topics, since=0)
        # librdkafka joins at most once a second, and the last time was a moment ago.
        await asyncio.sleep(_REJOIN_S)
        return owner

    async def _freeze_in_mid_transaction(self, owner: Daemon) -> None:
        for _ in range(_TRIES):
            owner.freeze()
            # Requests that the broker has already may still end a transaction.
            await asyncio.sleep(_SETTLED_S)
            if await self.group.has_open_transaction():
                return
            owner.thaw()
            await asyncio.sleep(_SETTLED_S)
        raise AssertionError(f"no transaction was open at any of {_TRIES} moments")

    async def _longest_wait_s(self, since: float) -> float:
        return await self.arrivals.longest_wait_s(topics=self.topics, since=since)


def _reads(daemon: Daemon, path: str) -> bool:
    return _last(daemon, "channel.subscribed", path) > _last(daemon, "channel.released", path)


def _last(daemon: Daemon, event: str, path: str) -> float:
    """Return when a daemon last said so of a channel, in epoch seconds."""
    times = [line["timestamp"] for line in daemon.logged(event) if line["channel"].endswith(path)]
    return datetime.fromisoformat(times[-1]).timestamp() if times else 0.0
