"""Refused events reach the target after a redrive: all of them, in order for each key."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import ErpReceiver
from tests.acceptance.kept import Kept
from tests.configuration import ORDER_KEY, sandbox_configuration, written
from tests.daemon import Daemon
from tests.operating import Operator
from tests.waiting import until

_KEYS = 5
_ROUNDS = 4


@pytest.fixture
async def target() -> AsyncIterator[ErpReceiver]:
    """An ERP that finds a mistake in every document."""
    async with ErpReceiver(SystemClock()) as receiver:
        receiver.faults.fail_keys, receiver.faults.fail_status = ".", 422
        yield receiver


@pytest.fixture
def config(sandbox: Sandbox, kept: Kept, target: ErpReceiver, tmp_path: Path) -> Path:
    """A daemon that makes a document of each order, whatever the guard would think of it."""
    invoice = {
        "uses": "erp",
        "on": "salesforce.event.Order_Placed__e",
        "start": "earliest",
        "body": {"order": f"data.fields.{ORDER_KEY}", "round": "data.fields.Amount__c"},
        "settings": {"url": f"{target.url}/api/invoices", "external_id": f"data.fields.{ORDER_KEY}"},
        "guard": {"minimum": 1_000},
    }
    log = kept.configuration
    return written(tmp_path, sandbox_configuration(sandbox.url, log=log, subscribers={"invoice": invoice}))


async def test_dead_letters_are_redriven_after_the_cause_is_mended(
    sandbox: Sandbox, target: ErpReceiver, config: Path
) -> None:
    """Through a kill in the midst of it; a stale one that a later event has superseded is left out."""
    async with Daemon.running(config) as daemon:
        await daemon.ready()
        for number in range(_ROUNDS):
            _order(sandbox, number)
        operator = await Operator.of(daemon)
        await operator.dead_letters(_KEYS * _ROUNDS)
        target.faults.fail_keys = None
        assert not target.journal.accepted
        _order(sandbox, _ROUNDS, keys=1)
        await until(lambda: _accepted(target, 1))

        counted = await operator.call("deadletters", "redrive", "--dry-run")
        ordered = await operator.call("deadletters", "redrive", "--yes", "--no-wait", "--per-second", "10")
        assert (counted.status, ordered.status) == (0, 0), counted.error + ordered.error
        await until(lambda: _accepted(target, 4))
        await daemon.kill()
    async with Daemon.running(config) as daemon:
        await daemon.ready()
        operator = await Operator.of(daemon)
        left = await operator.dead_letters(_ROUNDS)
        await until(lambda: _is_over(operator))
        assert await daemon.stop() == 0

    assert {each["key"] for each in left} == {"0"}
    rounds = _rounds(target)
    assert rounds.pop("0") == [_ROUNDS]
    assert rounds == {str(key): list(range(_ROUNDS)) for key in range(1, _KEYS)}


def _order(sandbox: Sandbox, number: int, *, keys: int = _KEYS) -> None:
    for key in range(keys):
        sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: str(key), "Amount__c": number})


def _rounds(target: ErpReceiver) -> dict[str, list[int]]:
    """Return what the target took of each key, in its order, the repetitions of a killed process left out."""
    taken: dict[str, list[int]] = {}
    for each in target.journal:
        if not each.accepted:
            continue
        found = taken.setdefault(each.body["order"], [])
        if each.body["round"] not in found:
            found.append(each.body["round"])
    return taken


async def _accepted(target: ErpReceiver, count: int) -> bool:
    return len(target.journal.accepted) >= count


async def _is_over(operator: Operator) -> bool:
    records = (await operator.call("audit", "--json")).json["records"]
    return any(each["what"] == "redrive.ended" for each in records)
