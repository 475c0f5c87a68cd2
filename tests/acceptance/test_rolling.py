"""A rolling restart only causes a short pause for consumers and targets."""

import asyncio
import random
import uuid
from pathlib import Path

import pytest

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import FulfillmentReceiver
from tests.acceptance.busy_org import BusyOrg
from tests.acceptance.fire.findings import Deliveries, Findings
from tests.acceptance.fire.struck import Strikes
from tests.acceptance.sent import Seen, sent_by
from tests.arrivals import Arrivals
from tests.configuration import ORDER_KEY, ORDERS, sandbox_configuration, written
from tests.ingest_group import IngestGroup
from tests.rolling import RollingRestart
from tests.waiting import until

pytestmark = pytest.mark.heavy

_PER_SECOND = 300.0
_ENDLESS = 10**9
_SESSION_S = 40
_CHANNELS = [
    {"path": "/data/AccountChangeEvent", "start": "earliest"},
    {"path": "/data/ContactChangeEvent", "start": "earliest"},
    {"path": ORDERS, "start": "earliest", "key": ORDER_KEY},
]


async def test_rolling_restart_of_three_repeats_nothing(sandbox: Sandbox, kafka: str, tmp_path: Path) -> None:
    """Whatever a session is, neither the log nor a target gets anything twice, late or in disorder."""
    unique = f"t{uuid.uuid4().hex[:8]}"
    log = {"bootstrap_servers": kafka, "prefix": f"streamer-{unique}", "topic": unique + ".{kind}.{name}"}
    strikes = Strikes(clock=SystemClock())
    async with (
        strikes.noting_starvation(),
        FulfillmentReceiver(SystemClock()) as target,
        Arrivals.reading(kafka, prefix=unique) as kept,
    ):
        target.faults.slow_s = 0.01
        config = _config(tmp_path, sandbox.url, target.url, log)
        restart = RollingRestart(
            config=config,
            processes=3,
            topics=len(_CHANNELS),
            group=IngestGroup(kafka, prefix=f"streamer-{unique}"),
            arrivals=kept,
        )
        org = BusyOrg(sandbox=sandbox, dice=random.Random(6))  # noqa: S311 - chance, no secret
        sending = asyncio.create_task(org.send(_ENDLESS, per_second=_PER_SECOND), name="busy org")
        async with restart.ready():
            pauses = await restart.run()
            sending.cancel()
            sent = sent_by(sandbox)

            async def arrived() -> bool:
                return len(kept.all) >= len(sent) and len(Deliveries.of(target.journal).first) >= len(sent)

            await until(arrived, every_s=0.5, progress=lambda: (len(kept.all), len(target.journal)))

    findings = Findings()
    findings.look_at_log(sent, [Seen(each.key, each.id) for each in kept.all])
    # A restart strikes nothing: whatever is repeated is a finding.
    findings.look_at_target("the target", sent, Deliveries.of(target.journal), strikes)
    assert findings.ok, findings.broken
    # No channel waits for a session to end.
    assert max(pauses.values()) < _SESSION_S * 0.75


def _config(directory: Path, org: str, target: str, log: dict[str, str]) -> Path:
    subscriber = {
        "uses": "fulfillment",
        "on": "salesforce.*",
        "start": "earliest",
        "settings": {"url": target, "order": "id"},
    }
    settings = sandbox_configuration(
        org,
        log={"kafka": {**log, "partitions": 3, "session_timeout_s": _SESSION_S}},
        subscribers={"orders": subscriber},
    )
    return written(directory, {**settings, "channels": _CHANNELS})
