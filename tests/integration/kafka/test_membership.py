"""Processes that share channels through Kafka's group."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from streamer.clock import SystemClock
from streamer.events import Channel
from streamer.log.kafka.log import KafkaLog
from streamer.settings import KafkaLogSettings
from tests.contracts.values import ORG, an_append, an_event, append_to
from tests.integration.kafka.topics import own_settings
from tests.waiting import awaited, limited, until

_CHANNELS = [Channel(org=ORG, path=f"/event/E{n}__e") for n in range(12)]
_ALL = frozenset(_CHANNELS)

Owned = AsyncGenerator[frozenset[Channel], None]


@pytest.fixture
def settings(kafka: str) -> KafkaLogSettings:
    """Settings of nobody else."""
    return own_settings(kafka)


@asynccontextmanager
async def sharing(settings: KafkaLogSettings) -> AsyncIterator[tuple[KafkaLog, Owned]]:
    """Open one more process's log, and follow what it owns."""
    async with KafkaLog.open(settings, SystemClock()) as log, aclosing(log.owned(_CHANNELS)) as owned:
        yield log, owned


async def until_owned(owned: Owned, count: int) -> frozenset[Channel]:
    """Follow the changes until `count` channels are ours."""
    async with limited(f"{count} channels"):
        async for mine in owned:
            if len(mine) == count:
                return mine
    raise AssertionError("the ownership ended")


async def test_two_processes_share_all_channels_and_none_twice(settings: KafkaLogSettings) -> None:
    """Work is divided, and kept channels stay where they are."""
    async with sharing(settings) as (_, first), sharing(settings) as (_, second):
        assert await anext(first) == _ALL
        joining = asyncio.ensure_future(anext(second))
        kept = await anext(first)
        let_go = asyncio.ensure_future(anext(first))
        taken = await joining
        while kept | taken != _ALL:
            taken = await anext(second)

        assert not kept & taken
        assert kept < _ALL
        assert taken
        let_go.cancel()
        await asyncio.wait([let_go])


async def test_channels_are_handed_over_only_when_they_were_let_go_of(settings: KafkaLogSettings) -> None:
    """The next owner waits while the former one still reads."""
    async with sharing(settings) as (_, first), sharing(settings) as (_, second):
        assert await anext(first) == _ALL
        joining = asyncio.ensure_future(until_any(second))
        fewer = await anext(first)
        assert fewer < _ALL
        done, _ = await asyncio.wait([joining], timeout=2.0)
        assert not done

        letting_go = asyncio.ensure_future(anext(first))
        assert await awaited(joining)
        letting_go.cancel()
        await asyncio.wait([letting_go])


async def until_any(owned: Owned) -> frozenset[Channel]:
    """Follow the changes until something is ours."""
    while not (mine := await anext(owned)):
        pass
    return mine


async def test_clean_leave_hands_over_at_once(kafka: str) -> None:
    """A rolling restart does not wait for sessions to end: this one would take 40 s."""
    settings = own_settings(kafka, session_timeout_s=40)
    shares: list[frozenset[Channel]] = []
    async with sharing(settings) as (_, staying):
        following = asyncio.ensure_future(record(staying, shares))
        await until_all(shares)
        async with sharing(settings) as (_, leaving):
            assert await until_any(leaving)
            assert shares[-1] < _ALL

        await until_all(shares)
        following.cancel()
        await asyncio.wait([following])


async def until_all(shares: list[frozenset[Channel]]) -> None:
    """Wait until the last of `shares` is everything."""
    await until(lambda: shares and shares[-1] == _ALL)


async def record(owned: Owned, shares: list[frozenset[Channel]]) -> None:
    """Note every share, and let go of whatever is asked for."""
    async for mine in owned:
        shares.append(mine)  # noqa: PERF401 - others look while it grows


async def test_killed_owner_is_replaced_when_its_session_ends(settings: KafkaLogSettings) -> None:
    """Nobody has to notice a dead process: its channels are appended to again soon."""
    victim = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _VICTIM, settings.model_dump_json(include={"bootstrap_servers", "prefix"})),
        stdout=asyncio.subprocess.PIPE,
    )
    assert victim.stdout is not None
    async with limited("the other process"):
        while (line := await victim.stdout.readline()) != b"owner\n":
            assert line, "it ended"
    async with sharing(settings) as (log, owned):
        taking_over = asyncio.ensure_future(until_owned(owned, len(_ALL)))
        os.kill(victim.pid, signal.SIGKILL)
        await victim.wait()
        await taking_over
        await awaited(append_to(log, an_append(an_event("heir"), channel=_CHANNELS[0])))


_VICTIM = """
import asyncio, json, sys
from streamer.clock import SystemClock
from streamer.log.kafka.log import KafkaLog
from streamer.settings import KafkaLogSettings
from tests.integration.kafka.test_membership import _CHANNELS

async def main():
    settings = KafkaLogSettings(session_timeout_s=2, transaction_timeout_s=600, **json.loads(sys.argv[1]))
    async with KafkaLog.open(settings, SystemClock()) as log:
        async for owned in log.owned(_CHANNELS):
            if len(owned) == len(_CHANNELS):
                print("owner", flush=True)

asyncio.run(main())
"""
