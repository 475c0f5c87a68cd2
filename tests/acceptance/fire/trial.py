"""One trial for one seed, from the first event to the verdict."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from streamer.events import JsonObject
from tests.acceptance.busy_org import BusyOrg
from tests.acceptance.fire.cabling import Kafka
from tests.acceptance.fire.findings import Deliveries, Findings
from tests.acceptance.fire.schedule import Fault, profile_of, schedule
from tests.acceptance.fire.world import CHAIN, World, world
from tests.acceptance.kept import KeptInKafka
from tests.acceptance.sent import Seen, sent_by
from tests.configuration import CHANGES, ORDERS
from tests.waiting import until

_PER_SECOND = 250.0
# Longer than anything of ours waits before it tries again, on a machine that is many times slower.
_STILL_S = 180.0
_LOOK_S = 0.25
_LOG, _RECEIPTS = "the log", "the receipts"
# Prefix of the ids of accounts.
_ACCOUNTS = "001"

_Holds = Callable[[], Awaitable[bool]]


async def trial(seed: int, kafka: Kafka, directory: Path) -> Findings:
    """Let every fault of `seed` happen, then compare the outcome with the promises."""
    profile = profile_of(seed)
    async with world(kafka, profile, directory) as parts:
        watching = asyncio.create_task(parts.fleet.watch(), name="watching")
        org = BusyOrg(sandbox=parts.sandbox, dice=random.Random(seed))  # noqa: S311 - chance, no secret
        async with asyncio.TaskGroup() as group:
            group.create_task(org.send(round(profile.seconds * _PER_SECOND), per_second=_PER_SECOND))
            for fault in schedule(seed):
                group.create_task(_at_its_time(parts, fault), name=str(fault))
        findings = await judge(parts)
        if not findings.ok:
            await asyncio.to_thread(_keep, parts, directory)
        watching.cancel()
        await asyncio.wait([watching])
        return findings


def _keep(parts: World, directory: Path) -> None:
    """Keep what the org has sent, and the brokers' data, beside the output of the daemons."""
    sent = [message.data for path in (CHANGES, ORDERS) for message in parts.sandbox.bus.after(path, 0)]
    (directory / "sent.jsonl").write_bytes(b"\n".join(sent))
    parts.kafka.keep(directory)


async def _at_its_time(parts: World, fault: Fault) -> None:
    await asyncio.sleep(fault.at_s)
    await parts.strike(fault)


async def judge(parts: World, *, still_s: float = _STILL_S) -> Findings:
    """Stop the daemons once everything is complete or nothing has moved for `still_s`; return the verdict."""
    sent = sent_by(parts.sandbox)
    findings = Findings()
    late = await _late(parts, sent, still_s)
    await parts.fleet.stop()
    async with parts.kept.read_whole() as kept:
        findings.look_at_log(sent, await kept.events(), _users(parts))
        receipts = await _receipts(parts, kept)
    deliveries = {name: Deliveries.of(target.journal) for name, target in parts.targets.items()}
    for name, found in deliveries.items():
        findings.look_at_target(name, _due(name, sent), found, parts.strikes)
        findings.look_at_receipts(name, found, receipts[name])
    first, second = CHAIN
    findings.look_at_chain(second, deliveries[second], receipts[first])
    findings.add(late)
    findings.add(parts.fleet.complaints)
    return findings


def _users(parts: World) -> list[str]:
    """Return the ids of the org's users, which a snapshot of all objects reads as well."""
    org = parts.sandbox.org
    return [user["Id"] for user in org.records.all(org.schema.entity("User"))]


async def _late(parts: World, sent: list[Seen], still_s: float) -> list[str]:
    """Wait until everything is complete and all daemons are ready, or until nothing moves any more.

    Return a sentence about each thing that is not complete then.
    """
    async with parts.kept.reading():
        waiting = await _waiting(parts, sent, still_s)
    # The consumer that reads along can stand still, so a new consumer looks again. It must look before
    # the daemons stop: a daemon that stops records deliveries that it has not recorded before.
    if waiting & {_LOG, _RECEIPTS}:
        async with parts.kept.read_whole() as kept:
            waiting -= {what for what, holds in _in_log(parts, sent, kept).items() if await holds()}
    return [f"not complete when nothing had moved for {still_s:g} s: {what}" for what in sorted(waiting)]


async def _waiting(parts: World, sent: list[Seen], still_s: float) -> set[str]:
    waiting: dict[str, _Holds] = {
        "the targets": lambda: _delivered(parts, sent),
        "the daemons": parts.fleet.is_ready,
        **_in_log(parts, sent, parts.kept),
    }

    async def settled() -> bool:
        nonlocal waiting
        waiting = {what: holds for what, holds in waiting.items() if not await holds()}
        return not waiting

    with suppress(AssertionError):
        await until(
            settled, every_s=_LOOK_S, progress=lambda: _progress(parts, len(waiting)), limit_s=still_s
        )
    return set(waiting)


def _in_log(parts: World, sent: list[Seen], kept: KeptInKafka) -> dict[str, _Holds]:
    """Return the conditions that `kept` can answer."""
    return {
        _LOG: lambda: kept.reached(len(sent)),
        _RECEIPTS: lambda: _receipted(parts, sent, kept),
    }


def _progress(parts: World, waiting: int) -> object:
    """Return a value that changes with any progress; a repeated delivery does not count."""
    delivered = [len({each.body["order"] for each in target.journal}) for target in parts.targets.values()]
    return waiting, parts.kept.counts, delivered


def _due(name: str, sent: Sequence[Seen]) -> list[Seen]:
    """Return the events that the target `name` must get. No account is ever deleted, so all are shipped."""
    return [event for event in sent if name != CHAIN[1] or event.key.startswith(_ACCOUNTS)]


async def _delivered(parts: World, sent: Sequence[Seen]) -> bool:
    return all(
        {event.id for event in _due(name, sent)} <= {received.body["order"] for received in target.journal}
        for name, target in parts.targets.items()
    )


async def _receipted(parts: World, sent: Sequence[Seen], kept: KeptInKafka) -> bool:
    # Deliveries whose answer was lost, or whose process was killed, are repeated.
    if not await _delivered(parts, sent):
        return False
    receipts = await _receipts(parts, kept)
    return all(
        Deliveries.of(target.journal).accepted <= {receipt["event_id"] for receipt in receipts[name]}
        for name, target in parts.targets.items()
    )


async def _receipts(parts: World, kept: KeptInKafka) -> dict[str, list[JsonObject]]:
    found: dict[str, list[JsonObject]] = {name: [] for name in parts.targets}
    for receipt in await kept.receipts():
        found[receipt["subscriber"]].append(receipt)
    return found
