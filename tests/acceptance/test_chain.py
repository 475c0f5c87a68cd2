"""A chain of subscribers that is killed again and again takes each step once, in turn and in order."""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from streamer.clock import SystemClock
from streamer.events import JsonObject
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import ErpReceiver
from tests.acceptance.busy_org import BusyOrg
from tests.acceptance.fire.fleet import Fleet, Member
from tests.acceptance.kept import Kept, KeptInKafka
from tests.acceptance.sent import by_key, sent_by
from tests.configuration import sandbox_configuration, written
from tests.daemon import until

_KILLS = 3
_PER_SECOND = 8.0
_ENDLESS = 10**9
# Each with those that must have delivered before.
_STEPS: Mapping[str, Sequence[str]] = {
    "invoice": (),
    "credit": (),
    "shipment": ("invoice", "credit"),
    "notice": ("shipment",),
}


@pytest.fixture
async def target() -> AsyncIterator[ErpReceiver]:
    """One system for all steps, so that its journal tells in which order they were taken."""
    async with ErpReceiver(SystemClock()) as receiver:
        receiver.faults.slow_s = 0.01
        yield receiver


@pytest.fixture
def fleet(sandbox: Sandbox, kept: Kept, target: ErpReceiver, tmp_path: Path) -> Fleet:
    """Two processes where they can share a log."""
    subscribers = {name: _step(name, before, target) for name, before in _STEPS.items()}
    log, processes = kept.configuration, 1
    if isinstance(kept, KeptInKafka):
        # Eight consumers start again at once, which can take a second.
        log, processes = {"kafka": log["kafka"] | {"session_timeout_s": 3}}, 2
    settings = sandbox_configuration(sandbox.url, log=log, subscribers=subscribers)
    config = written(tmp_path, settings)
    return Fleet(members=[Member(number=number, config=config) for number in range(processes)])


def _step(name: str, before: Sequence[str], target: ErpReceiver) -> dict[str, Any]:
    source = {"after": list(before)} if before else {"on": "salesforce.*", "start": "earliest"}
    return source | {
        "uses": "erp",
        "body": {"event": "id", "numbers": {each: f"receipts.{each}.number" for each in before}},
        "receipts": True,
        "max_in_flight": 8,
        "retry": {"first_delay_s": 0.1, "max_delay_s": 0.5},
        "settings": {"url": f"{target.url}/api/{name}", "external_id": "id", "deletions": "write"},
    }


@pytest.mark.timeout(1_200)
async def test_kills_leave_each_step_of_a_chain_once_and_in_turn(
    sandbox: Sandbox, kept: Kept, target: ErpReceiver, fleet: Fleet
) -> None:
    """One receipt for each step, no step before those before it, and each record's events in order."""
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    dice = random.Random(seed)  # noqa: S311 - chance, no secret
    async with fleet:
        async with _sending(sandbox):
            for _, member in zip(range(_KILLS), cycle(fleet.members), strict=False):
                target.faults.lose_answers = 2
                await _delivered_some(target, dice.randrange(1, 60))
                await asyncio.sleep(dice.random() * 0.3)
                await member.kill()
                await member.start()
        sent = sent_by(sandbox)
        await until(lambda: _are_receipted(kept, len(sent)), within_s=120, every_s=0.3)
        await fleet.ready()
        await fleet.stop()

    receipts = await kept.receipts()
    taken = _first_requests(target)
    for step, before in _STEPS.items():
        places = taken[step]
        assert Counter(_events(receipts, step)) == Counter(event.id for event in sent)
        assert by_key(sorted(sent, key=lambda event: places[event.id])) == by_key(sent)
        assert all(taken[each][event] < place for each in before for event, place in places.items())
    assert _numbers_sent(target) <= _numbers_given(receipts)
    assert not fleet.complaints


def _first_requests(target: ErpReceiver) -> dict[str, dict[str, int]]:
    """Return the place in the journal of the first accepted request for each event, by step."""
    taken: dict[str, dict[str, int]] = defaultdict(dict)
    for place, received in enumerate(target.journal):
        if received.accepted:
            taken[received.path.split("/")[2]].setdefault(received.body["event"], place)
    return taken


def _numbers_sent(target: ErpReceiver) -> set[tuple[str, str, str]]:
    """Return the numbers of earlier steps that requests hold, with the step and the event."""
    return {
        (step, received.body["event"], number)
        for received in target.journal
        for step, number in received.body["numbers"].items()
    }


def _numbers_given(receipts: Sequence[JsonObject]) -> set[tuple[str, str, str]]:
    return {(each["subscriber"], each["event_id"], each["answer"]["number"]) for each in receipts}


def _events(receipts: Sequence[JsonObject], step: str) -> list[str]:
    return [receipt["event_id"] for receipt in receipts if receipt["subscriber"] == step]


@asynccontextmanager
async def _sending(sandbox: Sandbox) -> AsyncIterator[None]:
    org = BusyOrg(sandbox=sandbox, dice=random.Random(20))  # noqa: S311 - chance, no secret
    task = asyncio.create_task(org.send(_ENDLESS, per_second=_PER_SECOND), name="busy org")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _delivered_some(target: ErpReceiver, more: int) -> None:
    enough = len(target.journal.accepted) + more

    async def are_delivered() -> bool:
        return len(target.journal.accepted) >= enough

    await until(are_delivered, within_s=120)


async def _are_receipted(kept: Kept, events: int) -> bool:
    return len(await kept.receipts()) >= events * len(_STEPS)
