"""The logs that every contract test runs on."""

import pytest

from tests.contracts.worlds import WORLDS, World


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    """One kind of log, empty."""
    return WORLDS[request.param](request)
