"""A target that accepts every request at once, in a separate process.

`python -m tests.bench.deliveries.http_target` prints the addresses for deliveries
and for questions, and serves until it is killed. It implements only a small part of
HTTP, so that the target takes hardly any CPU, and the bench measures the sender.

`/journal` returns the received requests with their times, and `/count` only their
number. `/waits` returns how long each request took. `/answers` sets the next answers,
and names the order whose whole request `/kept` returns.
"""

import asyncio
import heapq
import re
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import aiohttp
import orjson
from aiohttp import web

_START_S = 60.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TAKEN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_REFUSED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"


class Delivery(NamedTuple):
    """An order that was taken, and when (epoch seconds)."""

    order: str
    at: float


class Request(NamedTuple):
    """A whole request; the names of its headers in lower case."""

    line: str
    headers: Mapping[str, str]
    body: str


@dataclass(slots=True)
class Target:
    """Records the deliveries, and answers them as it was told to."""

    taken: list[tuple[str, float]] = field(default_factory=list)
    refused_key: str = ""
    slow_s: float = 0.0
    workers: int = 0
    waits: list[float] = field(default_factory=list)
    _free_at: list[float] = field(default_factory=list)
    kept_order: str = ""
    kept: tuple[str, str] = ("", "")

    def take(self, head: bytes, body: bytes, transport: asyncio.WriteTransport) -> None:
        """Take one delivery, or fail it when it is of the key that is refused."""
        order: str = orjson.loads(body)["order"]
        if order == self.kept_order:
            self.kept = head.decode(), body.decode()
        if self.refused_key and order.endswith(self.refused_key):
            transport.write(_REFUSED)
        elif self.workers:
            self._queue(order, transport)
        elif self.slow_s:
            asyncio.get_running_loop().call_later(self.slow_s, self._accept, order, transport)
        else:
            self._accept(order, transport)

    def _queue(self, order: str, transport: asyncio.WriteTransport) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        # The worker that is free first takes it, when it is free.
        free_at = heapq.heappop(self._free_at) if len(self._free_at) == self.workers else now
        done_at = max(now, free_at) + self.slow_s
        heapq.heappush(self._free_at, done_at)
        self.waits.append(done_at - now)
        loop.call_at(done_at, self._accept, order, transport)

    def _accept(self, order: str, transport: asyncio.WriteTransport) -> None:
        self.taken.append((order, time.time()))
        transport.write(_TAKEN)

    async def journal(self, _request: web.Request) -> web.Response:
        """Return the orders that were taken, and when (epoch seconds)."""
        return web.Response(body=orjson.dumps(self.taken), content_type="application/json")

    async def count(self, _request: web.Request) -> web.Response:
        """Return how many were taken."""
        return web.Response(body=b"%d" % len(self.taken))

    async def waited(self, _request: web.Request) -> web.Response:
        """Return how long each request took, in seconds."""
        return web.Response(body=orjson.dumps(self.waits), content_type="application/json")

    async def whole(self, _request: web.Request) -> web.Response:
        """Return the head and the body of the request that was to be kept."""
        return web.Response(body=orjson.dumps(self.kept), content_type="application/json")

    async def answers(self, request: web.Request) -> web.Response:
        """Answer otherwise from now on, with an empty journal."""
        wanted = orjson.loads(await request.read())
        self.refused_key, self.slow_s, self.kept_order, self.workers = (
            wanted["refused_key"],
            wanted["slow_s"],
            wanted["kept"],
            wanted["workers"],
        )
        for each in (self.taken, self.waits, self._free_at):
            each.clear()
        return web.Response()


class Connection(asyncio.Protocol):
    """One kept-alive connection, on which requests with a length follow each other."""

    def __init__(self, target: Target) -> None:
        """Give each request to `target`, which answers it."""
        self._target = target
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answer on `transport`."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take the requests that are whole."""
        received = self._received
        received += data
        while (end := received.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(received, 0, end)
            assert length is not None, bytes(received[:end])
            begin, whole = end + 4, end + 4 + int(length[1])
            if len(received) < whole:
                return
            head, body = bytes(received[:end]), bytes(received[begin:whole])
            del received[:whole]
            self._target.take(head, body, self._transport)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningTarget:
    """Speaks with one of them."""

    url: str
    http: aiohttp.ClientSession

    async def answers(
        self, *, refused_key: str = "", slow_s: float = 0.0, kept: str = "", workers: int = 0
    ) -> None:
        """Begin anew: fail what is of `refused_key`, let the rest wait `slow_s`, keep the order `kept`.

        With `workers` only so many are served at once, and the others wait for their turn.
        """
        body = {"refused_key": refused_key, "slow_s": slow_s, "kept": kept, "workers": workers}
        async with self.http.post("/answers", json=body) as response:
            response.raise_for_status()

    async def count(self) -> int:
        """Return how many deliveries it has taken."""
        async with self.http.get("/count") as response:
            return int(await response.read())

    async def journal(self) -> list[Delivery]:
        """Return the deliveries that it has taken."""
        async with self.http.get("/journal") as response:
            return [Delivery(*each) for each in orjson.loads(await response.read())]

    async def waits(self) -> list[float]:
        """Return how long each request took, in seconds."""
        async with self.http.get("/waits") as response:
            return list(orjson.loads(await response.read()))

    async def kept(self) -> Request:
        """Return the request of the order that was to be kept."""
        async with self.http.get("/kept") as response:
            head, body = orjson.loads(await response.read())
        line, *fields = head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in fields)}
        return Request(line, headers, body)


@asynccontextmanager
async def target_process() -> AsyncIterator[RunningTarget]:
    """Run one inside the context, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.deliveries.http_target", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_START_S):
            port, asked_port = map(int, (await process.stdout.readline()).split())
        async with aiohttp.ClientSession(f"http://localhost:{asked_port}") as http:
            yield RunningTarget(url=f"http://localhost:{port}", http=http)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def serve() -> None:
    """Listen on free ports of loopback until killed."""
    target = Target()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(target), "127.0.0.1", 0)
    app = web.Application()
    app.add_routes(
        [
            web.get("/journal", target.journal),
            web.get("/count", target.count),
            web.get("/kept", target.whole),
            web.get("/waits", target.waited),
            web.post("/answers", target.answers),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(server.sockets[0].getsockname()[1], runner.addresses[0][1], flush=True)  # noqa: T201 - whoever started it reads this
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
