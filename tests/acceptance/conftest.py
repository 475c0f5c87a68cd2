"""An org for the daemon to read, on the machine's own time."""

from collections.abc import AsyncIterator

import pytest

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.cometd import CometdLimits
from streamer.sandbox.server import SandboxSettings


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """An org whose answers are small, so that a stream consists of many of them."""
    settings = SandboxSettings(cometd=CometdLimits(response_events=300))
    async with Sandbox(SystemClock(), settings=settings) as running:
        yield running
