"""Group commits and pages of a log file."""

import asyncio

import pytest

from streamer.errors import LogMisconfigured
from streamer.ports import Page
from tests.contracts.follower import following
from tests.contracts.values import an_append, an_event, append_to
from tests.unit.log.sqlite.conftest import LogFile

MEGABYTE = {"entity": "Account", "fields": {"Text": "x" * 1_000_000}}


async def test_appends_that_wait_share_a_transaction(log_file: LogFile) -> None:
    """Fifty channels that append at once cost a few commits, not fifty."""
    statements: list[str] = []
    async with log_file.open() as log:
        await log._writer.submit(lambda connection: connection.set_trace_callback(statements.append))
        statements.clear()
        await asyncio.gather(*(append_to(log, an_append(an_event(n))) for n in range(50)))

    assert len(log_file.ids()) == 50
    assert statements.count("COMMIT") <= 10


async def test_group_is_bounded_in_events(log_file: LogFile) -> None:
    """One transaction never exceeds the configured size, except for a single append."""
    log_file.settings = log_file.settings.model_copy(update={"group_commit_events": 100})
    statements: list[str] = []
    async with log_file.open() as log:
        await log._writer.submit(lambda connection: connection.set_trace_callback(statements.append))
        statements.clear()
        appends = [an_append(*(an_event(f"{n}:{k}") for k in range(60))) for n in range(10)]
        await asyncio.gather(*(append_to(log, append) for append in appends))

    assert statements.count("COMMIT") >= 5


async def test_page_is_bounded_in_bytes(log_file: LogFile) -> None:
    """Large events are read a few at a time, so that memory stays flat."""
    log_file.settings = log_file.settings.model_copy(update={"max_bytes": 100 * 1024**2})
    async with log_file.open() as log, following(log) as follower:
        await append_to(log, an_append(*(an_event(n, data=MEGABYTE) for n in range(12))))
        sizes = []
        while len(follower.entries) < 12:
            before = len(follower.entries)
            await follower.step()
            sizes.append(len(follower.entries) - before)

    assert follower.ids == [str(n) for n in range(12)]
    assert max(sizes) <= 5


async def test_far_apart_events_are_found_in_bounded_reads(log_file: LogFile) -> None:
    """A subscriber to rare events skips the others in stretches and gets every one of its own."""
    log_file.settings = log_file.settings.model_copy(update={"max_bytes": 100 * 1024**2})
    common = [an_event(n, what="salesforce.cdc.Lead.created") for n in range(12_000)]
    async with log_file.open() as log, following(log, "*.Account.updated") as follower:
        await append_to(log, an_append(an_event("first"), *common, an_event("last")))
        await follower.step()
        page = await follower.feed.read()
        ids = await follower.read_until("last")

    assert isinstance(page, Page)
    assert ([entry.event.id for entry in page.entries], ids) == (["first"], ["last"])
    assert page.behind == 2_002


async def test_subscriber_is_followed_once(log_file: LogFile) -> None:
    """Two feeds of one subscriber would deliver everything twice."""
    async with log_file.open() as log, following(log):
        with pytest.raises(LogMisconfigured, match="subscriber target has two feeds"):
            async with following(log):
                pass
