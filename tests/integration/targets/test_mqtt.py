"""The MQTT plugin with a real Mosquitto, whose messages another library reads."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamer.clock import SystemClock
from streamer.events import Delivered, FailureClass, Hold, Outcome, Reject, Retry
from subscribers.mqtt import Mqtt
from tests.deliveries import ORDER, context, delivery, event
from tests.mqtt import Consumer, Wire, consuming
from tools.kafka.certificate import write_certificate
from tools.mosquitto import Mosquitto

TOPIC = f"salesforce/Order/{ORDER}"
ID = f"tx:1:{ORDER}"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Run a broker that lets everybody in."""
    with Mosquitto(tmp_path) as running:
        yield running


@asynccontextmanager
async def opened(port: int, **settings: Any) -> AsyncIterator[Mqtt]:
    """Open a plugin that publishes to the broker at `port`."""
    placed = {"url": f"mqtt://localhost:{port}", "topic": "salesforce/{entity}/{record_id}", **settings}
    async with Mqtt(Mqtt.Settings.model_validate(placed), context(SystemClock())) as plugin:
        yield plugin


async def outcome_at(port: int, **settings: Any) -> Outcome:
    """Return the outcome of one delivery."""
    async with opened(port, **settings) as plugin:
        return await plugin.deliver(delivery())


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_consumer_gets_the_event_with_its_attributes(broker: Mosquitto, qos: int) -> None:
    """MQTT 5 has places for all of it."""
    async with consuming(broker.port) as consumer:
        assert isinstance(await outcome_at(broker.port, qos=qos, expiry_s=3600), Delivered)
        await consumer.until(lambda c: c.received)

    [message] = consumer.received
    assert (message.topic, message.qos, message.content_type) == (TOPIC, qos, "application/json")
    assert message.expiry_s in {3600, 3599}
    assert orjson.loads(message.payload) == event().data
    assert message.attributes["id"] == ID
    assert message.attributes["type"] == "salesforce.cdc.Order.created"


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_older_version_sends_the_whole_event(broker: Mosquitto, qos: int) -> None:
    """3.1.1 has no place for attributes beside the payload."""
    async with consuming(broker.port) as consumer:
        assert isinstance(await outcome_at(broker.port, version="3.1.1", qos=qos), Delivered)
        await consumer.until(lambda c: c.received)

    [message] = consumer.received
    assert (message.topic, message.qos) == (TOPIC, qos)
    assert orjson.loads(message.payload)["id"] == ID


async def test_many_are_under_way_at_once(broker: Mosquitto) -> None:
    """More than the broker's receive maximum, and each arrives once."""
    deliveries = [delivery(event(subject=f"801{number:012d}AAA")) for number in range(300)]
    async with consuming(broker.port) as consumer, opened(broker.port, qos=2) as plugin:
        outcomes = await plugin.deliver_many(deliveries)
        await consumer.until(lambda c: len(c.received) >= 300)

    assert {type(each) for each in outcomes} == {Delivered}
    assert len({message.topic for message in consumer.received}) == len(consumer.received) == 300


async def test_retained_message_waits_for_new_consumers(broker: Mosquitto) -> None:
    """Until the record is deleted."""
    settings: dict[str, Any] = {"retain": True, "deletions": "clear"}
    assert isinstance(await outcome_at(broker.port, **settings), Delivered)
    async with consuming(broker.port) as consumer:
        await consumer.until(lambda c: c.received)
        assert consumer.received[0].is_retained
        async with opened(broker.port, **settings) as plugin:
            await plugin.deliver(delivery(event("salesforce.cdc.Order.deleted")))
            await consumer.until(lambda c: len(c.received) == 2)
            await plugin.deliver(delivery(event(subject="801X")))
    assert consumer.received[1].payload == b""

    async with consuming(broker.port) as later:
        await later.until(lambda c: c.received)
    assert [message.topic for message in later.received] == ["salesforce/Order/801X"]


async def test_broker_that_was_restarted_is_found_again(broker: Mosquitto) -> None:
    """An event that it could not take meanwhile is retried, and the breaker counts the failure."""
    async with opened(broker.port) as plugin:
        assert isinstance(await plugin.deliver(delivery()), Delivered)
        broker.kill()
        away = [await plugin.deliver(delivery()) for _ in range(2)]
        broker.start()
        async with consuming(broker.port) as consumer:
            assert isinstance(await plugin.deliver(delivery()), Delivered)
            await consumer.until(lambda c: c.received)

    assert {type(each) for each in away} == {Retry}
    assert {each.failure for each in away if isinstance(each, Retry)} == {FailureClass.CONNECTION}


def is_connected(plugin: Mqtt) -> bool:
    """Return true while the plugin knows of no end of its connection."""
    assert plugin._session is not None
    connection = plugin._session._connection
    return connection is not None and connection.is_open


@pytest.mark.parametrize(("qos", "version"), [(1, "5"), (2, "5"), (1, "3.1.1")])
async def test_message_without_its_acknowledgement_comes_again(
    broker: Mosquitto, qos: int, version: str
) -> None:
    """The broker has it, but nobody knows: it is published again, with the same id."""
    async with (
        consuming(broker.port) as consumer,
        Wire.to(broker.port) as wire,
        opened(wire.port, qos=qos, version=version) as plugin,
    ):
        assert isinstance(await plugin.deliver(delivery(event(subject="801X"))), Delivered)
        wire.is_lossy = True
        delivering = asyncio.create_task(plugin.deliver(delivery()))
        if qos == 1:
            await consumer.until(lambda c: len(c.received) == 2)
        else:
            # The broker passes it on when it is released, which it was not.
            await consumer.until(lambda _: wire.lost)
        assert not delivering.done()
        wire.cut()
        lost = await delivering
        wire.is_lossy = False
        assert isinstance(await plugin.deliver(delivery()), Delivered)
        await consumer.until(lambda c: len(c.received) == (3 if qos == 1 else 2))

    assert isinstance(lost, Retry)
    assert lost.failure is FailureClass.CONNECTION
    ids = [each.attributes.get("id") or orjson.loads(each.payload)["id"] for each in consumer.received]
    assert ids == ["tx:1:801X", *([ID, ID] if qos == 1 else [ID])]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Mosquitto]:
    """Run a broker that knows one user, who may write to `allowed` alone."""
    passwords, rights = tmp_path / "passwords", tmp_path / "rights"
    subprocess.run(["mosquitto_passwd", "-c", "-b", passwords, "streamer", "hunter22"], check=True)
    rights.write_text("user streamer\ntopic write allowed/#\n")
    settings = ["allow_anonymous false", f"password_file {passwords}", f"acl_file {rights}"]
    with Mosquitto(tmp_path, *settings) as running:
        yield running


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_refused_login_holds_the_target(guarded: Mosquitto, version: str) -> None:
    """As a 401 does: it costs no event, and an operator must act."""
    wrong: dict[str, Any] = {"username": "streamer", "password": "hunter23", "version": version}
    for settings in ({"version": version}, wrong):
        outcome = await outcome_at(guarded.port, **settings)

        assert isinstance(outcome, Hold)
        assert outcome.alert
        assert outcome.failure is FailureClass.REFUSED_CREDENTIALS
        assert "hunter23" not in repr(outcome)


@pytest.mark.parametrize("qos", [1, 2])
async def test_refused_topic_holds_the_target(guarded: Mosquitto, qos: int) -> None:
    """The broker acknowledges the message, and says in the acknowledgement that it does not take it."""
    login: dict[str, Any] = {"username": "streamer", "password": "hunter22", "qos": qos}
    allowed = await outcome_at(guarded.port, topic="allowed/{record_id}", **login)
    refused = await outcome_at(guarded.port, topic="other/{record_id}", **login)

    assert isinstance(allowed, Delivered)
    assert isinstance(refused, Hold)
    assert "not authorized" in refused.reason
    assert refused.failure is FailureClass.REFUSED_CREDENTIALS


async def test_message_beyond_the_brokers_limit_is_rejected(tmp_path: Path) -> None:
    """It is not sent, because the broker would end the connection of all others."""
    with Mosquitto(tmp_path, "max_packet_size 1000") as broker:
        async with opened(broker.port) as plugin:
            large, small = await plugin.deliver_many([delivery(body="x" * 1000), delivery(body="x")])

    assert isinstance(large, Reject)
    assert "the limit is 1,000" in large.reason
    assert isinstance(small, Delivered)


def _is_away(plugin: Mqtt, _: Consumer) -> bool:
    return not is_connected(plugin)


async def test_session_is_taken_over_and_found_again(broker: Mosquitto) -> None:
    """The broker ends the former connection, which costs no event."""
    async with (
        consuming(broker.port) as consumer,
        opened(broker.port, client_id="a") as first,
        opened(broker.port, client_id="a") as second,
    ):
        for plugin, former in ((first, second), (second, first), (first, second)):
            assert isinstance(await plugin.deliver(delivery()), Delivered)
            await consumer.until(partial(_is_away, former))
            assert is_connected(plugin)


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Mosquitto, Path, Path]]:
    """Run a broker over TLS that wants a certificate of its clients; yield it, its authority and a pair."""
    authority, pair = write_certificate(tmp_path)
    settings = [f"cafile {authority}", f"certfile {pair}", f"keyfile {pair}", "require_certificate true"]
    with Mosquitto(tmp_path, *settings) as running:
        yield running, authority, pair


async def test_broker_is_reached_over_tls_in_both_directions(secure: tuple[Mosquitto, Path, Path]) -> None:
    """With a company's own authority, and a certificate that says who we are."""
    broker, authority, pair = secure
    url = f"mqtts://localhost:{broker.port}"
    certificate = {"certificate_file": str(pair)}
    trusted = await outcome_at(
        broker.port, url=url, ca_file=str(authority), client_certificate=certificate, version="3.1.1"
    )
    stranger = await outcome_at(broker.port, url=url, ca_file=str(authority))
    untrusted = await outcome_at(broker.port, url=url)
    plain = await outcome_at(broker.port, timeout_s=1)

    assert isinstance(trusted, Delivered)
    assert isinstance(stranger, Retry)
    assert isinstance(untrusted, Retry)
    assert "is not trusted" in untrusted.reason
    assert "check ca_file" in untrusted.reason
    assert isinstance(plain, Retry)
