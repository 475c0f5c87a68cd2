"""What the tests of the org share."""

import pytest

from tests.unit.sandbox.org.world import OrgWorld


@pytest.fixture
def world() -> OrgWorld:
    """An empty org."""
    return OrgWorld()
