"""One seed, from the first event to the verdict."""

import asyncio
import random
from pathlib import Path

from streamer.events import JsonObject
from tests.acceptance.busy_org import BusyOrg
from tests.acceptance.fire.cabling import Kafka
from tests.acceptance.fire.findings import Deliveries, Findings
from tests.acceptance.fire.schedule import Fault, profile_of, schedule
from tests.acceptance.fire.world import AFTER, World, world
from tests.acceptance.sent import Seen, sent_by

_PER_SECOND = 250.0
_SETTLED_WITHIN_S = 180.0
_LOOK_S = 0.25


async def trial(seed: int, kafka: Kafka, directory: Path) -> Findings:
    """Let everything happen that `seed` tells of, then hold what came of it against the promises."""
    profile = profile_of(seed)
    async with world(kafka, profile, directory) as parts:
        watching = asyncio.create_task(parts.fleet.watch(), name="watching")
        org = BusyOrg(sandbox=parts.sandbox, dice=random.Random(seed))  # noqa: S311 - chance, no secret
        async with asyncio.TaskGroup() as group:
            group.create_task(org.send(round(profile.seconds * _PER_SECOND), per_second=_PER_SECOND))
            for fault in schedule(seed):
                group.create_task(_at_its_time(parts, fault), name=str(fault))
        findings = await _findings(parts)
        watching.cancel()
        await asyncio.wait([watching])
        return findings


async def _at_its_time(parts: World, fault: Fault) -> None:
    await asyncio.sleep(fault.at_s)
    await parts.strike(fault)


async def _findings(parts: World) -> Findings:
    sent = sent_by(parts.sandbox)
    findings = Findings()
    async with parts.kept.reading() as kept:
        late = await _late(parts, sent)
        await parts.fleet.stop()
        findings.look_at_log(sent, await kept.events())
        receipts = await _receipts(parts)
    deliveries = {name: Deliveries.of(target.journal) for name, target in parts.targets.items()}
    for name, found in deliveries.items():
        due = _due(parts, name, {event.id for event in sent})
        findings.look_at_target(name, [event for event in sent if event.id in due], found, parts.strikes)
        findings.look_at_receipts(name, found, receipts[name])
    for name, upstream in AFTER.items():
        findings.look_at_chain(name, deliveries[name], receipts[upstream])
    findings.add(late)
    findings.add(parts.fleet.complaints)
    return findings


async def _late(parts: World, sent: list[Seen]) -> list[str]:
    """Wait until all is where it belongs and all daemons are ready; return what was not in time."""
    waiting = {
        "the log": lambda: parts.kept.reached(len(sent)),
        "the targets": lambda: _delivered(parts, {event.id for event in sent}),
        "the receipts": lambda: _receipted(parts, {event.id for event in sent}),
        "the daemons": parts.fleet.is_ready,
    }
    end = asyncio.get_running_loop().time() + _SETTLED_WITHIN_S
    while waiting and asyncio.get_running_loop().time() < end:
        waiting = {what: holds for what, holds in waiting.items() if not await holds()}
        await asyncio.sleep(_LOOK_S)
    return [f"{what} were not complete {_SETTLED_WITHIN_S:.0f} s after the last fault" for what in waiting]


def _due(parts: World, name: str, sent: set[str]) -> set[str]:
    """Return the events that the target `name` must get: all, or what its upstream one has accepted.

    No target accepts a deletion: each event is an order of its own, so there is
    nothing to cancel.
    """
    return _accepted(parts, AFTER[name]) if name in AFTER else sent


def _accepted(parts: World, name: str) -> set[str]:
    return {received.body["order"] for received in parts.targets[name].journal if received.accepted}


async def _delivered(parts: World, sent: set[str]) -> bool:
    return all(
        _due(parts, name, sent) <= {received.body["order"] for received in target.journal}
        for name, target in parts.targets.items()
    )


async def _receipted(parts: World, sent: set[str]) -> bool:
    # What was delivered unheard, or by a process that was killed, is delivered again.
    if not await _delivered(parts, sent):
        return False
    receipts = await _receipts(parts)
    return all(
        _accepted(parts, name) <= {receipt["event_id"] for receipt in receipts[name]}
        for name in parts.targets
    )


async def _receipts(parts: World) -> dict[str, list[JsonObject]]:
    found: dict[str, list[JsonObject]] = {name: [] for name in parts.targets}
    for receipt in await parts.kept.receipts():
        found[receipt["subscriber"]].append(receipt)
    return found
