"""A world for each test of this folder."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from tests.unit.dispatch.world import World


@pytest.fixture
def world() -> World:
    """One subscriber on a log in memory, time standing still."""
    return World()


@pytest.fixture(autouse=True, scope="package")
def quiet_logs() -> Iterator[None]:
    """Draw no tracebacks of the failures that the tests cause."""
    with capture_logs():
        yield
