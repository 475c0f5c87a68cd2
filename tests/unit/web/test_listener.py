"""A port that anybody can reach."""

import asyncio
import gzip
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from streamer.web import guard
from streamer.web.guard import MOST_CONNECTIONS
from streamer.web.listener import listening, refused_address
from tests.waiting import awaited, until


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


_ASKS = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
_WORKS = b"GET /work HTTP/1.1\r\nHost: a\r\n\r\n"
_CROWD = "127.0.0.2"
_MOST_OF_PEER = MOST_CONNECTIONS * 3 // 4


async def rushing(found: int, kind: str) -> None:
    """Connect without end from one address: to reconnect at once, or to ask now and then or for long."""
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", found, local_addr=(_CROWD, 0))
        try:
            if kind == "idle":
                await reader.read()
            while kind != "idle":
                writer.write(_ASKS if kind == "asks" else _WORKS)
                if not await reader.read(1000):
                    break
                await asyncio.sleep(0.5)
        except ConnectionError:
            pass
        finally:
            writer.close()


@pytest.mark.parametrize("kind", ["idle", "asks", "works"])
@pytest.mark.parametrize("address", ["127.0.0.1", _CROWD])
async def test_every_probe_is_answered_in_a_crowd(kind: str, address: str) -> None:
    """Of another address and of the crowd's own, however often the crowd comes back."""
    async with working() as (found, work):
        crowd = [asyncio.create_task(rushing(found, kind)) for _ in range(70)]
        if kind == "works":
            await until(lambda: work.begun >= _MOST_OF_PEER)
        answered = [await probed(found, address) for _ in range(40)]
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)

    assert answered == [True] * 40


async def probed(found: int, address: str) -> bool:
    """Return whether one request on a connection of its own is answered."""
    try:
        [made] = await connected(found, 1, address=address)
        told = await answered(made, b"GET /probe HTTP/1.1\r\nHost: a\r\n\r\n")
    except ConnectionError:
        return False
    return told == 200


class Work:
    """Handler that waits until it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.released = asyncio.Event()

    async def answer(self, _request: web.Request) -> web.Response:
        """Answer once it is let go."""
        self.begun += 1
        await self.released.wait()
        return web.Response()


@asynccontextmanager
async def working() -> AsyncIterator[tuple[int, Work]]:
    """Serve work that waits, a resource that reads the body, and a probe."""
    work = Work()

    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def probe(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.add_routes([web.get("/work", work.answer), web.post("/", echo), web.get("/probe", probe)])
    async with listening(app, host="127.0.0.1", port=0, section="observe", probes=["/probe"]) as found:
        try:
            yield found, work
        finally:
            work.released.set()


Connected = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connected(found: int, count: int, *, address: str = _CROWD, sends: bytes = b"") -> list[Connected]:
    """Return new connections from one address, on which something was sent."""
    made = [await asyncio.open_connection("127.0.0.1", found, local_addr=(address, 0)) for _ in range(count)]
    for _, writer in made:
        writer.write(sends)
    return made


async def answered(connection: Connected, request: bytes) -> int:
    """Return the status of a request, 0 when the connection ends without an answer; end the connection."""
    reader, writer = connection
    writer.write(request)
    try:
        head = await awaited(reader.readline(), "an answer")
    except ConnectionError:
        return 0
    finally:
        writer.close()
    return int(head.split()[1]) if head else 0


@asynccontextmanager
async def at_work(found: int, work: Work, count: int) -> AsyncIterator[None]:
    """Keep that many requests of the crowd's address at work, and see each of them answered at the end."""
    made = await connected(found, count, sends=_WORKS)
    await until(lambda: work.begun == count)
    yield
    work.released.set()
    assert [await answered(each, b"") for each in made] == [200] * count


async def test_client_is_heard_before_others_of_its_address_take_its_place() -> None:
    """Requests at work take no room from connections whose first request was not read yet."""
    async with working() as (found, work), at_work(found, work, _MOST_OF_PEER - 1):
        [early] = await connected(found, 1)
        *idle, last = await connected(found, _MOST_OF_PEER - 1)
        # Its answer says that those before it are accepted, too.
        assert await answered(last, _ASKS) == 200
        assert await answered(early, _ASKS) == 200
        for _, writer in idle:
            writer.close()


async def test_client_that_was_answered_makes_room_for_those_to_be_heard() -> None:
    """However short its pause is: it can ask again on another connection."""
    async with working() as (found, _):
        [early] = await connected(found, 1)
        idle = await connected(found, _MOST_OF_PEER - 2)
        [busy] = await connected(found, 1, sends=_ASKS)
        assert (await busy[0].readline()).startswith(b"HTTP/1.1 200")
        [last] = await connected(found, 1)
        assert await answered(last, _ASKS) == 200
        assert await answered(early, _ASKS) == 200
        assert await ended(busy[0])
        for _, writer in [busy, *idle]:
            writer.close()


async def test_requests_at_work_are_never_cut_off() -> None:
    """As many as one address can have: one more is refused with 503, and a probe is answered."""
    with capture_logs() as lines:
        async with working() as (found, work), at_work(found, work, _MOST_OF_PEER):
            for _ in range(2):
                [more] = await connected(found, 1)
                assert await answered(more, _ASKS) == 503
            assert await probed(found, _CROWD)
            assert await probed(found, "127.0.0.3")
            [other] = await connected(found, 1, address="127.0.0.3")
            assert await answered(other, _ASKS) == 200

    assert [line["event"] for line in lines] == ["requests.refused"]


async def test_request_counts_until_its_handler_ends() -> None:
    """Clients that leave at once can't pile up work."""
    async with working() as (found, work):
        made = await connected(found, _MOST_OF_PEER, sends=_WORKS)
        await until(lambda: work.begun == _MOST_OF_PEER)
        for _, writer in made:
            writer.close()

        async def asks() -> int:
            [more] = await connected(found, 1)
            return await answered(more, _ASKS)

        assert [await asks() for _ in range(3)] == [503] * 3
        work.released.set()
        assert await asks() == 200


async def test_reserve_is_for_the_first_request_of_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two crowds can't keep a third client from being heard."""
    monkeypatch.setattr(guard, "is_loopback", lambda _: False)
    async with working() as (found, work):
        crowds = [
            each
            for address in ("127.0.0.2", "127.0.0.3")
            for each in await connected(found, MOST_CONNECTIONS // 2, address=address, sends=_WORKS)
        ]
        await until(lambda: work.begun == MOST_CONNECTIONS)
        [crowded] = await connected(found, 1)
        assert await answered(crowded, _ASKS) == 503
        [other] = await connected(found, 1, address="127.0.0.4")
        assert await answered(other, _ASKS) == 200
        for _, writer in crowds:
            writer.close()


async def test_slow_body_makes_room_for_a_whole_request() -> None:
    """The one that began first, when its address has no more requests."""
    slow = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
    async with working() as (found, work), at_work(found, work, _MOST_OF_PEER - 2):
        first, second = await connected(found, 2, sends=slow)
        [probe] = await connected(found, 1)
        assert await answered(probe, b"GET /probe HTTP/1.1\r\nHost: a\r\n\r\n") == 200
        [more] = await connected(found, 1)
        assert await answered(more, _ASKS) == 200
        assert await answered(first, b"123456789") == 0
        assert await answered(second, b"123456789") == 200


def open_files() -> int:
    """Return the number of this process's descriptors."""
    return len([*Path("/proc/self/fd").iterdir()])


async def test_client_that_does_not_read_its_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even when its connection is to close after the answer, and most of the answer is still to be sent."""
    monkeypatch.setattr(guard, "_SILENT_S", 0.2)
    monkeypatch.setattr(guard, "_LOOK_S", 0.05)
    size = 50_000_000

    async def large(request: web.Request) -> web.Response:
        assert request.transport is not None
        # The answer counts as sent, as a smaller one would.
        request.transport.set_write_buffer_limits(size)
        return web.Response(body=bytes(size))

    app = web.Application()
    app.router.add_get("/", large)
    async with listening(app, host="127.0.0.1", port=0, section="observe") as found:
        before = open_files()
        [(reader, writer)] = await connected(found, 1)
        await until(lambda: open_files() == before + 2)
        assert isinstance(writer.transport, asyncio.Transport)
        writer.transport.pause_reading()
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        await until(lambda: open_files() == before + 1)
        writer.transport.resume_reading()
        assert len(await awaited(reader.read(), "the end")) < size
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
