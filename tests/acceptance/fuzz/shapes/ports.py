"""Hostile requests to the daemon's own ports."""

import asyncio
import time
from contextlib import suppress
from http import HTTPStatus
from io import BytesIO
from itertools import pairwise

from tests.acceptance.fuzz.besieged import Besieged
from tests.acceptance.fuzz.hostile_org import gzipped
from tests.acceptance.fuzz.shapes.shape import GZIP, MB, SHAPES, Shape, many, shape
from tests.outbound import PATH, envelope, notification

_COMES_AGAIN_S = 5.0


@shape("admin: an order of brackets")
async def _(besieged: Besieged, size: float) -> None:
    body = b'{"entity":' + b"[" * many(size, 8 * MB)
    await besieged.ask(
        "admin", "POST", "snapshots", data=BytesIO(body), headers={"Content-Type": "application/json"}
    )


@shape("admin: an order as a gzip bomb")
async def _(besieged: Besieged, size: float) -> None:
    bomb = gzipped(b" " * MB, many(size, 500))
    headers = {"Content-Type": "application/json", **GZIP}
    await besieged.ask("admin", "POST", "snapshots", data=BytesIO(bomb), headers=headers)


@shape("admin: thirty orders as gzip bombs at once")
async def _(besieged: Besieged, size: float) -> None:
    bomb = gzipped(b" " * MB, 500)
    headers = {"Content-Type": "application/json", **GZIP}
    orders = (
        besieged.ask("admin", "POST", "snapshots", data=BytesIO(bomb), headers=headers)
        for _ in range(many(size, 30))
    )
    await asyncio.gather(*orders)


@shape("admin: seventy connections that come again")
async def _(besieged: Besieged, size: float) -> None:
    async def come_again() -> None:
        for _ in range(10):
            await besieged.ask("observe", "GET", "metrics")

    await asyncio.gather(*(come_again() for _ in range(many(size, 70))))


@shape("admin: seventy connections that ask nothing and come again")
async def _(besieged: Besieged, size: float) -> None:
    until_s = time.monotonic() + _COMES_AGAIN_S

    async def come_again() -> None:
        while time.monotonic() < until_s:
            with suppress(OSError, TimeoutError):
                reader, writer = await asyncio.open_connection("localhost", besieged.ports["observe"])
                try:
                    async with asyncio.timeout(until_s - time.monotonic()):
                        await reader.read()
                finally:
                    writer.transport.abort()

    await asyncio.gather(*(come_again() for _ in range(many(size, 70))))


async def _posted(besieged: Besieged, body: bytes, **headers: str) -> None:
    await besieged.ask(
        "outbound",
        "POST",
        PATH.lstrip("/"),
        data=BytesIO(body),
        headers={"Content-Type": "text/xml", **headers},
    )


@shape("outbound: entities within entities")
async def _(besieged: Besieged, _: float) -> None:
    names = [chr(ord("a") + number) for number in range(12)]
    entities = "".join(f'<!ENTITY {name} "{f"&{former};" * 10}">' for former, name in pairwise(names))
    await _posted(besieged, f'<!DOCTYPE x [<!ENTITY a "lol">{entities}]><x>&{names[-1]};</x>'.encode())


@shape("outbound: elements within elements")
async def _(besieged: Besieged, size: float) -> None:
    await _posted(besieged, b"<a>" * many(size, 1_300_000))


@shape("outbound: an element of very many attributes")
async def _(besieged: Besieged, size: float) -> None:
    attributes = b" ".join(b'a%d=""' % number for number in range(many(size, 350_000)))
    await _posted(besieged, b"<a " + attributes + b"/>")


@shape("outbound: a gzip bomb")
async def _(besieged: Besieged, size: float) -> None:
    await _posted(besieged, gzipped(b" " * MB, many(size, 500)), **GZIP)


_SLOW = 40
_HEAD = "POST /{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {type}\r\n"
_DRIPS = {
    "bodies": (_HEAD + "Content-Length: 9000\r\n\r\n", b" "),
    "chunks": (_HEAD + "Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "headers": (_HEAD, b"X: y\r\n"),
}
_PATHS = {
    "observe": ("healthz", "text/plain"),
    "admin": ("snapshots", "application/json"),
    "outbound": (PATH.lstrip("/"), "text/xml"),
}
_DRIP_S = 0.5
_CUT_OFF_WITHIN_S = 60.0


async def _dripped(besieged: Besieged, port: str, head: bytes, drop: bytes) -> None:
    """Send a request in small pieces, with pauses, until the daemon ends the connection."""
    with suppress(OSError):
        reader, writer = await asyncio.open_connection("localhost", besieged.ports[port])
        writer.write(head)
        ended = asyncio.create_task(reader.read(), name="end")
        try:
            while not ended.done():
                writer.write(drop)
                await writer.drain()
                await asyncio.wait([ended], timeout=_DRIP_S)
        finally:
            ended.cancel()
            await asyncio.wait([ended])
            writer.transport.abort()


async def _sound(besieged: Besieged, port: str) -> bool:
    """Return whether the daemon answers a good request to a port."""
    if port != "outbound":
        path = "healthz" if port == "observe" else "subscribers"
        return await besieged.ask(port, "GET", path) == HTTPStatus.OK
    besieged.number += 1
    body = envelope(notification(besieged.number), org=besieged.sandbox.org.settings.org_id)
    headers = {"Content-Type": "text/xml"}
    return await besieged.ask(port, "POST", PATH.lstrip("/"), data=body, headers=headers) == HTTPStatus.OK


def _slow(port: str, drip: str) -> Shape:
    async def play(besieged: Besieged, size: float) -> None:
        path, content_type = _PATHS[port]
        head, drop = _DRIPS[drip]
        begun = head.format(path=path, type=content_type).encode()
        slow = [
            asyncio.create_task(_dripped(besieged, port, begun, drop), name="slow")
            for _ in range(many(size, _SLOW))
        ]
        try:
            async with asyncio.timeout(_CUT_OFF_WITHIN_S):
                while not all(each.done() for each in slow):
                    assert await _sound(besieged, port), f"a good request beside {drip} that drip"
                    await asyncio.wait(slow, timeout=_DRIP_S)
        finally:
            for each in slow:
                each.cancel()
            await asyncio.wait(slow)

    return play


SHAPES |= {f"{port}: {drip} that drip": _slow(port, drip) for port in _PATHS for drip in _DRIPS}
