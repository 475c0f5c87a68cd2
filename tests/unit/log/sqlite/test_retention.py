"""Retention of events in a log file, and appends that wait for room."""

import asyncio

import pytest
from structlog.testing import capture_logs

from streamer.errors import LogUnavailable
from streamer.events import Forwarded, Start, SubscriberName
from streamer.log.sqlite import SqliteLog
from tests.contracts.follower import coming_after, following, forwarding
from tests.contracts.values import an_append, an_event, append_to
from tests.unit.log.sqlite.conftest import LogFile
from tests.unit.log.sqlite.room import HOUR_S, QUARTER_MB, append_that_waits, let_pass, turned_until


async def append_until_full(log: SqliteLog) -> "asyncio.Task[None]":
    """Fill the file and return an append that waits for room."""
    for n in range(4):
        await append_to(log, an_append(an_event(n, data=QUARTER_MB), at=n))
    return await append_that_waits(log)


async def test_what_is_old_is_forgotten(log_file: LogFile) -> None:
    """Events are deleted after the retention, in steps, and younger ones stay."""
    async with log_file.open() as log:
        await append_to(log, an_append(*(an_event(n) for n in range(2_500))))
        await log_file.clock.turn(1.5 * HOUR_S)
        await append_to(log, an_append(an_event("young")))
        await turned_until(log, log_file, lambda: len(log_file.ids()) < 2_501)
        await turned_until(log, log_file, lambda: log_file.ids() == ["young"])


async def test_offsets_are_not_given_twice_after_everything_was_forgotten(log_file: LogFile) -> None:
    """A subscriber's position stays valid over an empty file and a restart."""
    async with log_file.open() as log, following(log) as follower:
        await append_to(log, an_append(an_event(1), an_event(2)))
        await follower.read_until("2")
        await follower.settle()
        await log_file.clock.turn(2 * HOUR_S)
        await turned_until(log, log_file, lambda: not log_file.ids())
    async with log_file.open() as log, following(log) as follower:
        await append_to(log, an_append(an_event(3)))

        assert await follower.read_until("3") == ["3"]


async def test_retention_never_passes_an_unsettled_event(log_file: LogFile) -> None:
    """A target that is down for longer than the retention loses nothing."""
    async with log_file.open() as log, following(log) as follower:
        await append_to(log, an_append(*(an_event(n) for n in range(5))))
        await follower.read_until("4")
        await follower.settle(but=["2"])
        await log_file.clock.turn(10 * HOUR_S)
        await turned_until(log, log_file, lambda: log_file.ids() == ["2", "3", "4"])
        await log_file.clock.turn(10 * HOUR_S)
        await let_pass(log, log_file)

        assert log_file.ids() == ["2", "3", "4"]


async def test_forwarded_event_is_kept_for_a_subscriber_that_never_ran(log_file: LogFile) -> None:
    """Its target can be away since the start."""
    async with log_file.open() as log:
        async with forwarding(log, "shipment") as invoice:
            await append_to(log, an_append(an_event("1")))
            await invoice.read_until("1")
            event = Forwarded(to=SubscriberName("shipment"), event=an_event("1"), at=0.0)
            await invoice.settle(forwarded=[event])
        await log_file.clock.turn(100 * HOUR_S)
        await let_pass(log, log_file)
        async with coming_after(log) as shipment:
            assert await shipment.read_until("1") == ["1"]


async def test_subscriber_that_is_not_running_yet_holds_events_too(log_file: LogFile) -> None:
    """A daemon that was down for longer than the retention finds every unsettled event."""
    async with log_file.open() as log:
        async with following(log):
            pass
        await append_to(log, an_append(an_event(1)))
    await log_file.clock.turn(100 * HOUR_S)
    async with log_file.open() as log:
        await let_pass(log, log_file)
        async with following(log) as follower:
            assert await follower.read_until("1") == ["1"]


async def test_subscriber_that_left_the_configuration_holds_events_for_one_more_retention(
    log_file: LogFile,
) -> None:
    """A subscriber that no longer runs does not fill the disk."""
    async with log_file.open() as log:
        async with following(log, name="former"):
            await append_to(log, an_append(an_event(1)))
        await log_file.clock.turn(3 * HOUR_S)
        with capture_logs() as logs:
            await log.expect([SubscriberName("other")])
        await log_file.clock.turn(1.5 * HOUR_S)
        await let_pass(log, log_file)
        assert log_file.ids() == ["1"]
        await turned_until(log, log_file, lambda: log_file.ids() == [])

    assert [(line["event"], line["subscriber"]) for line in logs] == [("subscriber.absent", "former")]


async def test_subscriber_that_comes_back_too_late_is_told_what_it_missed(log_file: LogFile) -> None:
    """Events that were deleted before it returned are not missed silently."""
    async with log_file.open() as log:
        async with following(log):
            await append_to(log, an_append(an_event(1)))
        await log.expect([])
        await log_file.clock.turn(3 * HOUR_S)
        await turned_until(log, log_file, lambda: log_file.ids() == [])
        with capture_logs() as logs:
            async with following(log):
                pass

    lines = [line for line in logs if line["event"] == "subscriber.events_expired"]
    assert [(line["log_level"], line["subscriber"], line["offsets"]) for line in lines] == [
        ("error", "target", 1)
    ]


async def test_full_file_makes_room_of_what_is_settled(log_file: LogFile) -> None:
    """Size comes before age: unneeded events are deleted early."""
    async with log_file.open() as log:
        for n in range(20):
            await append_to(log, an_append(an_event(n, data=QUARTER_MB), at=n))

        assert log_file.ids()[-1] == "19"
        assert log_file.settings.path.stat().st_size < 2 * log_file.settings.max_bytes


async def test_append_waits_for_room_and_goes_on(log_file: LogFile) -> None:
    """Ingest is held back until a subscriber settles; a log line names that subscriber."""
    with capture_logs() as logs:
        async with log_file.open() as log, following(log) as follower:
            waiting = await append_until_full(log)
            await follower.read_until("3")
            await follower.settle()
            await waiting
            assert await follower.read_until("waited") == ["0", "1", "2", "3", "waited"]

    lines = [line for line in logs if line["event"] in ("log.full", "log.has_room")]
    assert [line["event"] for line in lines] == ["log.full", "log.has_room"]
    assert lines[0]["held_by"] == "target"


async def test_appends_that_wait_for_room_keep_their_order(log_file: LogFile) -> None:
    """The order of the calls holds through a full file."""
    async with log_file.open() as log, following(log) as follower:
        waiting = [await append_until_full(log)]
        waiting += [asyncio.create_task(append_to(log, an_append(an_event(f"w{n}")))) for n in range(5)]
        await follower.read_until("3")
        await follower.settle()
        await asyncio.gather(*waiting)

        assert (await follower.read_until("w4"))[4:] == ["waited", "w0", "w1", "w2", "w3", "w4"]


async def test_append_that_waits_for_room_ends_with_the_log(log_file: LogFile) -> None:
    """Closing a full log leaves no caller waiting, and the append did not take effect."""
    async with log_file.open() as log, following(log, start=Start.EARLIEST):
        waiting = await append_until_full(log)
    with pytest.raises(LogUnavailable):
        await waiting

    assert log_file.ids() == ["0", "1", "2", "3"]
