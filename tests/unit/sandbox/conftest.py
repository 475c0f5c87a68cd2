"""Fixtures of the org's tests."""

import pytest

from tests.unit.sandbox.org.world import OrgWorld


@pytest.fixture
def world() -> OrgWorld:
    """An empty org."""
    return OrgWorld()
