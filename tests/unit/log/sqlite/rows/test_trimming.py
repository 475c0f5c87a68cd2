"""Retention of receipts, audit records, parked events and dead letters in a log file."""

from dataclasses import replace

from structlog.testing import capture_logs

from streamer.controls import AuditRecord
from streamer.events import SubscriberName
from tests.contracts.follower import following
from tests.contracts.parking import leaving, park
from tests.contracts.values import a_dead_letter, a_receipt, an_append, an_event, append_to
from tests.unit.log.sqlite.conftest import LogFile
from tests.unit.log.sqlite.room import HOUR_S, QUARTER_MB, append_that_waits, count, let_pass, turned_until

DONE = AuditRecord(at=1.0, what="breaker.opened", by="guard")


async def test_receipts_and_audit_are_kept_for_the_retention(log_file: LogFile) -> None:
    """They are deleted in steps, as events are; younger ones stay."""
    async with log_file.open() as log, following(log) as follower:
        await follower.step()
        await follower.settle(receipts=[a_receipt(str(n)) for n in range(1_500)])
        await log.controls.note(DONE)
        await log_file.clock.turn(1.5 * HOUR_S)
        await follower.settle(receipts=[a_receipt("young")])
        await log.controls.note(DONE)
        assert (count(log_file, "receipts"), count(log_file, "audit")) == (1_501, 2)
        await turned_until(log, log_file, lambda: count(log_file, "receipts") < 1_501)
        await turned_until(log, log_file, lambda: count(log_file, "receipts") == 1)
        await turned_until(log, log_file, lambda: count(log_file, "audit") == 1)


async def test_retention_never_touches_parked_events(log_file: LogFile) -> None:
    """An event that is retried for days outlives its row of events, and a restart."""
    async with log_file.open() as log, following(log) as follower:
        await append_to(log, an_append(an_event(1), an_event(2)))
        await follower.read_until("2")
        parked = follower.entries
        await park(follower, *parked)
        await log_file.clock.turn(100 * HOUR_S)
        await turned_until(log, log_file, lambda: not log_file.ids())
    async with log_file.open() as log, following(log) as follower:
        await let_pass(log, log_file)
        await follower.step()

        assert [lane.offsets for lane in follower.lanes] == [tuple(entry.offset for entry in parked)]
        assert await follower.recall(*parked) == parked


async def test_parked_events_fill_the_file_until_they_are_delivered(log_file: LogFile) -> None:
    """The size limit counts them, the log line reports them, and their delivery makes room."""
    with capture_logs() as logs:
        async with log_file.open() as log, following(log) as follower:
            for n in range(4):
                await append_to(log, an_append(an_event(n, data=QUARTER_MB), at=n))
                await follower.read_until(str(n))
                await park(follower, *follower.entries[-1:])
            waiting = await append_that_waits(log)
            await follower.settle(lanes=[leaving(*follower.entries, setback=None)])
            await waiting

    [full] = [line for line in logs if line["event"] == "log.full"]
    assert (full["held_by"], full["parked_events"], full["dead_letters"]) == (None, 4, 0)


async def test_dead_letters_fill_the_file_until_they_are_discarded(log_file: LogFile) -> None:
    """They stay until an operator decides on them, and discarding makes room at once."""
    large = replace(a_dead_letter("large"), raw=b"x" * 1024**2)
    with capture_logs() as logs:
        async with log_file.open() as log:
            await append_to(log, replace(an_append(), set_aside=[large]))
            waiting = await append_that_waits(log)
            assert "redrive or discard dead letters" in log.outage
            await log.controls.discard([large.id], DONE)
            await waiting

    [full] = [line for line in logs if line["event"] == "log.full"]
    assert (full["parked_events"], full["dead_letters"]) == (0, 1)


async def test_full_file_lets_receipts_go_before_events_have_to_wait(log_file: LogFile) -> None:
    """A proof of delivery is worth less than a delivery; the number of deleted receipts is logged."""
    large = replace(a_receipt("1"), answer={"text": "x" * 2_000})
    with capture_logs() as logs:
        async with log_file.open() as log, following(log) as follower:
            await follower.step()
            await follower.settle(receipts=[large] * 600)
            await log.controls.note(DONE)
            await append_to(log, an_append(an_event(1)))
            await append_to(log, an_append(an_event(2)))
            await let_pass(log, log_file)

            assert list(await log.controls.audit(last=9)) == [DONE]
    assert log_file.ids() == ["1", "2"]
    lines = [line for line in logs if line["event"] == "log.receipts_expired_early"]
    assert [(line["log_level"], line["receipts"]) for line in lines] == [("warning", 600)]


async def test_parked_events_of_a_subscriber_that_left_are_kept_and_said(log_file: LogFile) -> None:
    """They stay beyond the retention, with a warning at each start, until the subscriber returns."""
    async with log_file.open() as log, following(log) as follower:
        await append_to(log, an_append(an_event(1), an_event(2)))
        await follower.read_until("2")
        parked = follower.entries
        await park(follower, *parked)
    with capture_logs() as logs:
        for _ in range(2):
            async with log_file.open() as log:
                await log.expect([SubscriberName("other")])
                await log_file.clock.turn(5 * HOUR_S)
                await turned_until(log, log_file, lambda: not log_file.ids())
    async with log_file.open() as log, following(log) as follower:
        await follower.step()
        assert await follower.recall(*parked) == parked
    lines = [line for line in logs if line["event"] == "subscriber.parked_events_kept"]
    assert [(line["subscriber"], line["events"]) for line in lines] == [("target", 2)] * 2
