"""The log contains no protected value, for any form of message."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import chain
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamer.clock import TurnedClock
from streamer.errors import MostlyUnreadable
from streamer.events import Batch, Channel, Checkpoint, Event, ReplayId, Start, Unreadable
from streamer.ingest.positions import Positioning
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.large_texts import LargeTexts, TextCache
from streamer.ingest.reading.message_reader import ChannelProtection, Protection
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.reading.rereading import Rereading
from streamer.ingest.relay import ChannelLog, Ingest
from streamer.log.memory import MemoryLog
from streamer.log.records import encode_dead_letter, encode_event
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.protection import WrongKey, unsealed
from streamer.salesforce.memory import MemoryRecords, MemorySource
from streamer.sandbox.org.text_diff import text_diff
from streamer.settings import ProtectionSettings, ProtectRule
from tests.messages import CHANGES, ORG, batch, change
from tests.unit.protection.rules import KEY, rule

WITH_KEY = ProtectionSettings.model_validate({"key": KEY})
MAIL = "ida.berg@acme.example"


# Making one takes longer than all else here.
METRICS = Metrics(clock=TurnedClock())


@dataclass(kw_only=True)
class World:
    """One channel whose events are protected by `rules`."""

    rules: Sequence[ProtectRule]
    settings: ProtectionSettings = WITH_KEY
    channel: Channel = CHANGES
    log: MemoryLog = field(default_factory=MemoryLog)
    clock: TurnedClock = field(default_factory=TurnedClock)
    lines: list[Any] = field(default_factory=list)
    large_texts: LargeTexts | None = None
    source: type[MemorySource] = MemorySource

    def __post_init__(self) -> None:
        """Compile the rules."""
        self.protection = Protection(self.rules, self.settings)

    async def run(self, *batches: Batch) -> None:
        """Carry `batches` into the log."""
        protection = ChannelProtection(protection=self.protection, channel=self.channel)
        if self.large_texts is not None:
            self.large_texts.hides = protection.hides
        with capture_logs() as lines:
            await Ingest(
                source=self.source({self.channel.path: batches}),
                log=ChannelLog(
                    channel=self.channel,
                    log=self.log,
                    clock=self.clock,
                    observer=METRICS.channel(self.channel),
                ),
                messages=MessageReader(
                    channel=self.channel,
                    normalise=normaliser_for(self.channel),
                    quarantine=Quarantine(clock=self.clock),
                    large_texts=self.large_texts,
                    protection=protection,
                ),
                positioning=Positioning(channel=self.channel, clock=self.clock, start=Start.EARLIEST),
            ).run()
        self.lines += lines

    @property
    def stored(self) -> bytes:
        """All that the log and the process's own log hold."""
        parts = [
            *map(encode_event, self.log.events),
            *chain.from_iterable(map(encode_dead_letter, self.log.letters)),
        ]
        raws = [letter.raw for letter in self.log.letters]
        return b"\n".join([*parts, *raws, repr([self.log.continuity, self.lines]).encode()])


def contact(replay_id: int = 1, **fields: Any) -> dict[str, Any]:
    """Return the change of a contact."""
    return change(replay_id, "003A", entity="Contact", **fields)


def malformed(replay_id: int = 1, **fields: Any) -> dict[str, Any]:
    """Return a message that is not a change event, and holds `fields` all the same."""
    message = contact(replay_id, **fields)
    message["data"]["payload"]["ChangeEventHeader"]["changeType"] = f"CHANGE of {fields}"
    return message


async def test_protected_fields_are_not_in_the_log() -> None:
    """The others are, and so is the name of the hashed one."""
    world = World(rules=[rule("hash", "Email", entity="Contact")])
    await world.run(batch(contact(Email=MAIL, Phone="1")))

    (event,) = world.log.events
    assert event.data["fields"]["Phone"] == "1"
    assert len(event.data["fields"]["Email"]) == 8 + 1 + 64
    assert MAIL.encode() not in world.stored


def test_batch_without_protected_events_is_left_as_it_is() -> None:
    """A rule of another channel costs it a look at the types of its events."""
    rules = Protection([rule("drop", "Email", entity="Contact")], WITH_KEY)
    protection = ChannelProtection(protection=rules, channel=CHANGES)
    read = normaliser_for(CHANGES)([change(1, "001A"), contact(2)])
    account, both = ([event for event in part if isinstance(event, Event)] for part in (read[:1], read))

    assert protection.protected(account) is account
    assert protection.protected(both) is not both


async def test_parts_of_an_answer_are_protected_as_they_are_added() -> None:
    """Each is encoded before the next is parsed, and all are committed at once."""
    world = World(rules=[rule("drop", "Email")])
    await world.run(
        replace(batch(contact(1, Email=MAIL)), more=True),
        replace(batch(contact(2, Email=MAIL)), more=True),
        batch(contact(3, Email=MAIL, Phone="1")),
    )

    assert [event.data["fields"] for event in world.log.events] == [{}, {}, {"Phone": "1"}]


async def test_changed_rule_holds_from_the_next_batch_on() -> None:
    """The session goes on."""

    class Reloaded(MemorySource):
        """Has the rules changed after each batch."""

        async def batches(
            self, channel: Channel, *, after: Checkpoint | Start
        ) -> AsyncGenerator[Batch, None]:
            """Yield what is scripted."""
            async for each in super().batches(channel, after=after):
                yield each
                world.protection.apply([rule("drop", "Email")], WITH_KEY)

    world = World(rules=[], source=Reloaded)
    await world.run(batch(contact(1, Email=MAIL)), batch(contact(2, Email=MAIL)))

    assert [event.data["fields"] for event in world.log.events] == [{"Email": MAIL}, {}]


@pytest.mark.parametrize("settings", [WITH_KEY, ProtectionSettings()])
async def test_unreadable_message_leaves_none_of_its_bytes(settings: ProtectionSettings) -> None:
    """Its dead letter says so, and what to do; the error's own text would quote the message."""
    world = World(rules=[rule("drop", "Email", entity="Contact")], settings=settings)
    await world.run(batch(contact(1, Phone="1"), malformed(2, Email=MAIL)))

    (letter,) = world.log.letters
    assert MAIL.encode() not in world.stored
    assert letter.error.startswith("Not a change event: ValueError; the ")
    assert letter.error.endswith(" bytes of the message can hold protected fields and are withheld")
    assert "protection.unreadable: encrypt" in letter.hint


async def test_unreadable_message_keeps_its_id_on_every_reading() -> None:
    """The id is made with the key, and does not reveal it."""
    ids = []
    for _ in range(2):
        world = World(rules=[rule("drop", "Email")])
        await world.run(batch(malformed(2, Email=MAIL), malformed(2, Email="other")))
        ids.append([letter.id for letter in world.log.letters])

    assert ids[0] == ids[1]
    assert len({*ids[0]}) == 2


async def test_withheld_messages_keep_their_ids_without_a_key() -> None:
    """Where their position is known, the letter of one that is read again takes the place of the first."""
    ids = []
    for _ in range(2):
        world = World(rules=[rule("drop", "Email")], settings=ProtectionSettings())
        await world.run(batch(malformed(1, Email=MAIL), malformed(2, Email=MAIL), contact(3, It=deep())))
        ids.append([letter.id for letter in world.log.letters])

    assert ids[0] == ids[1]
    assert len({*ids[0]}) == 3


async def test_withheld_pieces_of_one_size_stay_apart_without_a_key() -> None:
    """Also where no position tells them apart: an answer that is torn twice."""
    pieces = [Unreadable(raw=f'{{"Email": "{name}'.encode(), error="torn") for name in ("ida", "eva")]
    world = World(rules=[rule("drop", "Email")], settings=ProtectionSettings())
    await world.run(replace(batch(), unreadable=pieces))

    assert len(world.log.letters) == 2
    digests = {sha256(piece.raw).hexdigest()[:16] for piece in pieces}
    assert not any(letter.id.rpartition(":")[2] in digests for letter in world.log.letters)


async def test_torn_piece_leaves_none_of_its_bytes_on_any_channel() -> None:
    """It can belong to another channel of the session."""
    orders = Channel(org=ORG, path="/event/Order_Placed__e")
    piece = Unreadable(raw=f'{{"Email": "{MAIL}'.encode(), error=f"not {MAIL}", replay_id=ReplayId(b"7"))
    world = World(rules=[rule("drop", "Email", entity="Contact")], channel=orders)
    await world.run(replace(batch(channel=orders), unreadable=[piece]))

    assert MAIL.encode() not in world.stored
    assert world.log.letters[0].error.startswith("The message can't be decoded; the ")


async def test_unreadable_message_of_a_channel_without_rules_is_kept() -> None:
    """No rule can concern it, so all of it is kept."""
    orders = Channel(org=ORG, path="/event/Order_Placed__e")
    world = World(rules=[rule("drop", "Email", entity="Contact")], channel=orders)
    await world.run(batch({"channel": orders.path, "data": {"Email": MAIL}}, channel=orders))

    assert MAIL.encode() in world.log.letters[0].raw


async def test_unreadable_message_is_kept_where_the_operator_says_so() -> None:
    """It is then kept whole, and is not secret."""
    settings = ProtectionSettings.model_validate({"key": KEY, "unreadable": "keep"})
    world = World(rules=[rule("drop", "Email")], settings=settings)
    await world.run(batch(malformed(Email=MAIL)))

    (letter,) = world.log.letters
    assert MAIL.encode() in letter.raw
    assert "unknown changeType" in letter.error


async def test_unreadable_message_can_be_kept_and_stay_secret() -> None:
    """Whoever has the key can read it, and no one else; its id is the same on every reading."""
    settings = ProtectionSettings.model_validate({"key": KEY, "key_id": "k1", "unreadable": "encrypt"})
    world = World(rules=[rule("drop", "Email")], settings=settings)
    await world.run(batch(malformed(Email=MAIL)))

    (letter,) = world.log.letters
    assert MAIL.encode() not in world.stored
    assert letter.raw.startswith(b"encrypted:k1:")
    assert letter.error.endswith(" bytes of the message can hold protected fields and are encrypted")
    assert MAIL.encode() in unsealed(letter.raw, KEY)
    with pytest.raises(WrongKey):
        unsealed(letter.raw, KEY[::-1])


def deep() -> Any:
    """Return a value that is nested too deeply to be protected."""
    value: Any = MAIL
    for _ in range(100):
        value = {"in": value}
    return value


async def test_event_that_cannot_be_protected_is_set_aside() -> None:
    """Its position is passed, and the next event is stored."""
    world = World(rules=[rule("drop", "Email")])
    await world.run(batch(contact(1, It=deep()), contact(2, Phone="1")))

    assert [letter.replay_id for letter in world.log.letters] == [b"1"]
    assert [event.data["fields"] for event in world.log.events] == [{"Phone": "1"}]
    assert MAIL.encode() not in world.stored


@pytest.mark.parametrize("count", [30, 100, 101])
async def test_channel_of_which_most_cannot_be_protected_stops(count: int) -> None:
    """A rule that fits no event of the channel would set all of them aside."""
    notes = Channel(org=ORG, path="/u/Notes")
    about = {"createdDate": "2025-01-01T00:00:00.334Z"}
    torn = [{"data": {"event": {**about, "replayId": n}, "payload": '{"to": "I'}} for n in range(count)]
    world = World(rules=[rule("drop", "to")], channel=notes)
    with pytest.raises(MostlyUnreadable, match=f"{count} of the last {count} messages"):
        await world.run(batch(*torn, channel=notes))

    assert world.log.letters == []


@pytest.mark.parametrize("settings", [WITH_KEY, ProtectionSettings()])
async def test_message_of_many_records_that_cannot_be_protected_is_one(settings: ProtectionSettings) -> None:
    """It is poison for each of them, with a letter of its own, and no reason to stop the channel."""
    poison = contact(1, It=deep())
    poison["data"]["payload"]["ChangeEventHeader"]["recordIds"] = [f"003{number:02}" for number in range(30)]
    world = World(rules=[rule("drop", "Email")], settings=settings)
    await world.run(batch(poison, *(contact(number, Phone="1") for number in range(2, 31))))

    assert len(world.log.letters) == 30
    assert len(world.log.events) == 29


def texts() -> list[str]:
    """Return a large text, and the one that follows."""
    lines = [f"line {number} of a text that is long enough to be sent as a diff" for number in range(40)]
    return ["\n".join([*lines, last]) for last in ("first", "second")]


async def test_protected_large_text_is_neither_remembered_nor_read_again() -> None:
    """Its diff is dropped, and the text beside it becomes whole."""
    first, second = texts()
    records = MemoryRecords({"Contact": {"003A": {"Notes__c": second, "Description": second}}})
    clock = TurnedClock()
    large_texts = LargeTexts(
        cache=TextCache(1_000_000),
        clock=clock,
        observer=METRICS.channel(CHANGES),
        rereading=Rereading(channel=CHANGES, records=records, clock=clock),
    )
    world = World(rules=[rule("drop", "Description")], large_texts=large_texts, clock=clock)
    diff = {"diff": text_diff(first, second)}
    await world.run(
        batch(contact(1, Description=first, Notes__c=first)),
        batch(contact(2, Description=diff, Notes__c=diff)),
    )

    assert [event.data["fields"] for event in world.log.events] == [{"Notes__c": first}, {"Notes__c": second}]
    assert large_texts.cache.get("003A", "Notes__c") == second
    assert large_texts.cache.get("003A", "Description") is None
    assert records.requests == []
