"""A port that anybody can reach."""

import asyncio
import gzip
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from streamer.web import guard
from streamer.web.guard import MOST_CONNECTIONS
from streamer.web.listener import listening, refused_address
from tests.waiting import awaited


@asynccontextmanager
async def port() -> AsyncIterator[int]:
    """Serve one resource that reads the body."""

    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app = web.Application()
    app.router.add_post("/", echo)
    async with listening(app, host="localhost", port=0, section="observe") as found:
        yield found


async def answer(found: int) -> int:
    """Return the status of a request in good order."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"http://localhost:{found}/", data=b"x") as response,
    ):
        return response.status


async def ended(reader: asyncio.StreamReader) -> bool:
    """Wait for the end of a connection, in order or not."""
    try:
        await awaited(reader.read(), "the end of the connection")
    except ConnectionError:
        return True
    return True


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"POST / HTTP/1.1\r\nHost: a\r\nX-",
        b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc",
    ],
)
async def test_half_a_request_is_cut_off(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers and bodies that never come hold no connection."""
    monkeypatch.setattr(guard, "_SILENT_S", 0.2)
    monkeypatch.setattr(guard, "_LOOK_S", 0.05)
    async with port() as found:
        reader, writer = await asyncio.open_connection("localhost", found)
        writer.write(sent)
        assert await ended(reader)
        writer.close()
        assert await answer(found) == 200


async def test_idle_crowd_is_cut_off_and_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """They get no descriptors that others need, and the port works with them and without."""
    monkeypatch.setattr(guard, "_SILENT_S", 0.5)
    monkeypatch.setattr(guard, "_LOOK_S", 0.05)
    with capture_logs() as lines:
        async with port() as found:
            crowd = [await asyncio.open_connection("localhost", found) for _ in range(3 * MOST_CONNECTIONS)]
            assert await answer(found) == 200
            assert all([await ended(reader) for reader, _ in crowd])
            assert await answer(found) == 200
            for _, writer in crowd:
                writer.close()

    assert [line["event"] for line in lines] == ["connections.evicted"]


async def rushing(found: int, kind: str) -> None:
    """Connect without end from one address: to reconnect at once, or to ask now and then."""
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", found, local_addr=("127.0.0.2", 0))
        try:
            if kind == "idle":
                await reader.read()
            while kind == "asks":
                writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
                if not await reader.read(1000):
                    break
                await asyncio.sleep(0.5)
        except ConnectionError:
            pass
        finally:
            writer.close()


@pytest.mark.parametrize("kind", ["idle", "asks"])
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
async def test_probe_is_answered_in_a_crowd(kind: str, address: str) -> None:
    """Of another address and of the crowd's own, however often the crowd comes back."""
    async with port() as found:
        crowd = [asyncio.create_task(rushing(found, kind)) for _ in range(70)]
        await asyncio.sleep(0.2)
        answered = [await probed(found, address) for _ in range(20)]
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)

    assert sum(answered) >= 15


async def probed(found: int, address: str) -> bool:
    """Return whether one request on a connection of its own is answered."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", found, local_addr=(address, 0))
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        told = await awaited(reader.read(), "an answer")
        writer.close()
    except ConnectionError:
        return False
    return told.startswith(b"HTTP/1.1 200")


async def test_busy_connections_are_never_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """While all are at work, a new one of their address is refused; a probe has its reserve."""
    monkeypatch.setattr(guard, "MOST_CONNECTIONS", 4)
    released = asyncio.Event()

    async def work(_request: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    async def quick(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/", work)
    app.router.add_post("/", quick)
    async with listening(app, host="127.0.0.1", port=0, section="observe") as found:
        busy = [
            await asyncio.open_connection("127.0.0.1", found, local_addr=("127.0.0.2", 0)) for _ in range(3)
        ]
        for _, writer in busy:
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        await asyncio.sleep(0.1)
        assert not await probed(found, "127.0.0.2")
        assert await probed(found, "127.0.0.3")
        released.set()
        assert [(await reader.read())[:12] for reader, _ in busy] == [b"HTTP/1.1 200"] * 3
        for _, writer in busy:
            writer.close()


async def test_nonsense_is_a_debug_line(caplog: pytest.LogCaptureFixture) -> None:
    """Scanners send it all day."""
    zipped = b"POST /%s HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain"
    nonsense = [
        b"\x16\x03\x01 hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nA B: c\r\n\r\n",
        b"\x00" * 9000,
        zipped % b"elsewhere",
    ]
    with caplog.at_level(logging.INFO):
        async with port() as found:
            for sent in nonsense:
                reader, writer = await asyncio.open_connection("localhost", found)
                writer.write(sent)
                assert await ended(reader)
                writer.close()
            assert await answer(found) == 200

    assert not caplog.records


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /canary HTTP/7\r\n\r\n",
        b"POST /canary\0 HTTP/1.1\r\n\r\n",
        b"PO ST /canary HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nX\0: canary\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: canary\r\n\r\n",
        b"POST /" + b"canary" * 2_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
async def test_answer_to_what_is_no_http_repeats_nothing(sent: bytes) -> None:
    """A secret can stand in the address or in a header, and a proxy logs the answers that it passes on."""
    async with port() as found:
        reader, writer = await asyncio.open_connection("localhost", found)
        writer.write(sent)
        said = await awaited(reader.read(), "the answer")
        writer.close()
        assert await answer(found) == 200

    assert said.startswith(b"HTTP/1.0 400 Bad Request")
    assert b"canary" not in said


async def test_compressed_body_is_refused_and_not_unpacked() -> None:
    """Half a megabyte can stand for half a gigabyte, whose end aiohttp would unpack on the loop."""
    bomb = gzip.compress(bytes(500_000_000), compresslevel=1)
    head = b"POST /%s HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    async with port() as found:
        began = time.thread_time()
        for path in (b"", b"elsewhere"):
            reader, writer = await asyncio.open_connection("localhost", found)
            writer.write(head % (path, len(bomb)) + bomb)
            assert (await reader.readline()).startswith(b"HTTP/1.1 415")
            assert await ended(reader)
            writer.close()
        assert await answer(found) == 200

    assert time.thread_time() - began < 0.5


async def test_body_in_no_coding_is_read() -> None:
    """Some clients name the coding that changes nothing."""
    async with port() as found, aiohttp.ClientSession() as http:
        named = {"Content-Encoding": "identity"}
        async with http.post(f"http://localhost:{found}/", data=b"x", headers=named) as response:
            assert await response.read() == b"x"


def test_name_that_is_not_found_is_told_once() -> None:
    """Without asyncio's own words for the address."""
    error = OSError(-2, "Name or service not known (while attempting to bind on address ('acme', 1))")

    assert refused_address(error, host="acme", port=1) == "can't listen on acme:1 (Name or service not known)"
