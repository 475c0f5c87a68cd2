"""A target that takes every request, in a process of its own.

`python -m tests.bench.deliveries.http_target` says where it listens, and serves until killed.

What it was sent, with the time of each, is at `/journal`, and only how much at
`/count`. `/answers` says how it answers from now on.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import orjson
from aiohttp import web

_START_S = 60.0


@dataclass(slots=True)
class Target:
    """What was sent, and how it is answered."""

    taken: list[tuple[str, float]] = field(default_factory=list)
    refused_key: str = ""
    slow_s: float = 0.0

    async def take(self, request: web.Request) -> web.Response:
        """Take one delivery, or fail it when it is of the key that is refused."""
        order: str = orjson.loads(await request.read())["order"]
        if self.refused_key and order.endswith(self.refused_key):
            return web.Response(status=500)
        if self.slow_s:
            await asyncio.sleep(self.slow_s)
        self.taken.append((order, time.time()))
        return web.Response(body=b"{}", content_type="application/json")

    async def journal(self, _request: web.Request) -> web.Response:
        """Return the ids that were taken, and when (epoch seconds)."""
        return web.Response(body=orjson.dumps(self.taken), content_type="application/json")

    async def count(self, _request: web.Request) -> web.Response:
        """Return how many were taken."""
        return web.Response(body=b"%d" % len(self.taken))

    async def answers(self, request: web.Request) -> web.Response:
        """Answer otherwise from now on, with an empty journal."""
        wanted = orjson.loads(await request.read())
        self.refused_key, self.slow_s = wanted.get("refused_key", ""), wanted.get("slow_s", 0.0)
        self.taken.clear()
        return web.Response()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningTarget:
    """Speaks with one of them."""

    url: str
    http: aiohttp.ClientSession

    async def answers(self, *, refused_key: str = "", slow_s: float = 0.0) -> None:
        """Begin anew: fail what is of `refused_key`, and let the rest wait for `slow_s`."""
        body = {"refused_key": refused_key, "slow_s": slow_s}
        async with self.http.post("/answers", json=body) as response:
            response.raise_for_status()

    async def count(self) -> int:
        """Return how many deliveries it has taken."""
        async with self.http.get("/count") as response:
            return int(await response.read())

    async def journal(self) -> list[tuple[str, float]]:
        """Return the ids that it has taken, and when (epoch seconds)."""
        async with self.http.get("/journal") as response:
            return [(name, at) for name, at in orjson.loads(await response.read())]


@asynccontextmanager
async def target_process() -> AsyncIterator[RunningTarget]:
    """Run one inside the context, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.deliveries.http_target", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_START_S):
            port = int(await process.stdout.readline())
        url = f"http://localhost:{port}"
        async with aiohttp.ClientSession(url) as http:
            yield RunningTarget(url=url, http=http)
    finally:
        process.kill()
        await process.wait()


async def serve() -> None:
    """Listen on a free port of loopback until killed."""
    target = Target()
    app = web.Application()
    app.add_routes(
        [
            web.get("/journal", target.journal),
            web.get("/count", target.count),
            web.post("/answers", target.answers),
            web.post("/{path:.*}", target.take),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)  # noqa: T201 - whoever started it reads this
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())
