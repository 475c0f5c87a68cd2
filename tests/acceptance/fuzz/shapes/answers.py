"""Hostile answers of the login and of targets."""

from typing import Any

import orjson

from tests.acceptance.fuzz.besieged import Besieged
from tests.acceptance.fuzz.hostile_org import HostileAnswer, gzipped
from tests.acceptance.fuzz.shapes.shape import GZIP, MB, many, shape
from tests.waiting import until


async def _token(besieged: Besieged, body: bytes, **more: Any) -> None:
    def expire() -> None:
        besieged.sandbox.tokens.revoke_all()
        besieged.change()

    await besieged.org_answers(HostileAnswer(to="oauth2/token", body=lambda _: body, **more), then=expire)


@shape("token: a token of 60 MB")
async def _(besieged: Besieged, size: float) -> None:
    token = {"access_token": "x" * many(size, 60 * MB), "instance_url": besieged.org.url, "id": "x"}
    await _token(besieged, orjson.dumps(token))


@shape("token: 2 MB of brackets")
async def _(besieged: Besieged, size: float) -> None:
    await _token(besieged, b"[" * many(size, 2 * MB))


@shape("token: a gzip bomb")
async def _(besieged: Besieged, size: float) -> None:
    await _token(besieged, gzipped(b" " * MB, many(size, 500)), headers=GZIP)


async def _target(besieged: Besieged, body: bytes, **more: Any) -> None:
    given = besieged.target.given
    besieged.target.answers.append(HostileAnswer(to="^(POST|PUT) /api", body=lambda _: body, **more))
    await besieged.carries()

    async def was_given() -> bool:
        return besieged.target.given > given

    await until(was_given)
    await besieged.settled()


@shape("target: a gzip bomb")
async def _(besieged: Besieged, size: float) -> None:
    await _target(besieged, gzipped(b" " * MB, many(size, 500)), headers=GZIP)


@shape("target: 2 MB of brackets")
async def _(besieged: Besieged, size: float) -> None:
    await _target(besieged, b"[" * many(size, 2 * MB))


@shape("target: an answer of 60 MB")
async def _(besieged: Besieged, size: float) -> None:
    await _target(besieged, orjson.dumps({"key": "x" * many(size, 60 * MB)}))


@shape("target: a refusal of 60 MB, as gzip")
async def _(besieged: Besieged, size: float) -> None:
    body = gzipped(b'{"detail":"' + b"x" * many(size, 60 * MB) + b'"}')
    await _target(besieged, body, headers=GZIP, status=400)


@shape("target: a slow drip")
async def _(besieged: Besieged, size: float) -> None:
    await _target(besieged, b'{"key":"' + b"x" * many(size, 1000) + b'"}', drips=True)
