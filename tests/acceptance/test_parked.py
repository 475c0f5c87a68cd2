"""Parked events survive the daemon that parked them, with their attempts and due times."""

import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import FulfillmentReceiver, JournalEntry
from tests.acceptance.kept import Kept
from tests.acceptance.sent import Seen, by_key, sent_by
from tests.configuration import ORDER_KEY, sandbox_configuration, written
from tests.daemon import Daemon
from tests.operating import Operator
from tests.waiting import reached, until

_KEYS = 200
_BEHIND = 50
# Longer than it takes to see that all are parked, and to start again.
_LONG_S = 20
_LEFT_S = 6
# Longest time that a busy machine needs from an event's due time to the request at the target.
_LATE_S = 20.0


@pytest.fixture
async def target() -> AsyncIterator[FulfillmentReceiver]:
    """A fulfilment service in trouble that says when to retry each order."""
    async with FulfillmentReceiver(SystemClock()) as receiver:
        # Not 429 or 503, which would be about the whole target.
        receiver.faults.busy_status = 502
        yield receiver


@pytest.fixture
def config(sandbox: Sandbox, kept: Kept, target: FulfillmentReceiver, tmp_path: Path) -> Path:
    """A daemon that parks at the first failure, and takes no number of them for an outage."""
    shipment = {
        "uses": "fulfillment",
        "on": "salesforce.event.Order_Placed__e",
        "start": "earliest",
        "receipts": True,
        "retry": {"fast_tries": 0},
        "breaker": {"failure_ratio": 1, "minimum": 10_000, "window": 10_000},
        "settings": {"url": target.url, "order": "id"},
    }
    if "kafka" in kept.configuration:
        # No member is taken for dead that is only slow: it would deliver again.
        kept.configuration["kafka"]["session_timeout_s"] = 4
    settings = sandbox_configuration(sandbox.url, log=kept.configuration, subscribers={"shipment": shipment})
    return written(tmp_path, settings)


async def test_parked_keys_outlive_a_kill_with_their_attempts_and_times(
    sandbox: Sandbox, kept: Kept, target: FulfillmentReceiver, config: Path
) -> None:
    """Two hundred keys, some failed once and some more often: none is lost, forgotten or tried early."""
    async with Daemon.running(config) as daemon:
        await daemon.ready()
        target.faults.retry_after = "1"
        place_orders(sandbox, range(_KEYS // 2))
        await until(lambda: are_parked(kept, _KEYS // 2, for_s=0), every_s=0.1)
        target.faults.retry_after = str(_LONG_S)
        place_orders(sandbox, [*range(_KEYS // 2, _KEYS), *range(_BEHIND)])
        await until(lambda: are_parked(kept, _KEYS, for_s=_LEFT_S), every_s=0.1)
        await daemon.kill()
    parked, before = await kept.parked("shipment"), len(target.journal)
    target.faults.retry_after = None
    async with Daemon.running(config) as daemon:
        await daemon.ready()
        ready_at = time.time()
        await reached(lambda: len(target.journal), before + _KEYS + _BEHIND)
        await until(lambda: are_receipted(kept, _KEYS + _BEHIND), every_s=0.1)
        assert await daemon.stop() == 0
    sent, after = sent_by(sandbox), arrived(sandbox, list(target.journal)[before:])

    attempts = {setback["attempts"] for setback in parked.values()}
    assert min(attempts) == 1 < max(attempts)
    assert by_key(after) == by_key(sent)
    heads = {key: after[Seen(key, events[0])] for key, events in by_key(sent).items()}
    early_s = [parked[key]["due_at"] - at for key, at in heads.items()]
    late_s = [at - max(ready_at, parked[key]["due_at"]) for key, at in heads.items()]
    assert max(early_s) < 0.01
    assert max(late_s) < _LATE_S
    spent = {key: setback["attempts"] for key, setback in parked.items()}
    receipts = {receipt["event_id"]: receipt["attempts"] for receipt in await kept.receipts()}
    assert receipts == {
        id_: 1 if position else spent[key] + 1
        for key, ids in by_key(sent).items()
        for position, id_ in enumerate(ids)
    }


async def test_operator_sees_the_same_parked_keys_before_and_after_a_kill(
    sandbox: Sandbox, kept: Kept, target: FulfillmentReceiver, config: Path
) -> None:
    """Whichever log keeps them: attempts, due times and errors are as it has them."""
    target.faults.retry_after = "3600"
    listed: list[list[dict[str, Any]]] = []
    for start in range(2):
        async with Daemon.running(config) as daemon:
            await daemon.ready()
            if not start:
                place_orders(sandbox, range(3))
                await until(lambda: are_parked(kept, 3, for_s=0), every_s=0.1)
            listed.append(await listed_by(daemon, 3))
            await daemon.kill()
    stored = await kept.parked("shipment")

    assert listed[0] == listed[1]
    assert {each["key"]: each["attempts"] for each in listed[0]} == {
        key: setback["attempts"] for key, setback in stored.items()
    }
    assert {each["error"] for each in listed[0]} == {"the target answered 502 Bad Gateway"}


def place_orders(sandbox: Sandbox, keys: Iterable[int]) -> None:
    """Place an order for each of `keys`."""
    for key in keys:
        sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: str(key)})


async def are_parked(kept: Kept, keys: int, *, for_s: float) -> bool:
    """Tell whether so many keys are parked, and none of them is due sooner than in `for_s`."""
    parked = (await kept.parked("shipment")).values()
    soonest = min((setback["due_at"] for setback in parked), default=0.0)
    return len(parked) == keys and (not for_s or soonest > time.time() + for_s)


async def listed_by(daemon: Daemon, keys: int) -> list[dict[str, Any]]:
    """Wait until an operator of `daemon` sees so many parked keys, and return them."""
    operator = await Operator.of(daemon)
    found: list[dict[str, Any]] = await until(lambda: operator.parked(keys))
    return found


async def are_receipted(kept: Kept, events: int) -> bool:
    """Tell whether so many events have a receipt."""
    return len(await kept.receipts()) >= events


def arrived(sandbox: Sandbox, requests: Iterable[JournalEntry]) -> dict[Seen, float]:
    """Return when each event came to the target, in that order; one that came twice fails the test."""
    keys = {event.id: event.key for event in sent_by(sandbox)}
    found: dict[Seen, float] = {}
    for request in requests:
        event = Seen(keys[request.body["order"]], request.body["order"])
        assert event not in found, f"{event} came twice"
        found[event] = request.at
    return found
