"""The log's memory of notifications."""

import pytest
from structlog.testing import capture_logs

from streamer.clock import TurnedClock
from streamer.events import EventId
from streamer.log.memory import MemoryLog
from streamer.salesforce.outbound import recent
from streamer.salesforce.outbound.recent import (
    KEPT_S,
    NotificationLog,
    RecentNotifications,
    slot_channel,
)
from tests.contracts.values import a_checkpoint, an_event
from tests.outbound import LEADS


async def append(log: NotificationLog, *ids: str) -> None:
    """Append a notification of each id."""
    growing = log.begin(LEADS)
    growing.add([an_event(id_) for id_ in ids])
    await growing.commit(a_checkpoint(1, channel=LEADS))


def remembering(log: MemoryLog, clock: TurnedClock) -> NotificationLog:
    """Return what a process that has just started knows."""
    return NotificationLog(log=log, recent=RecentNotifications(), clock=clock)


async def test_next_process_knows_what_the_last_one_appended() -> None:
    """The ids are in the log with the events."""
    kept, clock = MemoryLog(), TurnedClock()
    await append(remembering(kept, clock), "a", "b")
    after = remembering(kept, clock)
    found = await after.checkpoint(LEADS)

    assert found is not None
    assert (found.channel, found.replay_id, found.appended) == (LEADS, b"b", ())
    assert [id_ in after.recent for id_ in ("a", "b", "c")] == [True, True, False]


async def test_append_rewrites_one_slot_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day's ids would be megabytes in every commit."""
    monkeypatch.setattr(recent, "SLOT_IDS", 3)
    kept, clock = MemoryLog(), TurnedClock()
    log = remembering(kept, clock)
    for number in range(8):
        await append(log, str(number))

    slots = [kept.checkpoints[slot_channel(LEADS, number)].appended for number in range(3)]
    assert slots == [("0", "1", "2"), ("3", "4", "5"), ("6", "7")]
    again = remembering(kept, clock)
    await again.checkpoint(LEADS)
    await append(again, "8")
    assert kept.checkpoints[slot_channel(LEADS, 2)].appended == ("6", "7", "8")


async def test_slot_is_filled_anew_after_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Salesforce has dropped by then what it did not get acknowledged."""
    monkeypatch.setattr(recent, "SLOT_IDS", 1)
    kept, clock = MemoryLog(), TurnedClock()
    log = remembering(kept, clock)
    await append(log, "a")
    await clock.turn(KEPT_S - 1)
    await append(log, "b")
    await clock.turn(2)
    await append(log, "c")

    assert len(kept.checkpoints) == 2
    assert [id_ in log.recent for id_ in ("a", "b", "c")] == [False, True, True]


async def test_oldest_ids_go_first_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, and the log says what that can mean."""
    monkeypatch.setattr(recent, "SLOT_IDS", 1)
    monkeypatch.setattr(recent, "MOST_SLOTS", 2)
    kept, clock = MemoryLog(), TurnedClock()
    log = remembering(kept, clock)
    with capture_logs() as lines:
        for id_ in ("a", "b", "c"):
            await append(log, id_)
            await clock.turn(1)

    assert [line["event"] for line in lines] == ["outbound.ids_forgotten"]
    assert [id_ in log.recent for id_ in ("a", "b", "c")] == [False, True, True]
    assert len(log.recent) == 2


async def test_refused_commit_is_not_remembered() -> None:
    """Salesforce sends it again, and then it must be taken."""
    kept, clock = MemoryLog(), TurnedClock()
    log = remembering(kept, clock)
    kept.faults.down = True
    with pytest.raises(Exception, match="down"):
        await append(log, "a")

    assert EventId("a") not in log.recent
