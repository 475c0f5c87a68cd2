"""A killed daemon can repeat deliveries, but never their receipts."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path

import pytest

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import FulfillmentReceiver
from tests.acceptance.busy_org import BusyOrg
from tests.acceptance.fire.fleet import Fleet, Member
from tests.acceptance.kept import Kept, KeptInKafka
from tests.acceptance.sent import sent_by
from tests.configuration import sandbox_configuration, written
from tests.waiting import until

_KILLS = 9
_HEALED_AFTER = 5
_PER_SECOND = 100.0
_ENDLESS = 10**9
_NOT_FOUND = 404
# Some of the records, with every event of theirs.
_POISONED = r"7\w{3}:shipment$"


@pytest.fixture
async def target() -> AsyncIterator[FulfillmentReceiver]:
    """A fulfilment service that takes a moment, and is in trouble with some records."""
    async with FulfillmentReceiver(SystemClock()) as receiver:
        receiver.faults.slow_s = 0.02
        receiver.faults.fail_keys = _POISONED
        yield receiver


@pytest.fixture
def fleet(sandbox: Sandbox, kept: Kept, target: FulfillmentReceiver, tmp_path: Path) -> Fleet:
    """Three processes where they can share a log: what a killed one left open holds up its partitions."""
    shipment = {
        "uses": "fulfillment",
        "on": "salesforce.*",
        "start": "earliest",
        "receipts": True,
        "max_in_flight": 8,
        "retry": {"first_delay_s": 0.1, "max_delay_s": 0.5},
        "settings": {"url": target.url, "order": "id"},
    }
    settings = sandbox_configuration(sandbox.url, log=kept.configuration, subscribers={"shipment": shipment})
    config = written(tmp_path, settings)
    processes = 3 if isinstance(kept, KeptInKafka) else 1
    return Fleet(members=[Member(number=number, config=config) for number in range(processes)])


@pytest.mark.timeout(2_400)
async def test_kills_leave_one_receipt_of_each_delivery(
    sandbox: Sandbox, kept: Kept, target: FulfillmentReceiver, fleet: Fleet
) -> None:
    """Killed in mid-delivery, with keys parked and answers lost: one for each event, and no other."""
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    dice = random.Random(seed)  # noqa: S311 - chance, no secret
    async with fleet:
        async with _sending(sandbox):
            for number, member in zip(range(_KILLS), cycle(fleet.members), strict=False):
                if number == _HEALED_AFTER:
                    target.faults.fail_keys = None
                target.faults.lose_answers = 2
                await _delivered_some(target, dice.randrange(1, 60))
                await asyncio.sleep(dice.random() * 0.3)
                await member.kill()
                await member.start()
        sent = {event.id for event in sent_by(sandbox)}
        await until(lambda: _finished(target, sent), every_s=0.2, progress=lambda: len(target.journal))
        delivered = {received.body["order"] for received in target.journal if received.accepted}
        # A killed process's last deliveries are repeated.
        await until(lambda: _are_receipted(kept, delivered), every_s=0.2)
        await fleet.ready()
        await fleet.stop()

    assert target.journal.duplicates
    assert Counter(receipt["event_id"] for receipt in await kept.receipts()) == Counter(delivered)
    assert not fleet.complaints


@asynccontextmanager
async def _sending(sandbox: Sandbox) -> AsyncIterator[None]:
    org = BusyOrg(sandbox=sandbox, dice=random.Random(20))  # noqa: S311 - chance, no secret
    task = asyncio.create_task(org.send(_ENDLESS, per_second=_PER_SECOND), name="busy org")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _delivered_some(target: FulfillmentReceiver, more: int) -> None:
    enough = len(target.journal.accepted) + more

    async def are_delivered() -> bool:
        return len(target.journal.accepted) >= enough

    await until(are_delivered)


async def _finished(target: FulfillmentReceiver, sent: set[str]) -> bool:
    """Return whether the target took each order or did not know it: a deleted order was never shipped."""
    finished = {r.body["order"] for r in target.journal if r.accepted or r.status == _NOT_FOUND}
    return sent <= finished


async def _are_receipted(kept: Kept, events: set[str]) -> bool:
    return events <= {receipt["event_id"] for receipt in await kept.receipts()}
