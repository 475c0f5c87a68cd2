"""The MQTT plugin, at a broker that answers as each test says."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from streamer.clock import TurnedClock
from streamer.events import Delivered, FailureClass, Hold, Outcome, Reject, Retry, Skip
from streamer.ports import Preview
from subscribers.mqtt import Mqtt
from subscribers.mqtt.connection import BrokerConnection
from tests.deliveries import ORDER, context, delivery, event
from tests.unit.subscribers.mqtt.scripted_broker import (
    CONNACK,
    CONNECT,
    PINGREQ,
    PUBLISH,
    PUBREL,
    ScriptedBroker,
    packet_id,
    puback,
    usual,
)
from tests.waiting import turned, until

TOPIC = "salesforce/{entity}/{record_id}"


@asynccontextmanager
async def opened(
    broker: ScriptedBroker, clock: TurnedClock | None = None, **settings: Any
) -> AsyncIterator[Mqtt]:
    """Open a plugin that publishes to `broker`."""
    read = Mqtt.Settings.model_validate({"url": broker.url, "topic": TOPIC, **settings})
    async with Mqtt(read, context(clock or TurnedClock())) as plugin:
        yield plugin


async def outcome_at(broker: ScriptedBroker, **settings: Any) -> Outcome:
    """Return the outcome of one delivery."""
    async with opened(broker, **settings) as plugin:
        return await plugin.deliver(delivery())


def open_connection(plugin: Mqtt) -> BrokerConnection:
    """Return the connection of the plugin."""
    assert plugin._session is not None
    assert plugin._session._connection is not None
    return plugin._session._connection


async def while_time_passes(clock: TurnedClock, *deliveries: Coroutine[Any, Any, Outcome]) -> list[Outcome]:
    """Return the outcomes of deliveries, while the clock goes on."""
    delivering = [asyncio.create_task(each) for each in deliveries]
    await turned(clock, lambda: all(each.done() for each in delivering), step_s=0.05)
    return [each.result() for each in delivering]


def refusing(code: str, *, kind: int = PUBLISH) -> Any:
    """Return the answers of a broker that refuses with a code."""

    def answer(of: int, content: bytes) -> bytes:
        if of != kind:
            return usual(of, content)
        return puback(content, code=code) if of == PUBLISH else bytes.fromhex(f"200300{code}00")

    return answer


def refused_connection(code: int, identifier: int, words: str) -> bytes:
    """Return a CONNACK with a code, and words in the property of that identifier."""
    said = bytes([3 + len(words), identifier]) + len(words).to_bytes(2) + words.encode()
    return bytes([0x20, 2 + len(said), 0, code]) + said


async def test_message_waits_for_its_acknowledgement() -> None:
    """The broker has it, or it is not delivered."""
    async with (
        ScriptedBroker.running(lambda k, c: b"" if k == PUBLISH else usual(k, c)) as broker,
        opened(broker) as plugin,
    ):
        delivering = asyncio.create_task(plugin.deliver(delivery()))
        await broker.until(PUBLISH)
        assert not delivering.done()
        broker.say(puback(broker.of_kind(PUBLISH)[0]))
        outcome = await delivering

    assert outcome == Delivered(answer={"topic": f"salesforce/Order/{ORDER}"})


async def test_attributes_are_user_properties() -> None:
    """MQTT 5 has room for them beside the payload."""
    async with ScriptedBroker.running() as broker:
        await outcome_at(broker, expiry_s=60)
    [content] = broker.of_kind(PUBLISH)

    assert b"&\x00\x02id\x00\x17tx:1:801000000000001AAA" in content
    assert b"&\x00\x04type\x00\x1csalesforce.cdc.Order.created" in content
    assert b"\x02\x00\x00\x00\x3c" in content
    assert content.endswith(b'{"entity":"Order","fields":{"TotalAmount":12.5}}')


@pytest.mark.parametrize(
    ("code", "kind", "failure"),
    [
        ("00", Delivered, None),
        ("10", Delivered, None),
        ("80", Retry, FailureClass.OTHER),
        ("83", Retry, FailureClass.OTHER),
        ("87", Hold, FailureClass.REFUSED_CREDENTIALS),
        ("90", Reject, FailureClass.REJECTED),
        ("91", Retry, FailureClass.OTHER),
        ("95", Reject, FailureClass.REJECTED),
        ("97", Hold, FailureClass.RATE_LIMITED),
        ("99", Reject, FailureClass.REJECTED),
        ("fe", Retry, FailureClass.OTHER),
    ],
)
@pytest.mark.parametrize("qos", [1, 2])
async def test_answer_to_a_message_is_its_outcome(
    qos: int, code: str, kind: type, failure: FailureClass | None
) -> None:
    """A broker of MQTT 5 says why it refuses a message."""
    ack = "40" if qos == 1 else "50"

    def answer(of: int, content: bytes) -> bytes:
        return puback(content, code=code, kind=ack) if of == PUBLISH else usual(of, content)

    async with ScriptedBroker.running(answer) as broker:
        outcome = await outcome_at(broker, qos=qos)

    assert type(outcome) is kind
    assert getattr(outcome, "failure", None) is failure
    assert len(broker.of_kind(PUBREL)) == (qos == 2 and kind is Delivered)


@pytest.mark.parametrize(
    ("code", "kind", "failure", "words"),
    [
        ("84", Hold, FailureClass.CONNECTION, "set version"),
        ("85", Hold, FailureClass.CONNECTION, "set another client_id"),
        ("86", Hold, FailureClass.REFUSED_CREDENTIALS, "bad user name or password"),
        ("87", Hold, FailureClass.REFUSED_CREDENTIALS, "not authorized"),
        ("88", Retry, FailureClass.CONNECTION, "server unavailable"),
        ("89", Hold, FailureClass.RATE_LIMITED, "server busy"),
        ("95", Retry, FailureClass.CONNECTION, "packet too large"),
        ("9d", Hold, FailureClass.CONNECTION, "set url to the broker's new address"),
        ("9f", Hold, FailureClass.RATE_LIMITED, "connection rate exceeded"),
    ],
)
async def test_refused_connection_is_its_outcome(
    code: str, kind: type, failure: FailureClass, words: str
) -> None:
    """Credentials hold the target, as a 401 does."""
    async with ScriptedBroker.running(refusing(code, kind=CONNECT)) as broker:
        outcome = await outcome_at(broker)

    assert type(outcome) is kind
    assert isinstance(outcome, Hold | Retry)
    assert outcome.failure is failure
    assert words in outcome.reason
    assert getattr(outcome, "alert", False) == (kind is Hold and failure is not FailureClass.RATE_LIMITED)


@pytest.mark.parametrize(("code", "words"), [("01", "set version"), ("05", "not authorized")])
async def test_broker_of_the_older_version_refuses_in_its_own_form(code: str, words: str) -> None:
    """It does not know MQTT 5, and its codes would say in MQTT 5 that all is well."""
    refused = bytes.fromhex(f"200200{code}")
    async with ScriptedBroker.running(lambda k, c: refused if k == CONNECT else usual(k, c)) as broker:
        outcome = await outcome_at(broker)

    assert isinstance(outcome, Hold)
    assert outcome.alert
    assert words in outcome.reason
    assert not broker.of_kind(PUBLISH)


@pytest.mark.parametrize(("code", "words"), [("04", "bad user name"), ("05", "not authorized")])
async def test_credentials_are_refused_in_the_older_version_too(code: str, words: str) -> None:
    """With codes of its own."""
    refused = bytes.fromhex(f"200200{code}")
    async with ScriptedBroker.running(lambda k, c: refused if k == CONNECT else usual(k, c)) as broker:
        outcome = await outcome_at(broker, version="3.1.1")

    assert isinstance(outcome, Hold)
    assert outcome.alert
    assert words in outcome.reason


@pytest.mark.parametrize(
    ("said", "kind", "failure", "words"),
    [
        ("e0028b00", Retry, FailureClass.CONNECTION, "server shutting down"),
        ("e0028e00", Hold, FailureClass.CONNECTION, "set a different client_id in each process"),
        ("e0029600", Hold, FailureClass.RATE_LIMITED, "message rate too high"),
        ("e0029500", Reject, FailureClass.REJECTED, "packet too large"),
        ("e00b9d09 1c0006 6f74686572 31", Hold, FailureClass.CONNECTION, "(other1)"),
        ("e00a98081f0005 686f707365", Retry, FailureClass.CONNECTION, "hopse"),
        ("e000", Retry, FailureClass.CONNECTION, "ended the connection"),
        ("e0ff", Retry, FailureClass.UNEXPECTED_ANSWER, "check url"),
        ("ffffffffff", Retry, FailureClass.UNEXPECTED_ANSWER, "check url"),
        ("40ffffff7f", Retry, FailureClass.UNEXPECTED_ANSWER, "268,435,455 bytes"),
        ("4001 00", Retry, FailureClass.UNEXPECTED_ANSWER, "is incomplete"),
        ("e003 80 01 7e", Retry, FailureClass.UNEXPECTED_ANSWER, "0x7e"),
    ],
)
async def test_end_of_the_connection_is_the_outcome(
    said: str, kind: type, failure: FailureClass, words: str
) -> None:
    """Whatever the broker says instead of an acknowledgement."""
    answer = bytes.fromhex(said)
    if said == "e0ff":
        answer += b"\xff\xff\xff\xff"
    async with ScriptedBroker.running(lambda k, c: answer if k == PUBLISH else usual(k, c)) as broker:
        outcome = await outcome_at(broker)

    assert type(outcome) is kind
    assert not isinstance(outcome, Delivered | Skip)
    assert outcome.failure is failure
    assert words in outcome.reason


async def test_large_message_for_a_former_owner_is_passed_over() -> None:
    """It takes no memory, and the connection goes on."""
    foreign = b"\x30\xa0\x8d\x06" + b"x" * 100_000

    def answer(kind: int, content: bytes) -> bytes:
        return foreign + puback(content) if kind == PUBLISH else usual(kind, content)

    async with ScriptedBroker.running(answer) as broker:
        assert isinstance(await outcome_at(broker), Delivered)


async def test_lost_connection_is_a_retry_and_is_made_again() -> None:
    """The breaker counts it; the message goes out again, with the same id."""
    clock = TurnedClock()
    answers = iter([None, b""])

    def answer(kind: int, content: bytes) -> bytes | None:
        if kind == PUBLISH and next(answers, b"") is None:
            return None
        return usual(kind, content)

    async with ScriptedBroker.running(answer) as broker, opened(broker, clock) as plugin:
        lost = await plugin.deliver(delivery())
        [outcome] = await while_time_passes(clock, plugin.deliver(delivery()))

    assert isinstance(lost, Retry)
    assert lost.failure is FailureClass.CONNECTION
    assert isinstance(outcome, Delivered)
    first, second = broker.of_kind(PUBLISH)
    assert b"tx:1:801000000000001AAA" in first
    assert first[-60:] == second[-60:]


async def test_broker_that_fails_is_asked_less_and_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deliveries that wait share an attempt; and it is asked at once again after it has worked."""
    monkeypatch.setattr("subscribers.mqtt.plugin.random.random", lambda: 1.0)
    clock = TurnedClock()
    asked: list[float] = []
    broken = True

    def answer(kind: int, content: bytes) -> bytes | None:
        if kind == CONNECT:
            asked.append(clock.now())
        return None if broken else usual(kind, content)

    async with ScriptedBroker.running(answer) as broker, opened(broker, clock) as plugin:
        for _ in range(3):
            await while_time_passes(clock, *(plugin.deliver(delivery()) for _ in range(5)))
        assert [after - before for before, after in pairwise(asked)] == pytest.approx([0.5, 1], abs=0.2)
        broken = False
        await clock.turn(5)
        assert isinstance(await plugin.deliver(delivery()), Delivered)


async def test_message_that_is_only_sent_is_no_proof_of_a_broker_that_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With QoS 0, two processes with one client id would take the connection from each other at once."""
    monkeypatch.setattr("subscribers.mqtt.plugin.random.random", lambda: 1.0)
    clock = TurnedClock()
    asked: list[float] = []

    def answer(kind: int, content: bytes) -> bytes | None:
        if kind == CONNECT:
            asked.append(clock.now())
        return None if kind == PUBLISH else usual(kind, content)

    async with (
        ScriptedBroker.running(answer) as broker,
        opened(broker, clock, qos=0, version="3.1.1") as plugin,
    ):
        for _ in range(4):
            await while_time_passes(clock, plugin.deliver(delivery()))
            await until(lambda: not open_connection(plugin).is_open)

    assert [after - before for before, after in pairwise(asked)] == pytest.approx([0.5, 1, 2], abs=0.2)


async def test_message_of_qos_2_is_released_once() -> None:
    """However often a broker asks: it could read no answers, and fill the memory with them."""

    def answer(kind: int, content: bytes) -> bytes:
        if kind != PUBLISH:
            return usual(kind, content)
        received = puback(content, kind="50")
        return bytes.fromhex("5002ffff") + received * 3

    async with ScriptedBroker.running(answer) as broker:
        outcome = await outcome_at(broker, qos=2)

    assert isinstance(outcome, Delivered)
    assert len(broker.of_kind(PUBREL)) == 1


async def test_silent_broker_is_found_out() -> None:
    """A half-open connection has no other sign."""
    clock = TurnedClock()
    async with (
        ScriptedBroker.running(lambda k, c: usual(k, c) if k != PINGREQ else b"") as broker,
        opened(broker, clock, keep_alive_s=30) as plugin,
    ):
        await plugin.deliver(delivery())
        await clock.turn(15)
        await broker.until(PINGREQ)
        await clock.turn(10)
        await until(lambda: not open_connection(plugin).is_open)
        await plugin.deliver(delivery())

    assert len(broker.of_kind(CONNECT)) == 2


async def test_broker_that_acknowledges_nothing_times_out() -> None:
    """And all that was sent after it fails with it, at once."""
    clock = TurnedClock()
    async with (
        ScriptedBroker.running(lambda k, c: b"" if k == PUBLISH else usual(k, c)) as broker,
        opened(broker, clock) as plugin,
    ):
        delivering = [asyncio.create_task(plugin.deliver(delivery())) for _ in range(3)]
        await broker.until(PUBLISH, 3)
        await clock.turn(10)
        outcomes = await asyncio.gather(*delivering)

    assert {type(each) for each in outcomes} == {Retry}
    assert {each.failure for each in outcomes if isinstance(each, Retry)} == {FailureClass.TIMEOUT}


async def test_no_more_is_under_way_than_the_broker_allows() -> None:
    """Above its receive maximum, a broker ends the connection."""
    connack = bytes.fromhex("2006 00 00 03 21 0002")
    answers: dict[int, bytes] = {CONNECT: connack, PUBLISH: b""}
    async with ScriptedBroker.running(lambda k, _: answers.get(k, b"")) as broker, opened(broker) as plugin:
        delivering = [asyncio.create_task(plugin.deliver(delivery())) for _ in range(5)]
        await broker.until(PUBLISH, 2)
        await asyncio.sleep(0.05)
        assert len(broker.of_kind(PUBLISH)) == 2
        while not all(each.done() for each in delivering):
            for content in broker.of_kind(PUBLISH):
                broker.say(puback(content))
            await asyncio.sleep(0.005)
        assert all(isinstance(each.result(), Delivered) for each in delivering)


def one_at_a_time(kind: int, content: bytes) -> bytes:
    """Answer as a broker does that allows one message under way, and acknowledges none by itself."""
    answers = {CONNECT: bytes.fromhex("2006 00 00 03 21 0001"), PUBLISH: b""}
    return answers.get(kind, usual(kind, content))


async def test_time_of_a_message_begins_when_it_is_sent() -> None:
    """A broker that acknowledges steadily is not silent, however long a message waits for others."""
    clock = TurnedClock()
    async with ScriptedBroker.running(one_at_a_time) as broker, opened(broker, clock) as plugin:
        delivering = [asyncio.create_task(plugin.deliver(delivery())) for _ in range(3)]
        for number in range(3):
            await broker.until(PUBLISH, number + 1)
            await clock.turn(8)
            broker.say(puback(broker.of_kind(PUBLISH)[number]))
        outcomes = await asyncio.gather(*delivering)

    assert {type(each) for each in outcomes} == {Delivered}
    assert (len(broker.of_kind(CONNECT)), len(broker.of_kind(PUBLISH))) == (1, 3)


async def test_message_that_was_not_sent_is_not_the_reason() -> None:
    """Only the one under way can be too large; those that wait for it are tried again."""

    def answer(kind: int, content: bytes) -> bytes:
        return bytes.fromhex("e0029500") if kind == PUBLISH else one_at_a_time(kind, content)

    async with ScriptedBroker.running(answer) as broker, opened(broker) as plugin:
        outcomes = await plugin.deliver_many([delivery()] * 3)

    assert [type(each) for each in outcomes] == [Reject, Retry, Retry]
    assert len(broker.of_kind(PUBLISH)) == 1


async def test_limit_of_no_bytes_is_none() -> None:
    """The standard forbids it, and each event would be a dead letter."""
    connack = bytes.fromhex("2008 00 00 05 27 00000000")
    async with ScriptedBroker.running(lambda k, c: connack if k == CONNECT else usual(k, c)) as broker:
        assert isinstance(await outcome_at(broker), Delivered)


async def test_message_that_waits_for_cancelled_ones_times_out() -> None:
    """Nothing else finds a broker that answers pings and acknowledges no message."""
    clock = TurnedClock()
    async with ScriptedBroker.running(one_at_a_time) as broker, opened(broker, clock) as plugin:
        cancelled = asyncio.create_task(plugin.deliver(delivery()))
        await broker.until(PUBLISH)
        cancelled.cancel()
        waiting = asyncio.create_task(plugin.deliver(delivery()))
        await clock.turn(10)
        outcome = await waiting

    assert isinstance(outcome, Retry)
    assert outcome.failure is FailureClass.TIMEOUT
    assert len(broker.of_kind(PUBLISH)) == 1


async def test_cancelled_delivery_keeps_its_packet_id() -> None:
    """Its acknowledgement is not taken for that of another message."""
    async with (
        ScriptedBroker.running(lambda k, c: b"" if k == PUBLISH else usual(k, c)) as broker,
        opened(broker) as plugin,
    ):
        cancelled = asyncio.create_task(plugin.deliver(delivery()))
        await broker.until(PUBLISH)
        cancelled.cancel()
        other = asyncio.create_task(plugin.deliver(delivery()))
        await broker.until(PUBLISH, 2)
        first, second = map(packet_id, broker.of_kind(PUBLISH))
        broker.say(b"\x40\x02" + first)
        await until(lambda: len(open_connection(plugin)._waiting) == 1)
        assert not other.done()
        broker.say(b"\x40\x02" + second)
        assert isinstance(await other, Delivered)

    assert first != second


@pytest.mark.parametrize(
    ("properties", "settings", "kind", "words"),
    [
        ("27 00000020", {}, Reject, "but the limit is 32"),
        ("24 00", {"qos": 1}, Hold, "set a lower qos"),
        ("25 00", {"retain": True}, Hold, "set retain: false"),
    ],
)
async def test_limits_of_the_broker_are_kept(
    properties: str, settings: dict[str, Any], kind: type, words: str
) -> None:
    """A message beyond them would cost all others their connection."""
    limits = bytes.fromhex(properties)
    connack = bytes([0x20, 3 + len(limits), 0, 0, len(limits)]) + limits
    async with ScriptedBroker.running(lambda k, c: connack if k == CONNECT else usual(k, c)) as broker:
        outcome = await outcome_at(broker, **settings)

    assert type(outcome) is kind
    assert words in repr(outcome)
    assert not broker.of_kind(PUBLISH)


@pytest.mark.parametrize(
    ("settings", "flags", "expiry"),
    [
        ({}, 0x02, 0),
        ({"client_id": "warehouse"}, 0x00, 3600),
        ({"client_id": "warehouse", "session_expiry_s": 0}, 0x02, 0),
        # With a session, the broker could take a new message for the repetition of an old one.
        ({"client_id": "warehouse", "qos": 2}, 0x02, 0),
    ],
)
async def test_session_is_kept_under_a_fixed_id(settings: dict[str, Any], flags: int, expiry: int) -> None:
    """The broker knows the client again."""

    def answer(kind: int, content: bytes) -> bytes:
        ack = "40" if settings.get("qos") != 2 else "50"
        return puback(content, kind=ack) if kind == PUBLISH else usual(kind, content)

    async with ScriptedBroker.running(answer) as broker:
        await outcome_at(broker, **settings)
    [content] = broker.of_kind(CONNECT)

    assert content[7] == flags
    assert content[11:16] == b"\x11" + expiry.to_bytes(4)
    assert (b"warehouse" in content) == ("client_id" in settings)


async def test_deletion_clears_the_retained_message() -> None:
    """Who subscribes later does not see a record that is gone."""
    async with (
        ScriptedBroker.running() as broker,
        opened(broker, retain=True, deletions="clear", version="3.1.1") as plugin,
    ):
        await plugin.deliver(delivery(event("salesforce.cdc.Order.deleted")))
    [content] = broker.of_kind(PUBLISH)

    assert content.endswith(packet_id(content))


@pytest.mark.parametrize(
    ("value", "level"),
    [
        ("a/b+c#d", "a%2Fb%2Bc%23d"),
        ("$SYS 100%", "%24SYS 100%25"),
        ("ü\x00\x9b\ud800", "ü%00%C2%9B%3F"),
    ],
)
async def test_value_stays_one_level_of_its_topic(value: str, level: str) -> None:
    """No field widens a topic, or makes it one that MQTT forbids."""
    async with ScriptedBroker.running() as broker, opened(broker, topic="{data.fields.City}") as plugin:
        outcome = await plugin.deliver(delivery(event(data={"fields": {"City": value}}), body={"a": 1}))

    assert outcome == Delivered(answer={"topic": level})


@pytest.mark.parametrize(
    ("made", "kind", "words"),
    [
        (delivery(event(data={})), Reject, "topic: the event has no text and no whole number for {entity}"),
        (delivery(event(data={"entity": "x" * 70_000})), Reject, "65,535 bytes"),
        (delivery(body={}), Skip, "none of the fields"),
        (delivery(body=2**70), Reject, "JSON"),
    ],
)
async def test_event_that_makes_no_message_has_an_outcome(made: Any, kind: type, words: str) -> None:
    """Nothing is sent."""
    async with ScriptedBroker.running() as broker, opened(broker) as plugin:
        outcome = await plugin.deliver(made)

    assert type(outcome) is kind
    assert words in repr(outcome)
    assert not getattr(outcome, "sent", True)


@pytest.mark.parametrize(
    ("password", "words", "shown"),
    [
        ("hunter22", "no hunter22 here", "no *** here"),
        ('hunter"22', r'{"password": "hunter\"22"}', '{"password": "***"}'),
        ("n", "no hunter22 here", "no hunter22 here"),
    ],
)
async def test_password_is_not_repeated(password: str, words: str, shown: str) -> None:
    """A broker's own words can hold it, in any form; one letter is not a secret, and occurs in any word."""
    refused = refused_connection(0x86, 0x1F, words)
    async with ScriptedBroker.running(lambda k, c: refused if k == CONNECT else usual(k, c)) as broker:
        outcome = await outcome_at(broker, username="u", password=password)

    assert isinstance(outcome, Hold)
    assert shown in outcome.reason


async def test_password_is_not_repeated_as_another_server() -> None:
    """The address to use instead is the broker's own words, too."""
    refused = refused_connection(0x9D, 0x1C, "u:hunter22@other1")
    async with ScriptedBroker.running(lambda k, c: refused if k == CONNECT else usual(k, c)) as broker:
        outcome = await outcome_at(broker, username="u", password="hunter22")

    assert isinstance(outcome, Hold)
    assert outcome.reason.endswith("set url to the broker's new address (u:***@other1)")


async def test_nothing_listens() -> None:
    """A broker that is away is a retry."""
    async with ScriptedBroker.running() as broker:
        pass
    outcome = await outcome_at(broker)

    assert isinstance(outcome, Retry)
    assert outcome.failure is FailureClass.CONNECTION
    assert outcome.reason.endswith(": Connection refused")


async def test_end_of_an_idle_connection_is_told_once() -> None:
    """Two processes with one client id would otherwise take it from each other for ever."""
    clock = TurnedClock()
    async with ScriptedBroker.running() as broker, opened(broker, clock, client_id="a") as plugin:
        await plugin.deliver(delivery())
        broker.say(bytes.fromhex("e0028e00"))
        await until(lambda: not open_connection(plugin).is_open)
        told = await plugin.deliver(delivery())
        again = await plugin.deliver(delivery())

    assert isinstance(told, Hold)
    assert told.alert
    assert "set a different client_id in each process" in told.reason
    assert isinstance(again, Delivered)


async def test_events_are_published_together() -> None:
    """Each has its own outcome, in the order of the events."""
    async with ScriptedBroker.running() as broker, opened(broker) as plugin:
        outcomes = await plugin.deliver_many([delivery(), delivery(body={}), delivery()])

    assert [type(each) for each in outcomes] == [Delivered, Skip, Delivered]


def test_message_can_be_shown_before_it_is_sent() -> None:
    """With its properties."""
    read = Mqtt.Settings.model_validate({"url": "mqtts://e.com", "topic": TOPIC, "retain": True})
    shown = Mqtt(read, context(TurnedClock())).preview(delivery())

    assert isinstance(shown, Preview)
    assert shown.request == f"PUBLISH salesforce/Order/{ORDER} (QoS 1, retained)"
    assert shown.headers["content-type"] == "application/json"
    assert shown.headers["id"] == f"tx:1:{ORDER}"


def test_connack_is_the_usual_one() -> None:
    """The script's own bytes are right."""
    assert usual(CONNECT, b"\0\4MQTT\5") == CONNACK
