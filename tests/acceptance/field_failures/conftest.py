"""Fixture: the org, the daemon's parts and the log, over the transport that a test names."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamer.clock import TurnedClock
from streamer.sandbox.server import Sandbox
from streamer.settings import Transport
from tests.acceptance.field_failures.world import World


@pytest.fixture(params=Transport)
def transport(request: pytest.FixtureRequest) -> Transport:
    """Each transport."""
    chosen: Transport = request.param
    return chosen


@pytest.fixture
async def world(transport: Transport, tmp_path: Path) -> AsyncIterator[World]:
    """An org, and a daemon that does not run yet."""
    clock = TurnedClock()
    async with Sandbox(clock, pubsub_port=0) as sandbox:
        yield World(clock=clock, sandbox=sandbox, transport=transport, directory=tmp_path)
