"""The limits of an org, as metrics and as a condition for replays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from pydantic import SecretStr
from structlog.testing import capture_logs

from streamer.app.ingest.ingesting import Ingesting
from streamer.app.observers import Observers
from streamer.clock import SystemClock, TurnedClock
from streamer.continuity import reason_of
from streamer.controls import AuditRecord, SnapshotOrder
from streamer.events import Repair
from streamer.ingest.channel_supervisor import ChannelState
from streamer.log.memory import MemoryLog
from streamer.observe.metrics import Metrics
from streamer.quota import Governor, JobCost, OrgLimit
from streamer.salesforce.auth.flows import Logins
from streamer.sandbox import Sandbox, SandboxSettings, User
from streamer.sandbox.access.user import SetupRight
from streamer.settings import ClientCredentialsAuth, Settings
from streamer.supervision.status import Status
from tests.configuration import CHANGES, sandbox_configuration, written
from tests.in_process import running
from tests.limits import monitored
from tests.waiting import turned, until

DELIVERED = "DailyDeliveredPlatformEvents"
CLERK = User(
    username="clerk@acme.example",
    client_id="clerk",
    client_secret=SecretStr("clerk-secret"),
    setup=SetupRight.NONE,
)
CLERKS = ClientCredentialsAuth(
    flow="client_credentials", client_id="clerk", client_secret=SecretStr("clerk-secret")
)


def left(metrics: Metrics, limit: str = DELIVERED) -> float | None:
    """Return what the metrics say is left."""
    return metrics.registry.get_sample_value("streamer_org_limit_remaining", {"limit": limit})


async def test_what_is_used_is_read_within_five_minutes() -> None:
    """Events, requests and jobs count down; the governor keeps its share."""
    clock = TurnedClock()
    async with Sandbox(clock) as sandbox, monitored(sandbox, clock) as (monitor, metrics, rest):
        usage = sandbox.org.usage
        assert left(metrics) == usage.delivered_events.most
        assert monitor.latest
        assert set(monitor.latest.limits) == set(OrgLimit) - {OrgLimit.MONTHLY_EVENTS}
        usage.delivered_events.use(1_000)
        usage.bulk_query_jobs.use(8_500)
        await turned(clock, lambda: left(metrics) == usage.delivered_events.most - 1_000, step_s=5)
        governor = Governor(reading=lambda: monitor.latest, requests_left=lambda: rest.requests_left)
        assert governor.reason_to_wait() == ""
        assert "15.0% of the org's daily Bulk query jobs" in governor.reason_to_wait(JobCost(bulk_jobs=1))
        usage.api_requests.use(85_000)
        await turned(clock, governor.reason_to_wait, step_s=5)


async def test_a_user_who_may_not_see_the_setup_is_told_so() -> None:
    """Once, with the name of the permission."""
    clock = TurnedClock()
    with capture_logs() as lines:
        async with (
            Sandbox(clock, settings=SandboxSettings(users=(CLERK,))) as sandbox,
            monitored(sandbox, clock, CLERKS) as (monitor, metrics, _),
        ):
            assert (monitor.latest, left(metrics)) == (None, None)
    [told] = [line for line in lines if line["event"] == "limits.not_read"]
    assert "View Setup and Configuration" in told["reason"]
    assert told["tried_again_in_s"] == 3600


async def test_a_daemon_has_the_limits_among_its_metrics(tmp_path: Path) -> None:
    """From its start on, under Salesforce's names."""
    async with Sandbox(SystemClock()) as sandbox:
        log = {"sqlite": {"path": str(tmp_path / "log.db")}}
        configuration = sandbox_configuration(sandbox.url, log=log, subscribers={})
        async with running(written(tmp_path, configuration)) as app:
            await until(lambda: left(app.observers.metrics) is not None)
            assert left(app.observers.metrics, "DailyBulkV2QueryJobs") == 10_000
            assert left(app.observers.metrics, "DailyApiRequests") is not None
        assert left(app.observers.metrics) is None


@asynccontextmanager
async def reading(
    sandbox: Sandbox, clock: TurnedClock, **rules: Any
) -> AsyncIterator[tuple[MemoryLog, Status]]:
    """Read the changes of an org from the earliest on, by `rules`."""
    configuration = sandbox_configuration(sandbox.url, log={"sqlite": {}}, subscribers={})
    channel = {"path": CHANGES, "start": "earliest", **rules}
    log, status = MemoryLog(), Status()
    ingesting = Ingesting(
        settings=Settings.model_validate({**configuration, "channels": [channel]}),
        clock=clock,
        observers=Observers(metrics=Metrics(clock=clock)),
        status=status,
        logins=Logins(clock),
    )
    task = asyncio.create_task(ingesting.run(cast("Any", log)))
    try:
        yield log, status
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_snapshot_waits_for_requests_and_goes_on_by_itself() -> None:
    """Its record says why, and nothing is read twice."""
    clock = TurnedClock()
    order = SnapshotOrder(id="snapshot:a", channel=CHANGES, entity="Account", by="otto", at=clock.now())
    async with Sandbox(clock) as sandbox:
        with sandbox.org.transaction() as transaction:
            ids = [transaction.create("Account", {"Name": f"Acme {n}"}) for n in range(3)]
        usage = sandbox.org.usage.api_requests
        usage.use(round(usage.most * 0.85))
        async with reading(sandbox, clock, start="latest") as (log, status):
            await turned(clock, lambda: states(status) == [ChannelState.RUNNING], step_s=0.05)
            audit = AuditRecord(at=clock.now(), what="snapshot.ordered", by="otto")
            await log.controls.order_snapshot(order, audit)
            await turned(clock, lambda: log.continuity and reason_of(log.continuity[-1].progress), step_s=1)
            assert "of the org's daily requests are left" in reason_of(log.continuity[-1].progress)
            assert log.events == []
            usage.most *= 10
            await turned(clock, lambda: log.continuity[-1].state is not Repair.OPEN, step_s=5)
            ended = log.continuity[-1]
    assert (ended.state, ended.published) == (Repair.FULL, 3)
    assert [event.key for event in log.events] == ids


def nearly_used_up(sandbox: Sandbox) -> None:
    """Write a change, and leave a tenth of the day's events."""
    with sandbox.org.transaction() as transaction:
        transaction.create("Account", {"Name": "Acme"})
    sandbox.org.usage.delivered_events.most = 1_000
    sandbox.org.usage.delivered_events.use(900)


def states(status: Status) -> list[ChannelState]:
    """Return the states of the channels."""
    return [each.state for each in status.reading.channels.values()]


async def test_a_first_read_waits_for_the_allowance_and_goes_on_by_itself() -> None:
    """No event counts meanwhile, and the operator is told why."""
    clock = TurnedClock()
    async with Sandbox(clock) as sandbox:
        nearly_used_up(sandbox)
        usage = sandbox.org.usage.delivered_events
        with capture_logs() as lines:
            async with reading(sandbox, clock) as (log, status):
                await turned(clock, lambda: states(status) == [ChannelState.STOPPED], step_s=0.05)
                assert (log.events, usage.used) == ([], 900)
                usage.most = 10_000
                await turned(clock, lambda: log.events, step_s=5)
        stopped = [line["reason"] for line in lines if line["event"] == "channel.stopped"]
        assert "in 24 hours (10.0%, DailyDeliveredPlatformEvents)" in stopped[0]


async def test_a_channel_that_is_told_to_replays_anyway() -> None:
    """The events of the others are the operator's matter."""
    clock = TurnedClock()
    async with Sandbox(clock) as sandbox:
        nearly_used_up(sandbox)
        async with reading(sandbox, clock, replay_retained="always") as (log, status):
            await turned(clock, lambda: log.events, step_s=0.05)
            assert states(status) == [ChannelState.RUNNING]


async def test_a_channel_that_begins_now_does_not_wait() -> None:
    """New events count once, whenever they are read."""
    clock = TurnedClock()
    async with Sandbox(clock) as sandbox:
        nearly_used_up(sandbox)
        async with reading(sandbox, clock, start="latest") as (_, status):
            await turned(clock, lambda: sandbox.cometd.clients, step_s=0.05)
            assert states(status) == [ChannelState.RUNNING]
