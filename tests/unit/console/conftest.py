"""A world for each test of this folder."""

from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs

from tests.unit.console.world import Browser, World


@pytest.fixture
def world() -> World:
    """A daemon without a token, on loopback."""
    return World()


@pytest.fixture
async def browser(world: World) -> AsyncIterator[Browser]:
    """The browser of its operator."""
    async with world.opened() as found:
        yield found


@pytest.fixture(autouse=True, scope="package")
def quiet_logs() -> Iterator[None]:
    """Draw no tracebacks of the failures that the tests cause."""
    with capture_logs():
        yield
