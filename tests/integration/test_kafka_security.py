"""Managed Kafkas ask for TLS and a password: both on the real broker's own listener."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not marked so
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from streamer.clock import Clock, SystemClock, TurnedClock
from streamer.errors import CredentialsRefused, LogMisconfigured, LogUnavailable, StreamerError
from streamer.log.kafka import KafkaLog
from streamer.log.kafka.names import Names
from streamer.settings import KafkaLogSettings
from tests.contracts.values import CHANGES, a_checkpoint, an_append, an_event
from tests.integration.kafka_topics import make_topic, own_settings
from tools.kafka.broker import Broker, Users

_PASSWORD = "an-invented-password"
_MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A broker with a SASL_SSL listener."""
    users = Users(plain={"ann": _PASSWORD}, scram={"ann": _PASSWORD})
    with Broker(users=users) as broker:
        yield broker


def secure(broker: Broker, **security: Any) -> KafkaLogSettings:
    """Return settings for the SASL_SSL listener."""
    right = {
        "protocol": "SASL_SSL",
        "mechanism": "PLAIN",
        "username": "ann",
        "password": _PASSWORD,
        "ca_file": broker.ca_file,
    }
    return own_settings(broker.sasl_bootstrap, security=right | security)


async def refusal(settings: KafkaLogSettings, clock: Clock | None = None) -> StreamerError:
    """Return what opening the log says, which it must within ten seconds."""
    began = time.monotonic()
    with pytest.raises(StreamerError) as raised:
        async with KafkaLog.open(settings, clock or SystemClock()):
            pass
    assert time.monotonic() - began < 10
    return raised.value


@pytest.mark.parametrize("mechanism", _MECHANISMS)
async def test_right_password_opens_the_log(broker: Broker, mechanism: str) -> None:
    """Every client of ours, those that write and those that read, comes in by TLS and SASL."""
    async with KafkaLog.open(secure(broker, mechanism=mechanism), SystemClock()) as log:
        await log.append(an_append(an_event("e1")))

        assert await log.checkpoint(CHANGES) == a_checkpoint(1)


@pytest.mark.parametrize("mechanism", _MECHANISMS)
async def test_wrong_password_is_one_clear_sentence(broker: Broker, mechanism: str) -> None:
    """It says who was refused, how and what to check, and holds no secret."""
    error = await refusal(secure(broker, mechanism=mechanism, password="a-wrong-one"))

    assert type(error) is CredentialsRefused
    assert str(error) == (
        f"Kafka at {broker.sasl_bootstrap} refused user 'ann' by {mechanism}: check username, password "
        "and mechanism in log.kafka.security"
    )


async def test_certificate_that_is_not_trusted_is_named(broker: Broker) -> None:
    """The system's authorities do not know a company's own."""
    error = await refusal(secure(broker, ca_file=None))

    assert type(error) is LogMisconfigured
    assert "ca_file" in str(error)


async def test_broker_that_is_not_there_is_retried_later() -> None:
    """An address without a broker is no mistake of the credentials."""
    clock = TurnedClock()
    opening = asyncio.ensure_future(refusal(own_settings("127.0.0.1:9"), clock))
    await asyncio.sleep(0.1)
    await clock.turn(10)

    assert type(await opening) is LogUnavailable


async def test_missing_permission_names_the_topic(broker: Broker) -> None:
    """The operator learns on what to grant which operation."""
    settings = secure(broker)
    topic = Names.of(settings).event_topic(an_event(1).type)
    make_topic(broker.bootstrap, topic)
    allow_only_others_to_write(broker, topic)
    async with KafkaLog.open(settings, SystemClock()) as log:
        with pytest.raises(LogMisconfigured, match=f"'ann'.*{topic}"):
            await log.append(an_append(an_event("e1")))

        assert await log.checkpoint(CHANGES) is None


def allow_only_others_to_write(broker: Broker, topic: str) -> None:
    """Let one who is not Ann write to `topic`, which shuts out Ann."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    pattern, write = ResourcePatternType.LITERAL, AclOperation.WRITE
    rule = AclBinding(ResourceType.TOPIC, topic, pattern, "User:ben", "*", write, AclPermissionType.ALLOW)
    admin.create_acls([rule])[rule].result()
