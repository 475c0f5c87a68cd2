"""A world for each test of this folder."""

from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs

from tests.unit.admin.world import Asking, World


@pytest.fixture
def world() -> World:
    """One subscriber at work, one that is configured, and the API over both."""
    return World()


@pytest.fixture
async def ask(world: World) -> AsyncIterator[Asking]:
    """Whoever asks the API of that world."""
    async with world.asking() as asking:
        yield asking


@pytest.fixture(autouse=True, scope="package")
def quiet_logs() -> Iterator[None]:
    """Draw no tracebacks of the failures that the tests cause."""
    with capture_logs():
        yield
