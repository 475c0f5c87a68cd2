"""A daemon in memory, and the report of its flow."""

from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs

from streamer.flow.report import FlowReport
from streamer.observe.metrics import Metrics
from streamer.supervision.status import Status
from tests.unit.admin.world import Asking, World


@pytest.fixture
def world() -> World:
    """One subscriber at work, one that is configured, and the API over both."""
    return World()


@pytest.fixture
def metrics(world: World) -> Metrics:
    """The counts of the daemon."""
    return Metrics(clock=world.clock)


@pytest.fixture
def status() -> Status:
    """The condition of a daemon that reads no channels."""
    return Status()


@pytest.fixture
def report(world: World, status: Status, metrics: Metrics) -> Iterator[FlowReport]:
    """The report that the API serves, of a daemon with an open log."""
    report = FlowReport.of(world.context, status, metrics.registry)
    world.context.views.flow = report.as_json
    with world.context.with_log(world.log):
        yield report


@pytest.fixture
async def ask(world: World) -> AsyncIterator[Asking]:
    """An operator who asks the API."""
    async with world.asking() as asking:
        yield asking


@pytest.fixture(autouse=True, scope="package")
def quiet_logs() -> Iterator[None]:
    """Draw no tracebacks of the failures that the tests cause."""
    with capture_logs():
        yield
