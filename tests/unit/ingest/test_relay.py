"""The core loop: a batch and its checkpoint always enter the log together."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from streamer.clock import TurnedClock
from streamer.errors import AllowanceLow, LogUnavailable, MostlyUnreadable, ReplayIdRefused
from streamer.events import (
    Batch,
    Checkpoint,
    Event,
    EventId,
    HoleCause,
    Repair,
    ReplayId,
    Start,
    Unreadable,
)
from streamer.ingest import relay
from streamer.ingest.positions import OnRefused, Positioning
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.relay import ChannelLog, Ingest, IngestObserver
from streamer.log.memory import MemoryLog
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.salesforce.memory import MemorySource
from tests.messages import CHANGES, batch, change


class RefusingSource(MemorySource):
    """Refuses every replay id."""

    async def batches(self, channel: Any, *, after: Checkpoint | Start) -> Any:
        """Refuse, or read."""
        if isinstance(after, Checkpoint) and after.replay_id is not None:
            self.opened.append((channel.path, after))
            raise ReplayIdRefused("400::The replayId {5} you provided was invalid.", path=channel.path)
        async for each in super().batches(channel, after=after):
            yield each


@dataclass(slots=True, kw_only=True)
class CountingLog(MemoryLog):
    """Counts the events of each commit."""

    commits: list[int] = field(default_factory=list)

    def keep(self, events: Sequence[Event], *rest: Any) -> None:
        """Count, and keep."""
        self.commits.append(len(events))
        MemoryLog.keep(self, events, *rest)


@dataclass
class Admission:
    """Admits nothing while it is closed, and notes what it is asked."""

    is_closed: bool = False
    asked: list[Checkpoint | Start] = field(default_factory=list)

    async def admit(self, after: Checkpoint | Start, /) -> None:
        """Admit, or not."""
        self.asked.append(after)
        if self.is_closed and (after is Start.EARLIEST or getattr(after, "replay_id", None) is None):
            raise AllowanceLow("little is left")


@dataclass
class World:
    """One channel between a scripted source and a log in memory."""

    source: MemorySource
    log: MemoryLog = field(default_factory=MemoryLog)
    clock: TurnedClock = field(default_factory=TurnedClock)
    on_refused: OnRefused = "repair"
    admission: "Admission | None" = None
    observer: IngestObserver | None = None

    def ingest(self) -> Ingest:
        """Return what relays the script to its end."""
        return Ingest(
            source=self.source,
            log=ChannelLog(
                channel=CHANGES,
                log=self.log,
                clock=self.clock,
                observer=self.observer or Metrics(clock=self.clock).channel(CHANGES),
            ),
            messages=MessageReader(
                channel=CHANGES, normalise=normaliser_for(CHANGES), quarantine=Quarantine(clock=self.clock)
            ),
            positioning=Positioning(
                channel=CHANGES, clock=self.clock, start=Start.EARLIEST, on_refused=self.on_refused
            ),
            admission=self.admission,
        )

    async def run(self) -> None:
        """Relay the script to its end."""
        await self.ingest().run()

    @property
    def records(self) -> list[str]:
        """Return the log's events, by record."""
        return [event.key for event in self.log.events]


def world(*batches: Batch, source: type[MemorySource] = MemorySource) -> World:
    """Return a world whose channel holds `batches`."""
    return World(source=source({CHANGES.path: batches}))


async def test_batches_are_appended_with_their_checkpoint() -> None:
    """Events, checkpoint and start position are as the source gave them."""
    one = world(batch(change(1, "001A"), change(2, "001B")), batch(change(3, "001C")))
    await one.run()

    assert one.records == ["001A", "001B", "001C"]
    assert one.source.opened == [(CHANGES.path, Start.EARLIEST)]
    assert one.log.checkpoints[CHANGES].open_replay_id == b"3"


async def test_quiet_answer_shows_that_nothing_is_missing() -> None:
    """The time up to which that is known is the checkpoint's, from before the first answer on."""
    one = world(batch(change(1, "001A")), batch(at=1_735_690_001.0))
    ingest = one.ingest()
    assert ingest.log.verified_at is None
    await ingest.run()
    assert ingest.log.verified_at == 1_735_690_001.0

    again = world()
    again.log = one.log
    resumed = again.ingest()
    await resumed.run()
    assert resumed.log.verified_at == 1_735_690_001.0


async def test_start_tells_that_there_is_no_checkpoint() -> None:
    """Reading begins where the configuration says."""
    with capture_logs() as lines:
        await world().run()

    assert positions(lines) == [{"at": "earliest", "reason": "the log has no checkpoint of the channel"}]


async def test_start_tells_the_position_and_its_age() -> None:
    """The replay id after which reading resumes, as text, and how long ago all was complete up to there."""
    one = world(batch(change(1, "001A")), batch(at=1_735_689_600.0))
    await one.run()
    one.clock = TurnedClock(1_735_689_690.5)
    with capture_logs() as lines:
        await one.run()

    assert positions(lines) == [{"after": "1", "age_s": 90.5, "retained_s": 72 * 3600.0}]


async def test_start_tells_that_no_replay_id_is_complete() -> None:
    """The only message can be one of several, so Salesforce sends all that it retains."""
    one = world(batch(change(1, "001A")))
    await one.run()
    one.clock = TurnedClock(1_735_689_610.0)
    with capture_logs() as lines:
        await one.run()

    reason = "the checkpoint holds no complete replay id"
    assert positions(lines) == [{"at": "earliest", "age_s": 10.0, "reason": reason}]


def positions(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what was logged of the channel's positions."""
    told = [dict(line) for line in lines if line["event"] == "channel.positioned"]
    assert all(line.pop("channel") == str(CHANGES) for line in told)
    return [{name: line[name] for name in line if name not in {"event", "log_level"}} for line in told]


async def test_refused_batch_is_read_again_after_restart() -> None:
    """A batch that the log did not take is not checkpointed, so the next run repeats it."""
    one = world(batch(change(1, "001A")), batch(change(2, "001B")))
    one.log.faults.down = True
    with pytest.raises(LogUnavailable):
        await one.run()

    one.log.faults.down = False
    await one.run()

    assert one.records == ["001A", "001B"]


async def test_append_that_happened_although_it_failed_is_not_repeated() -> None:
    """An uncertain commit is settled by the checkpoint in the log."""
    one = world(batch(change(1, "001A"), change(2, "001B")), batch(change(2, "001C"), change(3, "001D")))
    one.log.faults.fail_after_commit = True
    with pytest.raises(LogUnavailable):
        await one.run()
    await one.run()

    assert one.records == ["001A", "001B", "001C", "001D"]


async def test_parts_of_an_answer_enter_the_log_together() -> None:
    """The source can continue reading after each part, but resumes only where the last commit was."""
    one = world(
        replace(batch(change(1, "001A"), change(2, "001B")), more=True),
        replace(batch(change(3, "001C")), more=True),
        batch(),
    )
    one.log = log = CountingLog()
    await one.run()

    assert log.commits == [3]
    checkpoint = one.log.checkpoints[CHANGES]
    # An end without a message proves nothing about events that share the last replay id.
    assert (checkpoint.replay_id, checkpoint.open_replay_id) == (b"2", b"3")
    assert one.source.settled[CHANGES.path] == checkpoint


async def test_answer_without_its_end_is_not_committed() -> None:
    """Its parts are read again."""
    one = world(replace(batch(change(1, "001A")), more=True))
    await one.run()

    assert not one.log.checkpoints
    assert one.source.settled == {}


async def test_huge_answer_is_committed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory that its records take is bounded."""
    monkeypatch.setattr(relay, "_MOST_BYTES", 1_000)
    parts = [replace(batch(change(n, Text="x" * 600)), more=True) for n in range(1, 6)]
    one = world(*parts, batch())
    await one.run()

    assert len(one.records) == 5
    assert one.source.settled[CHANGES.path].open_replay_id == b"5"


@given(data=st.data(), splits=st.lists(st.integers(1, 4), min_size=1, max_size=8))
async def test_crash_between_any_two_batches_repeats_and_skips_nothing(
    data: st.DataObject, splits: list[int]
) -> None:
    """Also where split events share a replay id and the crash falls among them."""
    messages = [
        change(rid * 3, f"001{rid}{part}") for rid, parts in enumerate(splits) for part in range(parts)
    ]
    cuts = sorted(data.draw(st.sets(st.integers(0, len(messages)), max_size=4)) | {0, len(messages)})
    batches = [batch(*messages[a:b]) for a, b in itertools.pairwise(cuts)]
    one = world(*batches)
    for _ in range(len(batches) + 1):
        one.log.faults.fail_after_commit = True
        try:
            await one.run()
        except LogUnavailable:
            continue
        break
    one.log.faults.fail_after_commit = False
    await one.run()

    assert one.records == [f"001{rid}{part}" for rid, parts in enumerate(splits) for part in range(parts)]


async def test_unreadable_message_is_set_aside_and_the_channel_goes_on() -> None:
    """The dead letter holds the raw bytes, the channel, the replay id and the id of the schema."""
    data = {"schema": "Zx81QmVqT0aPq2n7kLw3Yg", "payload": {"nonsense": 1}, "event": {"replayId": 2}}
    poison = {"data": data}
    one = world(batch(change(1, "001A"), poison, change(3, "001C")))
    await one.run()

    assert one.records == ["001A", "001C"]
    (letter,) = one.log.letters
    assert (letter.reason, letter.channel, letter.replay_id) == ("unreadable", str(CHANGES), b"2")
    assert b"nonsense" in letter.raw
    assert letter.schema_id == "Zx81QmVqT0aPq2n7kLw3Yg"


async def test_piece_that_is_not_json_is_set_aside() -> None:
    """It enters the log beside the batch's readable messages."""
    piece = Unreadable(raw=b'{"a": \xff}', error="invalid UTF-8", replay_id=ReplayId(b"1"))
    one = world(replace(batch(change(2, "001A")), unreadable=[piece]))
    await one.run()

    assert one.records == ["001A"]
    assert one.log.letters[0].raw == b'{"a": \xff}'
    assert one.log.checkpoints[CHANGES].open_replay_id == b"2"


async def test_event_that_the_log_refuses_becomes_a_dead_letter() -> None:
    """The others of its batch are appended, and the checkpoint covers all of them."""
    one = world(batch(change(1, "001A"), change(2, "BIG", Text="x" * 100), change(3, "001C")))
    one.log.faults.refuse = lambda event: event.key == "BIG"
    await one.run()

    assert one.records == ["001A", "001C"]
    (letter,) = one.log.letters
    assert letter.reason == "refused_by_log"
    assert b"x" * 100 in letter.raw
    assert one.log.checkpoints[CHANGES].open_replay_id == b"3"


async def test_refused_events_with_the_same_id_have_a_dead_letter_each() -> None:
    """A publisher chooses the id of a platform event, and can choose it twice."""
    first, second = (change(number, "BIG", Name=name) for number, name in enumerate(("one", "two"), start=1))
    header = second["data"]["payload"]["ChangeEventHeader"]
    header["transactionKey"] = first["data"]["payload"]["ChangeEventHeader"]["transactionKey"]
    one = world(batch(first, second))
    one.log.faults.refuse = lambda event: event.key == "BIG"
    await one.run()

    ids, names = zip(*((letter.id, letter.raw) for letter in one.log.letters), strict=True)
    assert len(set(ids)) == 2
    assert [name in raw for name, raw in zip((b'"one"', b'"two"'), names, strict=True)] == [True, True]


async def test_deep_event_that_the_log_refuses_becomes_a_dead_letter() -> None:
    """Orjson reads what it does not write; its bytes are kept all the same."""
    deep: Any = "the core"
    for _ in range(400):
        deep = [deep]
    one = world(batch(change(1, "001A"), change(2, "DEEP", Text=deep)))
    one.log.faults.refuse = lambda event: event.key == "DEEP"
    await one.run()

    assert one.records == ["001A"]
    (letter,) = one.log.letters
    assert b"the core" in letter.raw


async def test_mostly_unreadable_channel_stops_before_it_passes_anything_over() -> None:
    """A broken schema differs from a poison event."""
    one = world(batch(*({"data": {"event": {"replayId": n}}} for n in range(30))))
    with pytest.raises(MostlyUnreadable, match="30 of the last 30"):
        await one.run()

    assert not one.log.checkpoints
    assert not one.log.letters


@pytest.mark.parametrize("kind", ["GAP_UPDATE", "GAP_OVERFLOW"])
async def test_gap_event_is_recorded_as_a_hole(kind: str) -> None:
    """It is an event like others, and a continuity record beside it."""
    one = world(batch(change(1, "001A", kind=kind)))
    await one.run()

    assert [event.type for event in one.log.events] == ["salesforce.cdc.Account.gap"]
    cause = HoleCause.OVERFLOW if kind == "GAP_OVERFLOW" else HoleCause.GAP_EVENT
    assert [record.cause for record in one.log.continuity] == [cause]


@pytest.mark.parametrize("policy", ["earliest", "latest"])
async def test_refused_replay_id_is_recorded_and_reading_goes_on(policy: OnRefused) -> None:
    """The record enters the log with the first batch after the hole."""
    one = world(batch(change(9, "001Z")), source=RefusingSource)
    one.on_refused = policy
    known = Checkpoint(channel=CHANGES, replay_id=ReplayId(b"5"), verified_at=77.0)
    one.log.checkpoints[CHANGES] = known
    await one.run()

    resumed = Start.LATEST if policy == "latest" else replace(known, replay_id=None)
    assert one.source.opened[-1] == (CHANGES.path, resumed)
    assert one.records == ["001Z"]
    (record,) = one.log.continuity
    assert (record.cause, record.after, record.verified_at) == (HoleCause.REPLAY_ID_REFUSED, b"5", 77.0)
    assert (record.state, record.is_new) == (Repair.NONE, True)


async def test_refused_replay_id_repeats_nothing_that_the_log_holds() -> None:
    """Retained events are read from the beginning, and appended after the last event in the log."""
    one = world(
        batch(change(1, "001A"), change(2, "001B")),
        batch(change(2, "001C"), change(3, "001D")),
        source=RefusingSource,
    )
    one.log.checkpoints[CHANGES] = Checkpoint(
        channel=CHANGES,
        replay_id=ReplayId(b"1"),
        verified_at=1_735_689_600.0,
        appended=(EventId("t1-2:1:001B"),),
        open_replay_id=ReplayId(b"2"),
    )
    await one.run()

    assert one.records == ["001C", "001D"]
    checkpoint = one.log.checkpoints[CHANGES]
    assert (checkpoint.replay_id, checkpoint.open_replay_id) == (b"2", b"3")


async def test_nothing_is_read_that_is_not_admitted() -> None:
    """The source is not asked, so that no event counts."""
    one = world(batch(change(1, "001A")))
    one.admission = Admission(is_closed=True)
    with pytest.raises(AllowanceLow):
        await one.run()
    assert (one.source.opened, one.log.checkpoints) == ([], {})

    one.admission.is_closed = False
    await one.run()
    assert one.records == ["001A"]


async def test_replay_after_a_refused_replay_id_waits_to_be_admitted() -> None:
    """The hole is recorded when reading goes on, with the first batch."""
    one = world(batch(change(9, "001Z")), source=RefusingSource)
    one.log.checkpoints[CHANGES] = Checkpoint(channel=CHANGES, replay_id=ReplayId(b"5"), verified_at=77.0)
    one.admission = Admission(is_closed=True)
    with pytest.raises(AllowanceLow):
        await one.run()
    assert one.log.continuity == []

    one.admission.is_closed = False
    await one.run()
    assert [getattr(each, "replay_id", each) for each in one.admission.asked] == [b"5", None, b"5", None]
    assert [record.cause for record in one.log.continuity] == [HoleCause.REPLAY_ID_REFUSED]


async def test_refused_replay_id_stops_the_channel_where_that_is_wanted() -> None:
    """The policy fail leaves the checkpoint alone."""
    one = world(batch(change(9)), source=RefusingSource)
    one.on_refused = "fail"
    one.log.checkpoints[CHANGES] = Checkpoint(channel=CHANGES, replay_id=ReplayId(b"5"), verified_at=77.0)

    with pytest.raises(ReplayIdRefused, match=r"`streamer checkpoint set /data/ChangeEvents --earliest`"):
        await one.run()
    assert one.log.checkpoints[CHANGES].replay_id == b"5"
