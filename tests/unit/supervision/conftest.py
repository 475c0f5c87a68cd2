"""A daemon that has started."""

import pytest

from streamer.ingest.channel_supervisor import ChannelState
from streamer.supervision.status import Status
from tests.contracts.values import CHANGES
from tests.unit.supervision.parts import SALES, Condition, Delivering, Session, supervisor


@pytest.fixture
def status() -> Status:
    """One channel that runs and is subscribed, and one subscriber that follows the log."""
    status = Status()
    status.log.opened(Condition())
    status.reading.started()
    status.reading.logged_in()
    status.reading.channels_opened(supervisor(ChannelState.RUNNING), Session(frozenset({CHANGES.path})))
    status.subscribers.expect({SALES})
    status.subscribers.started(SALES, Delivering())
    return status
