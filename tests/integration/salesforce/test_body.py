"""Answers whose bodies never end."""

import asyncio

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from streamer.clock import TurnedClock
from streamer.salesforce.responses import read_body
from tests.waiting import awaited


async def _drip(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.001)


async def test_body_that_drips_for_ever_is_given_up() -> None:
    """Each byte is in time, and the answer is not."""
    app = web.Application()
    app.router.add_get("/", _drip)
    clock = TurnedClock()
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession() as http,
        http.get(server.make_url("/")) as response,
    ):
        reading = asyncio.create_task(read_body(response, clock, limit=10**9, idle_s=30.0, whole_s=60.0))
        for _ in range(6):
            # Some bytes come in between.
            await asyncio.sleep(0.05)
            assert not reading.done()
            await clock.turn(10.0)

        with pytest.raises(TimeoutError):
            await awaited(reading)
