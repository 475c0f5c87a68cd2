"""Redriven dead letters of ingest are read again, and appended in the transaction that removes them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from streamer.app.ingest.orders import RedriveOrders
from streamer.clock import TurnedClock
from streamer.continuity import ChannelRepairs, GapRepair, LetterDecoder, LetterRedrives
from streamer.controls import AuditRecord, LetterFilter, Redrive
from streamer.errors import SalesforceUnavailable
from streamer.events import (
    Channel,
    Checkpoint,
    DeadLetter,
    JsonObject,
    Repair,
    ReplayId,
    Stage,
    Unreadable,
)
from streamer.ingest.positions import Positioning
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.message_reader import ChannelProtection, Protection
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.reading.rereading import Rereading
from streamer.ingest.relay import ChannelLog, Ingest
from streamer.log.memory import MemoryLog
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.protection import sealed
from streamer.salesforce.memory import MemoryRecords
from streamer.settings import ProtectionSettings, ProtectRule
from tests.contracts.values import an_event
from tests.messages import CHANGES, batch, change, events_of
from tests.unit.ingest.test_between_answers import LiveSource
from tests.unit.ingest.test_protection import deep
from tests.unit.normalise.describes import CONTACT, described
from tests.unit.normalise.describes import field as a_field
from tests.unit.protection.rules import rule

RECORD = "003AB00000TEST1YAA"
SCHEMA = "Zx81QmVqT0aPq2n7kLw3Yg"
NOW = 1_735_690_000.0
KEY = "a key of at least 32 characters, as is asked"


def letter(number: int, message: Any = None, **changes: Any) -> DeadLetter:
    """Return the letter of a message that an older Streamer could not read."""
    if message is None:
        message = change(number, RECORD, entity="Contact", LastName=f"of {number}")
    made = DeadLetter(
        id=f"{CHANGES}:{number}:digest",
        stage=Stage.INGEST,
        channel=str(CHANGES),
        reason="unreadable",
        error="Not a change event: KeyError: 'new'",
        hint="update",
        failed_at=NOW + number,
        first_failed_at=NOW + number,
        replay_id=ReplayId(b"%d" % number),
        raw=message if isinstance(message, bytes) else orjson.dumps(message),
        schema_id=SCHEMA,
    )
    return replace(made, **changes)


def order(*, per_second: float = 100.0, before: float = NOW + 1_000, **letters: Any) -> Redrive:
    """Return an order of all letters of the channel."""
    chosen = LetterFilter(channel=CHANGES.path, failed_before=before, **letters)
    return Redrive(id="r1", letters=chosen, per_second=per_second, by="anna", at=NOW)


@dataclass
class Payloads:
    """Salesforce's schemas, which may be away."""

    error: Exception | None = None
    asked: list[Unreadable] = field(default_factory=list)

    async def message(self, piece: Unreadable, channel: Channel, /) -> JsonObject | Unreadable:
        """Return a change whose values are the payload's bytes."""
        self.asked.append(piece)
        if self.error is not None:
            raise self.error
        message = change(1, RECORD, entity="Contact", LastName=piece.raw.hex())
        return {
            **message,
            "channel": channel.path,
            "data": {**message["data"], "event": {"replayId": bytes(piece.replay_id or b"")}},
        }


@dataclass
class World:
    """A channel that is read, its letters, and orders about them."""

    gaps: bool = False
    key: str | None = None
    unreadable: str = "withhold"
    rules: Sequence[ProtectRule] = ()
    log: MemoryLog = field(default_factory=MemoryLog)
    clock: TurnedClock = field(default_factory=lambda: TurnedClock(NOW + 2_000))
    source: LiveSource = field(default_factory=LiveSource)
    payloads: Payloads = field(default_factory=Payloads)
    records: MemoryRecords = field(
        default_factory=lambda: MemoryRecords(
            {"Contact": {RECORD: {"Id": RECORD, "LastName": "as it is now"}}}, {"Contact": CONTACT}
        )
    )

    def ingest(self, orders: RedriveOrders) -> Ingest:
        """Return the loop of a new process."""
        settings = ProtectionSettings.model_validate({"key": self.key, "unreadable": self.unreadable})
        protection = ChannelProtection(
            protection=Protection(rules=self.rules, settings=settings),
            channel=CHANGES,
        )
        decoder = LetterDecoder(
            channel=CHANGES,
            normalise=normaliser_for(CHANGES),
            unsealed=protection.unsealed,
            clock=self.clock,
            payloads=self.payloads,
        )
        redrives = LetterRedrives(
            controls=self.log.controls,
            decoder=decoder,
            clock=self.clock,
            ended=orders.end,
        )
        orders.subscribe(CHANGES, redrives.follow)
        rereading = Rereading(channel=CHANGES, records=self.records, clock=self.clock)
        gaps = GapRepair(channel=CHANGES, rereading=rereading, describer=self.records, clock=self.clock)
        return Ingest(
            source=self.source,
            log=ChannelLog(
                channel=CHANGES,
                log=self.log,
                clock=self.clock,
                observer=Metrics(clock=self.clock).channel(CHANGES),
            ),
            messages=MessageReader(
                channel=CHANGES,
                normalise=normaliser_for(CHANGES),
                quarantine=Quarantine(clock=self.clock),
                protection=protection,
            ),
            positioning=Positioning(channel=CHANGES, clock=self.clock),
            repairs=ChannelRepairs(
                channel=CHANGES, gaps=gaps if self.gaps else None, readings=None, redrives=redrives
            ),
        )

    async def keep(self, *letters: DeadLetter) -> None:
        """Set letters aside at a position that is behind them."""
        await self.log.begin(CHANGES).commit(
            Checkpoint(channel=CHANGES, replay_id=ReplayId(b"900"), verified_at=NOW), set_aside=letters
        )

    async def order(self, redrive: Redrive) -> None:
        """Write an order into the log."""
        await self.log.controls.order(redrive, AuditRecord(at=NOW, what="redrive.ordered", by="anna"))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Ingest]:
        """Run the daemon inside the context."""
        orders = RedriveOrders(controls=self.log.controls, clock=self.clock)
        ingest = self.ingest(orders)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ingest.run()), group.create_task(orders.run())]
            yield ingest
            for task in tasks:
                task.cancel()

    async def until(self, holds: Callable[[], object], seconds: float = 60.0) -> None:
        """Let time pass until a condition holds."""
        for _ in range(int(seconds * 10)):
            if holds():
                return
            await self.clock.turn(0.1)
        raise AssertionError(self.log)

    async def redrive(self, redrive: Redrive | None = None) -> None:
        """Carry an order out."""
        await self.order(redrive or order())
        async with self.running():
            await self.until(self.has_ended)

    def has_ended(self) -> bool:
        """Return true once the order is over."""
        return any(each.what == "redrive.ended" for each in self.log.controls._audit)

    @property
    def names(self) -> Sequence[str]:
        """Last names that the events tell, in the order of the log."""
        fields = [event.data["fields"] for event in self.log.events]
        return [each.get("Name", each)["LastName"] for each in fields]


async def test_redriven_letters_enter_the_log_at_their_own_positions() -> None:
    """In the order in which they were set aside, with their own ids, and as what they are."""
    world = World()
    await world.keep(letter(7), letter(5))
    await world.redrive()

    assert world.names == ["of 5", "of 7"]
    assert [event.replay_id for event in world.log.events] == [b"5", b"7"]
    assert world.log.events[0].id == f"t1-5:1:{RECORD}"
    assert world.log.events[0].data["redriven"] == {
        "set_aside_at": "2025-01-01T00:06:45.000Z",
        "redriven_at": "2025-01-01T00:40:00.000Z",
    }
    assert world.log.letters == []
    assert world.log.checkpoints[CHANGES].replay_id == b"900"


async def test_order_that_nobody_announced_is_work() -> None:
    """A part does not have to tell that it has an order: the orders are looked at when asked."""
    repairs = World().ingest(RedriveOrders(controls=MemoryLog().controls, clock=TurnedClock())).repairs
    assert isinstance(repairs, ChannelRepairs)
    assert repairs.redrives is not None
    assert not repairs.has_work

    repairs.redrives.follow({"r1": order()})

    assert repairs.has_work


async def test_what_still_cannot_be_read_stays_and_says_why() -> None:
    """It costs only itself, its order ends, and the next order takes it again."""
    world = World()
    broken = letter(5, change(5, RECORD, entity="Contact") | {"data": {"schema": SCHEMA}})
    await world.keep(broken, letter(6))
    await world.redrive()

    assert world.names == ["of 6"]
    [kept] = world.log.letters
    assert (kept.id, kept.raw, kept.attempts) == (broken.id, broken.raw, 1)
    assert kept.error == "The dead letter still can't be read: Not a change event: KeyError: 'payload'"
    assert (kept.first_error, kept.first_failed_at) == (broken.error, broken.first_failed_at)
    assert kept.failed_at >= NOW + 1_000


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        (letter(5, b"{torn"), "not JSON"),
        (letter(5, b"[1]"), "not a message of a Salesforce channel"),
        (
            letter(5, {"data": {}, "channel": "/event/Other__e"}),
            "does not belong to the channel /data/ChangeEvents",
        ),
        (letter(5, b"\2\4", replay_id=ReplayId(b"\0\1"), schema_id=""), "schema is unknown"),
        (letter(5, sealed(b"x", "another key", "2026")), "encrypted with another key"),
    ],
)
async def test_letter_that_nothing_can_read_is_kept(kept: DeadLetter, why: str) -> None:
    """Its error says what is missing."""
    world = World(key=KEY)
    await world.keep(kept)
    await world.redrive()

    assert [each.raw for each in world.log.letters] == [kept.raw]
    assert why in world.log.letters[0].error
    assert world.log.events == []


async def test_withheld_letter_is_not_taken() -> None:
    """Nothing is left of it, and the order ends."""
    world = World()
    withheld = letter(5, raw=b"")
    await world.keep(withheld)
    await world.redrive()

    assert world.log.letters == [withheld]


async def test_encrypted_letter_is_read_with_the_key() -> None:
    """It was kept so that it can be."""
    world = World(key=KEY)
    plain = letter(5)
    await world.keep(replace(plain, raw=sealed(plain.raw, KEY, "2026")))
    await world.redrive()

    assert (world.names, world.log.letters) == (["of 5"], [])


async def test_redriven_event_is_protected_by_the_rules_of_today() -> None:
    """Its letter can be older than they are."""
    world = World(rules=[rule("drop", "LastName")])
    await world.keep(letter(5))
    await world.redrive()

    assert [event.data["fields"] for event in world.log.events] == [{}]


async def test_redriven_events_that_cannot_be_protected_stay_letters_and_stop_nothing() -> None:
    """They say nothing about the channel's present messages."""
    world = World(rules=[rule("drop", "LastName")])
    messages = {each: change(each, RECORD, entity="Contact", It=deep()) for each in range(1, 41)}
    await world.keep(*(letter(number, message) for number, message in messages.items()))
    async with world.running():
        world.source.coming.put_nowait(batch(*(change(901 + each, "001A", Phone="1") for each in range(20))))
        await world.until(lambda: world.log.events)
        await world.order(order())
        await world.until(world.has_ended)
        world.source.coming.put_nowait(batch(change(930, "001A", Phone="2")))
        await world.until(lambda: len(world.log.events) > 20)

    assert len(world.log.letters) == 40
    assert all("Not protected" in each.error for each in world.log.letters)


@pytest.mark.parametrize("unreadable", ["keep", "encrypt"])
async def test_event_that_could_not_be_protected_is_redriven_by_other_rules(unreadable: str) -> None:
    """Its letter has all of it."""
    world = World(rules=[rule("drop", "LastName")], key=KEY, unreadable=unreadable)
    async with world.running():
        message = change(901, RECORD, entity="Contact", LastName="Ada", It=deep())
        world.source.coming.put_nowait(batch(message))
        await world.until(lambda: world.log.letters)
    assert world.log.events == []

    world.rules = []
    await world.redrive(order(before=world.clock.now() + 1))
    [event] = world.log.events
    [expected] = events_of(normaliser_for(CHANGES), message)
    assert replace(event, data={**event.data, "redriven": None}) == replace(
        expected, data={**expected.data, "redriven": None}
    )
    assert world.log.letters == []


async def test_event_that_the_log_refused_is_appended_again() -> None:
    """As it was protected then, and at its position."""
    world = World(rules=[rule("drop", "Name")])
    event = replace(an_event("refused", key=RECORD), channel=CHANGES.path)
    stored = letter(
        5,
        event.data,
        id="refused:5:refused",
        channel=CHANGES.path,
        reason="refused_by_log",
        event=replace(event, data={}),
    )
    await world.keep(stored)
    world.log.faults.refuse = lambda refused: refused.id == event.id
    await world.redrive()
    assert [each.reason for each in world.log.letters] == ["refused_by_log"]

    world.log.faults.refuse = lambda _: False
    again = order(before=world.clock.now() + 1)
    await world.order(replace(again, id="r2"))
    async with world.running():
        await world.until(lambda: world.log.events)

    [appended] = world.log.events
    assert {**appended.data, "redriven": None} == {**event.data, "redriven": None}
    assert (appended.id, appended.replay_id) == (event.id, event.replay_id)
    assert world.log.letters == []


async def test_payload_is_decoded_with_its_schema_once_salesforce_answers() -> None:
    """Until then nothing is lost, and nothing counts as a mistake."""
    world = World()
    position = ReplayId(b"\0\0\0\1")
    await world.keep(letter(5, b"\xff\4", replay_id=position, event_uuid="u-1"))
    world.payloads.error = SalesforceUnavailable("schemas are away")
    await world.order(order())
    async with world.running():
        await world.clock.turn(10)
        assert (len(world.log.letters), world.log.events) == (1, [])
        world.payloads.error = None
        await world.until(world.has_ended, 600)

    assert (world.names, world.log.letters) == (["ff04"], [])
    assert world.log.events[0].replay_id == position
    asked = world.payloads.asked[-1]
    assert (asked.schema_id, asked.event_uuid, asked.replay_id) == (SCHEMA, "u-1", position)


async def test_json_of_the_pubsub_api_gets_its_position_back() -> None:
    """JSON can't hold the bytes of a replay id."""
    world = World()
    message = change(5, RECORD, entity="Contact", LastName="Ada")
    message["data"]["event"]["replayId"] = "AAE="
    await world.keep(letter(5, message, replay_id=ReplayId(b"\0\1")))
    await world.redrive()

    assert (world.names, world.log.events[0].replay_id) == (["Ada"], b"\0\1")


async def test_crash_after_the_commit_repeats_nothing() -> None:
    """Events and the removal of their letters are one transaction."""
    world = World()
    await world.keep(*(letter(each) for each in range(1, 10)))
    await world.order(order(per_second=2.0))
    world.log.faults.fail_after_commit = True
    with pytest.raises(ExceptionGroup):
        async with world.running():
            await world.until(lambda: len(world.log.events) > 10)
    async with world.running():
        await world.until(world.has_ended)

    assert world.names == [f"of {each}" for each in range(1, 10)]
    assert world.log.letters == []


async def test_redrive_keeps_its_rate_and_the_stream_goes_on() -> None:
    """Two letters a second, and between them what Salesforce sends."""
    world = World()
    await world.keep(*(letter(each) for each in range(1, 21)))
    await world.order(order(per_second=2.0))
    async with world.running():
        await world.clock.turn(3)
        assert 4 <= len(world.log.events) <= 8
        world.source.coming.put_nowait(batch(change(901, "001A", LastName="live")))
        await world.clock.turn(0.1)
        assert world.names[-1] == "live"
        await world.until(world.has_ended)

    assert len(world.log.events) == 21


async def test_cancelled_redrive_leaves_the_other_letters() -> None:
    """The next letters stay what they are."""
    world = World()
    await world.keep(*(letter(each) for each in range(1, 21)))
    redrive = order(per_second=1.0)
    await world.order(redrive)
    async with world.running():
        await world.until(lambda: len(world.log.events) >= 3)
        await world.order(replace(redrive, ended_at=NOW))
        await world.clock.turn(30)

    assert 3 <= len(world.log.events) <= 5
    assert len(world.log.letters) == 20 - len(world.log.events)


async def test_record_of_a_redriven_change_is_told_as_it_is_now() -> None:
    """Newer events of it can have come before, and a consumer must not end with the old values."""
    world = World(gaps=True)
    await world.keep(letter(5), letter(6))
    await world.redrive()

    assert world.names == ["of 5", "of 6", "as it is now"]
    assert [event.type for event in world.log.events] == ["salesforce.cdc.Contact.updated"] * 3
    assert "recovered" in world.log.events[-1].data
    assert "redriven" not in world.log.events[-1].data
    assert [each.state for each in world.log.continuity] == [Repair.FULL]


@pytest.mark.parametrize(
    ("modified", "warned"), [("2025-01-01T00:00:00.000+0000", 0), ("2025-01-01T00:00:09.000+0000", 1)]
)
async def test_operator_is_told_that_a_record_has_changed_since(modified: str, warned: int) -> None:
    """The redriven event is older than what consumers have."""
    world = World(gaps=True)
    world.records.records["Contact"][RECORD]["LastModifiedDate"] = modified
    world.records.describes["Contact"] = described("Contact", a_field("LastModifiedDate", "datetime"))
    await world.keep(letter(5))
    with capture_logs() as lines:
        await world.redrive()

    assert [line["records"] for line in lines if line["event"] == "redrive.overtaken"] == [1] * warned


async def test_redriven_deletion_of_a_record_that_is_gone_stays_one() -> None:
    """The last event of the record says what is."""
    world = World(gaps=True)
    world.records.records["Contact"].clear()
    await world.keep(letter(5), letter(6, change(6, RECORD, kind="DELETE", entity="Contact")))
    with capture_logs() as lines:
        await world.redrive()

    kinds = [event.type.rpartition(".")[2] for event in world.log.events]
    assert kinds == ["updated", "deleted", "deleted"]
    assert "redrive.overtaken" not in [line["event"] for line in lines]
