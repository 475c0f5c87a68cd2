"""A sandbox org in a process of its own."""

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.waiting import until

_START_S = 60.0
_SENT_S = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Org:
    """Speaks with `/sandbox/*` of one sandbox; its Pub/Sub API listens at `pubsub`, a host and a port."""

    url: str
    pubsub: str
    http: aiohttp.ClientSession

    async def change(
        self, count: int, *, records: int, per_second: float | None = None, entity: str = "Account"
    ) -> None:
        """Make `count` changes of about 1 KB to `records` records, at once or spread in time."""
        body = {
            "entity": entity,
            "count": count,
            "records": records,
            "size_bytes": 1000,
            "per_second": per_second,
        }
        async with self.http.post("/sandbox/changes", json=body) as response:
            response.raise_for_status()

    async def create(self, entity: str, records: Sequence[Mapping[str, Any]]) -> list[str]:
        """Create `records` in one transaction, and return their ids."""
        operations = [{"op": "create", "type": entity, "fields": fields} for fields in records]
        async with self.http.post("/sandbox/transactions", json={"operations": operations}) as response:
            response.raise_for_status()
            return list((await response.json())["ids"])

    async def hold_back_the_first_answer(
        self, seconds: float, *, on: str = "connect"
    ) -> Callable[[], Awaitable[float]]:
        """Let the next request of a kind wait, so that its client can be looked at before the stream begins.

        The function returned waits until that is so, and returns when (monotonic) it was.
        """
        before = await self._held_back()
        body = {"seconds": seconds, "on": [on], "times": 1}
        async with self.http.post("/sandbox/faults/slow", json=body) as response:
            response.raise_for_status()

        async def is_held_back() -> bool:
            return await self._held_back() > before

        async def held_back() -> float:
            await until(is_held_back)
            return time.monotonic()

        return held_back

    async def state(self) -> dict[str, Any]:
        """Return the sandbox's own counts."""
        async with self.http.get("/sandbox/state") as response:
            return dict(await response.json())

    async def sent(self) -> int:
        """Wait until what was asked for is sent, and return how many events that are in all."""
        count = -1
        while (found := int((await self.state())["published_events"])) != count:
            count = found
            await asyncio.sleep(_SENT_S)
        return count

    async def _held_back(self) -> int:
        return int((await self.state())["faults_struck"].get("slow", 0))


@asynccontextmanager
async def sandbox_process() -> AsyncIterator[Org]:
    """Run `streamer sandbox` inside the context."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "streamer", "sandbox", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_START_S):
            url = await _told(process, rb"listens at (http://[^;\s]+)")
            pubsub = await _told(process, rb"Pub/Sub API listens at ([^,\s]+)")
        async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=300)) as http:
            yield Org(url=url, pubsub=pubsub, http=http)
    finally:
        process.terminate()
        await process.wait()


async def _told(process: asyncio.subprocess.Process, pattern: bytes) -> str:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        if found := re.search(pattern, line):
            return found[1].decode()
    raise RuntimeError("the sandbox did not start")
