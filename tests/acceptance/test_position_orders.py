"""A daemon that is killed carries out an order for a new position exactly once, and loses nothing."""

import asyncio
import random
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from streamer.sandbox import Sandbox
from tests.acceptance.busy_org import BusyOrg
from tests.acceptance.kept import Kept
from tests.acceptance.sent import Seen, by_key, sent_by
from tests.configuration import CHANGES, sandbox_configuration, written
from tests.daemon import Daemon
from tests.operating import Operator
from tests.waiting import reached, until

_MESSAGES = 1_500
_KILLS = 3


@pytest.mark.parametrize("repeat", [(), ("--repeat",)], ids=["once", "repeated"])
async def test_killed_order_is_carried_out_once(
    sandbox: Sandbox, kept: Kept, tmp_path: Path, repeat: tuple[str, ...]
) -> None:
    """Some kills at random moments: without `--repeat` each event is there once, and with it twice."""
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    dice = random.Random(seed)  # noqa: S311 - chance, no secret
    config = written(tmp_path, sandbox_configuration(sandbox.url, log=kept.configuration))
    org = BusyOrg(sandbox=sandbox, dice=dice)
    await org.send(_MESSAGES, per_second=20_000)
    sent = sent_by(sandbox)
    async with Daemon.running(config) as daemon:
        await daemon.started()
        await reached(lambda: _count(kept), len(sent), every_s=0.2)
        await _order(daemon, *repeat)
        await asyncio.sleep(dice.random() * 0.3)
        await daemon.kill()
    for number in range(1, _KILLS):
        delivered = sandbox.faults.armed.delivered + dice.randrange(1, _MESSAGES)
        # Once when it was carried out, and the order can still be in the log.
        moment = partial(_has_delivered, sandbox, delivered) if number > 1 else partial(_repeats, kept, sent)
        async with Daemon.running(config) as daemon:
            await daemon.started()
            with suppress(TimeoutError):
                # Once the order is carried out, nothing more comes.
                async with asyncio.timeout(2):
                    await until(moment, every_s=0.001)
            await daemon.kill()

    await org.send(_MESSAGES + 100, per_second=20_000)
    expected = Counter(sent_by(sandbox))
    if repeat:
        # The other channel's are orders, whose ids have no parts.
        expected += Counter(each for each in sent if ":" in each.id)
    async with Daemon.running(config) as daemon:
        await daemon.started()
        await reached(lambda: _count(kept), expected.total(), every_s=0.2)
        operator = await Operator.of(daemon)
        # On a slow machine, every earlier daemon can be killed before it carries out the order.
        records = await until(partial(_position_records, operator), every_s=0.2)
        assert [each["state"] for each in records] == ["full"]
        assert await daemon.stop() == 0

    found = await kept.events()
    assert Counter(found) == expected
    if not repeat:
        assert by_key(found) == by_key(sent_by(sandbox))
    else:
        assert _last_of_each_key(found) == _last_of_each_key(sent_by(sandbox))


async def _position_records(operator: Operator) -> list[dict[str, Any]]:
    """Return the records of orders for positions."""
    listed = await operator.call("continuity", "list", "--cause", "position_set", "--json")
    return list(listed.json["records"])


async def _order(daemon: Daemon, *repeat: str) -> None:
    operator = await Operator.of(daemon)
    said = await operator.call("checkpoint", "set", CHANGES, "--earliest", "--yes", "--wait", "0", *repeat)
    assert said.status == 0, said.error


async def _repeats(kept: Kept, sent: list[Seen]) -> bool:
    return await _count(kept) > len(sent)


async def _has_delivered(sandbox: Sandbox, count: int) -> bool:
    return sandbox.faults.armed.delivered >= count


def _last_of_each_key(seen: list[Seen]) -> dict[str, str]:
    return {each.key: each.id for each in seen}


async def _count(kept: Kept) -> int:
    return len(await kept.events())
