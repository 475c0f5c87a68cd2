"""Hostile requests to the daemon's own ports."""

import asyncio
from io import BytesIO
from itertools import pairwise

from tests.acceptance.fuzz.besieged import Besieged
from tests.acceptance.fuzz.hostile_org import gzipped
from tests.acceptance.fuzz.shapes.shape import GZIP, MB, many, shape
from tests.outbound import PATH


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


@shape("admin: seventy connections that come again")
async def _(besieged: Besieged, size: float) -> None:
    async def come_again() -> None:
        for _ in range(10):
            await besieged.ask("observe", "GET", "metrics")

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
