"""A clock, the receivers, and plugins that deliver to them."""

from collections.abc import AsyncIterator

import pytest

from streamer.clock import TurnedClock
from streamer.sandbox.targets import ErpReceiver, FulfillmentReceiver, SlackReceiver


@pytest.fixture
def clock() -> TurnedClock:
    """Return a clock that stands still: nothing times out unless a test turns it."""
    return TurnedClock()


@pytest.fixture
async def erp(clock: TurnedClock) -> AsyncIterator[ErpReceiver]:
    """Run an ERP."""
    async with ErpReceiver(clock) as receiver:
        yield receiver


@pytest.fixture
async def fulfillment(clock: TurnedClock) -> AsyncIterator[FulfillmentReceiver]:
    """Run a fulfilment service."""
    async with FulfillmentReceiver(clock) as receiver:
        yield receiver


@pytest.fixture
async def slack(clock: TurnedClock) -> AsyncIterator[SlackReceiver]:
    """Run a Slack workspace."""
    async with SlackReceiver(clock, token="xoxb-local-token") as receiver:
        yield receiver
