"""Fixtures: an org that the daemon reads, and the daemon's logs, in real time."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.cometd import CometdLimits
from streamer.sandbox.pubsub import PubSubLimits
from streamer.sandbox.server import SandboxSettings
from tests.acceptance.kept import Kept, KeptInKafka, KeptInSqlite


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """An org whose answers are small, so that a stream consists of many of them.

    A client of the Pub/Sub API that asks for too much is refused.
    """
    settings = SandboxSettings(
        cometd=CometdLimits(response_events=300), pubsub=PubSubLimits(refuse_excess=True)
    )
    async with Sandbox(SystemClock(), pubsub_port=0, settings=settings) as running:
        yield running


@pytest.fixture(params=["sqlite", "kafka"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept]:
    """Each log, with an independent party that reads it."""
    if request.param == "sqlite":
        yield KeptInSqlite(tmp_path)
        return
    async with KeptInKafka(request.getfixturevalue("kafka")).reading() as kept:
        yield kept


@pytest.fixture
def round_(request: pytest.FixtureRequest) -> int:
    """Number of a round of drawn cases; each round has cases of its own."""
    return int(request.param)
