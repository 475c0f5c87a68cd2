"""A turned clock, a channel and the metrics that the tests of this folder look at."""

import pytest

from streamer.clock import TurnedClock
from streamer.events import Channel, OrgId
from streamer.observe.metrics import Metrics


@pytest.fixture
def clock() -> TurnedClock:
    """2025-01-01T00:00Z."""
    return TurnedClock()


@pytest.fixture
def metrics(clock: TurnedClock) -> Metrics:
    """Metrics in a registry of their own."""
    return Metrics(clock=clock)


@pytest.fixture
def channel() -> Channel:
    """All change events of an org."""
    return Channel(org=OrgId("00D000000000001AAA"), path="/data/ChangeEvents")
