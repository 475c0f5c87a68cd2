"""Positions that expire, are lost, or are saved too early."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streamer.errors import LogUnavailable
from streamer.events import HoleCause, Repair
from streamer.ingest import relay
from streamer.log.sqlite.log import SqliteAppend
from streamer.settings import Transport
from tests.acceptance.field_failures.world import HOUR_S, World
from tests.acceptance.sent import sent_by
from tests.configuration import CHANGES, ORDERS

ACCOUNTS = "/data/AccountChangeEvent"


def _sent(world: World) -> list[str]:
    """Return the ids of what Salesforce has sent; an early refusal has the records read as well."""
    return [each.id for each in world.events if not each.type.endswith(".snapshot")]


async def test_expired_replay_id_wedges_the_stream(world: World) -> None:
    """A channel is quiet for 80 hours, and the daemon starts again: it continues as usual.

    Its events are older than the retention of 72 hours then. Its position is
    younger, or the clock proves that nothing is missing.
    """
    world.more = {"channels": [{"path": CHANGES, "start": "earliest"}]}
    async with world.running():
        account = world.save(Name="Before")
        await world.read()
        await world.pass_quietly(80 * HOUR_S)
        assert world.readiness()[0]
    assert sent_by(world.sandbox) == []
    world.change(account, Name="While it is away")
    await world.clock.turn(600)
    async with world.running():
        await world.read(2)
        world.change(account, Name="After")
        await world.read(3)
        await world.settled()
        records, letters = await world.repaired(), await world.letters()

    names = [event.data["fields"]["Name"] for event in world.events]
    assert names == ["Before", "While it is away", "After"]
    # Over CometD no answer of a quiet channel has a position.
    expected = [(HoleCause.REPLAY_ID_REFUSED, Repair.FULL)] if world.transport is Transport.COMETD else []
    assert {(record.cause, record.state) for record in records} == set(expected)
    assert letters == []


async def test_replay_id_that_expires_in_mid_stream(world: World) -> None:
    """A session ends after the position has expired, and events come before the next one begins."""
    world.more = {"channels": [{"path": ACCOUNTS, "start": "earliest"}]}
    async with world.running():
        for number in range(3):
            world.save(Name=f"No {number}")
        before = [each.id for each in sent_by(world.sandbox)]
        await world.read()
        world.sandbox.faults.expire_events()
        world.sandbox.faults.forget_client()
        world.sandbox.faults.end_stream(times=2)
        for number in range(3, 6):
            world.save(Name=f"No {number}")
        await world.read(6)
        await world.settled()
        records = await world.repaired()

    assert _sent(world) == before + [each.id for each in sent_by(world.sandbox)]
    assert [(record.cause, record.state) for record in records] == [
        (HoleCause.REPLAY_ID_REFUSED, Repair.FULL)
    ]


async def test_refused_replay_id_repeats_what_the_log_holds(world: World) -> None:
    """All of it is retained, and reading begins at the earliest event: what is in the log stays out."""
    world.more = {"channels": [{"path": ACCOUNTS, "start": "earliest"}]}
    async with world.running():
        for number in range(20):
            world.save(Name=f"No {number}")
        await world.read(20)
    await world.clock.turn(HOUR_S)
    for number in range(20, 25):
        world.save(Name=f"No {number}")
    world.sandbox.faults.refuse_replay_id(ACCOUNTS)
    async with world.running():
        await world.read(25)
        await world.settled()
        records = await world.repaired()

    assert world.sandbox.faults.struck["refuse_replay_id"] == 1
    assert _sent(world) == [each.id for each in sent_by(world.sandbox)]
    [record] = records
    assert (record.cause, record.state) == (HoleCause.REPLAY_ID_REFUSED, Repair.FULL)
    assert record.channel.path == ACCOUNTS


@pytest.mark.parametrize("took_effect", [False, True])
async def test_loss_without_an_error(
    world: World, monkeypatch: pytest.MonkeyPatch, *, took_effect: bool
) -> None:
    """The log fails while events arrive, and some are garbage: each event is in it, or is a dead letter."""
    failing = fail_commits(monkeypatch, took_effect=took_effect)

    async def has_failed() -> None:
        await world.until(lambda: not failing, turning=1)

    async with world.running():
        for number in range(30):
            world.save(Name=f"No {number}")
            world.order(number)
            if number % 10 == 3:
                world.sandbox.faults.unreadable(CHANGES)
            if number % 10 == 6:
                failing += [CHANGES, ORDERS]
                await has_failed()
        await world.read()
        await world.settled()
        letters = await world.letters()

    assert world.ids(CHANGES) + world.ids(ORDERS) == [each.id for each in sent_by(world.sandbox)]
    assert [letter.reason for letter in letters] == ["unreadable"] * 3
    assert all(letter.raw for letter in letters)


async def test_positions_lost_across_restarts(world: World) -> None:
    """Started ten times, with events in and between the runs, or none: each comes once."""
    number = 0
    for run in range(9):
        async with world.running():
            for _ in range(run % 3):
                number += 1
                world.save(Name=f"No {number}")
                await world.read()
            if run % 2:
                await world.settled()
            assert world.events or not number
        if run % 4 == 1:
            number += 1
            world.order(number)
    async with world.running():
        await world.read()
        await world.settled()

    assert world.ids(CHANGES) + world.ids(ORDERS) == [each.id for each in sent_by(world.sandbox)]
    delivered = world.sandbox.org.usage.delivered_events.total
    assert delivered <= len(world.events) + 2 * 10


@pytest.mark.parametrize("took_effect", [False, True])
async def test_kill_amid_a_merged_event(
    world: World, monkeypatch: pytest.MonkeyPatch, *, took_effect: bool
) -> None:
    """One event of seven records: ingest dies at its commit, and the consumer after each record."""
    monkeypatch.setattr(relay, "_MOST_BYTES", 1)
    with world.sandbox.org.transaction() as transaction:
        accounts = [transaction.create("Account", {"Name": f"No {number}"}) for number in range(7)]
    async with world.running():
        await world.read(7)
    failing = fail_commits(monkeypatch, took_effect=took_effect, error=asyncio.CancelledError)
    failing.append(CHANGES)
    with world.sandbox.org.transaction() as transaction:
        for account in accounts:
            transaction.update("Account", account, {"Phone": "1"})
    world.consumer_lives_for = 0
    async with world.running():
        await world.until(lambda: not failing)
    for _ in accounts:
        world.consumer_lives_for = 1
        before = len(world.events)
        async with world.running():
            await world.read(before + 1)
    world.consumer_lives_for = None
    async with world.running():
        await world.settled()

    updates = world.events[7:]
    assert [event.subject for event in updates] == accounts
    assert len({event.replay_id for event in updates}) == 1
    assert world.ids(CHANGES) == [each.id for each in sent_by(world.sandbox)]


def fail_commits(
    monkeypatch: pytest.MonkeyPatch, *, took_effect: bool, error: type[BaseException] = LogUnavailable
) -> list[str]:
    """Return a list of paths; the next commit of a channel in it fails, before or after it takes effect."""
    failing: list[str] = []
    commit: Callable[..., Awaitable[None]] = SqliteAppend.commit

    async def failed(append: SqliteAppend, checkpoint: Any, /, **more: Any) -> None:
        path = checkpoint.channel.path
        fails = path in failing and (append.size > 0)
        if took_effect or not fails:
            await commit(append, checkpoint, **more)
        if fails:
            failing.remove(path)
            raise error("the test says so")

    monkeypatch.setattr(SqliteAppend, "commit", failed)
    return failing
