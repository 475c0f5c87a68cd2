"""TLS and passwords, as managed Kafkas require them, on the real broker's own listener."""

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not marked so
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from structlog.testing import capture_logs

from streamer.app.assembly import open_log
from streamer.clock import Clock, SystemClock, TurnedClock
from streamer.doctor import Area, Diagnosis
from streamer.errors import CredentialsRefused, LogMisconfigured, LogUnavailable, StreamerError
from streamer.events import Delivered, Hold, Outcome, Retry, Start, SubscriberName
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.log import KafkaLog
from streamer.observe.process import Pulses
from streamer.ports import Subscription
from streamer.settings import KafkaLogSettings, LogSettings
from subscribers.kafka import Kafka
from tests.configuration import sandbox_configuration
from tests.contracts.values import CHANGES, a_checkpoint, an_append, an_event, append_to
from tests.deliveries import context, delivery
from tests.doctor import examined, faults, the_fault
from tests.integration.kafka.topics import make_topic, own_settings, warm_up
from tests.unit.app.test_dispatching import World
from tests.waiting import awaited, limited, turned, until
from tools.kafka.broker import STEADY, Broker
from tools.kafka.users import Users

_PASSWORD = "an-invented-password"
_SUBSCRIPTION = Subscription(
    subscriber=SubscriberName("erp"), patterns=("salesforce.*",), start=Start.EARLIEST
)
_MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A broker with a SASL_SSL listener."""
    users = Users(plain={"ann": _PASSWORD}, scram={"ann": _PASSWORD})
    with Broker(users=users, settings=STEADY) as broker:
        warm_up(broker.bootstrap)
        yield broker


def secure(broker: Broker, *, create_topics: bool = True, **security: Any) -> KafkaLogSettings:
    """Return settings for the SASL_SSL listener."""
    right = {
        "protocol": "SASL_SSL",
        "mechanism": "PLAIN",
        "username": "ann",
        "password": _PASSWORD,
        "ca_file": broker.ca_file,
    }
    return own_settings(broker.sasl_bootstrap, security=right | security, create_topics=create_topics)


async def refusal(settings: KafkaLogSettings, clock: Clock | None = None) -> StreamerError:
    """Return the error of opening the log, which must come by itself."""
    with pytest.raises(StreamerError) as raised:
        async with limited("the refusal"), KafkaLog.open(settings, clock or SystemClock()):
            pass
    return raised.value


@pytest.mark.parametrize("mechanism", _MECHANISMS)
async def test_right_password_opens_the_log(broker: Broker, mechanism: str) -> None:
    """Every client of ours, whether it writes or reads, connects by TLS and SASL."""
    async with KafkaLog.open(secure(broker, mechanism=mechanism), SystemClock()) as log:
        await append_to(log, an_append(an_event("e1")))

        assert await log.checkpoint(CHANGES) == a_checkpoint(1)


@pytest.mark.parametrize("mechanism", _MECHANISMS)
async def test_wrong_password_is_one_clear_sentence(broker: Broker, mechanism: str) -> None:
    """It names the refused user, the mechanism and the settings to check, and holds no secret."""
    error = await refusal(secure(broker, mechanism=mechanism, password="a-wrong-one"))

    assert type(error) is CredentialsRefused
    assert str(error) == (
        f"Kafka at {broker.sasl_bootstrap} refused the login of user 'ann' by {mechanism}: check "
        "username, password and mechanism in log.kafka.security"
    )


async def test_certificate_that_is_not_trusted_is_named(broker: Broker) -> None:
    """The system's authorities do not know a company's own."""
    error = await refusal(secure(broker, ca_file=None))

    assert type(error) is LogMisconfigured
    assert "ca_file" in str(error)


async def test_broker_that_is_not_there_is_retried_later() -> None:
    """An address without a broker is not reported as wrong credentials."""
    clock = TurnedClock()
    opening = asyncio.ensure_future(refusal(own_settings("127.0.0.1:9"), clock))
    await turned(clock, opening.done, step_s=10, every_s=0.1)

    assert type(await opening) is LogUnavailable


async def test_missing_permission_names_the_topic(broker: Broker) -> None:
    """The operator learns which operation to grant on which topic."""
    settings = secure(broker)
    topic = Names.of(settings).event_topic(an_event(1).type)
    make_topic(broker.bootstrap, topic)
    allow_only_others_to_write(broker, topic)
    async with KafkaLog.open(settings, SystemClock()) as log:
        with pytest.raises(LogMisconfigured, match=f"{topic}.*'ann'"):
            await append_to(log, an_append(an_event("e1")))

        assert await log.checkpoint(CHANGES) is None


@pytest.mark.parametrize(
    ("kind", "suffix", "operation", "sentence"),
    [
        (ResourceType.TOPIC, "checkpoints", AclOperation.READ, "'ann'.*: grant READ on topic .*checkpoints$"),
        (ResourceType.TOPIC, "control", AclOperation.DESCRIBE, "grant DESCRIBE_CONFIGS and READ and WRITE"),
        (ResourceType.TOPIC, "control", AclOperation.DESCRIBE_CONFIGS, "grant DESCRIBE_CONFIGS on topic"),
        (ResourceType.GROUP, "ingest", AclOperation.READ, "grant Read and Describe on consumer groups"),
        (ResourceType.GROUP, "ingest", AclOperation.ALL, "grant Read and Describe on consumer groups"),
        (
            ResourceType.TRANSACTIONAL_ID,
            "ingest.trial",
            AclOperation.WRITE,
            "grant Write .* transactional id",
        ),
    ],
)
async def test_permission_that_is_missing_at_the_start_is_one_sentence(
    broker: Broker, kind: ResourceType, suffix: str, operation: AclOperation, sentence: str
) -> None:
    """Nothing is requested of Salesforce that the log could not take."""
    settings = await opened_before(broker)
    forbid(broker, kind, f"{settings.prefix}.{suffix}", operation)

    error = await refusal(settings)

    assert type(error) is LogMisconfigured
    assert re.search(sentence, str(error)), str(error)


async def test_all_that_is_missing_is_told_at_once(broker: Broker) -> None:
    """An operator can set up a locked-down cluster in one go."""
    settings = secure(broker, create_topics=False)
    forbid(broker, ResourceType.GROUP, Names.of(settings).ingest_group, AclOperation.READ)
    forbid(broker, ResourceType.TRANSACTIONAL_ID, f"{settings.prefix}.ingest.trial", AclOperation.WRITE)
    forbid(broker, ResourceType.TOPIC, Names.of(settings).control, AclOperation.DESCRIBE)

    said = str(await refusal(settings))

    assert all(f"{settings.prefix}.{name}" in said for name in ("checkpoints", "continuity", "control"))
    assert "consumer groups" in said
    assert "transactional ids" in said


async def test_start_tells_the_brokers_and_no_secret(broker: Broker) -> None:
    """Which log is in use: its brokers and its prefix, and nothing of the login."""
    kafka = await opened_before(broker)
    settings = World().plan().settings.model_copy(update={"log": LogSettings(kafka=kafka)})
    clock = SystemClock()
    with capture_logs() as logged:
        async with open_log(settings, clock, Pulses(clock)):
            pass

    (line,) = [line for line in logged if line["event"] == "log.opened"]
    opened = {"kafka": kafka.bootstrap_servers, "prefix": kafka.prefix}
    assert line == {"event": "log.opened", "log_level": "info", **opened}


async def test_event_topic_that_may_not_be_used_is_a_warning(broker: Broker) -> None:
    """A process that only delivers does not need to write."""
    settings = await opened_before(broker)
    topic = Names.of(settings).event_topic(an_event(1).type)
    make_topic(broker.bootstrap, topic)
    forbid(broker, ResourceType.TOPIC, topic, AclOperation.WRITE)
    with capture_logs() as logged:
        async with KafkaLog.open(settings, SystemClock()):
            pass

    (line,) = [line for line in logged if line["event"] == "log.permission_missing"]
    assert f"WRITE on topic {topic}" in line["reason"]


@pytest.mark.parametrize("resource", [ResourceType.GROUP, ResourceType.TOPIC])
async def test_subscriber_that_may_no_longer_read_is_told_so(broker: Broker, resource: ResourceType) -> None:
    """It does not wait for ever, as if there were no events."""
    settings = await opened_before(broker)
    topic = Names.of(settings).event_topic(an_event(1).type)
    make_topic(broker.bootstrap, topic)
    group = Names.of(settings).dispatch_group(_SUBSCRIPTION.subscriber)
    async with KafkaLog.open(settings, SystemClock()) as log:
        async with log.follow(_SUBSCRIPTION) as feed:
            await feed.read()
        forbid(broker, resource, group if resource is ResourceType.GROUP else topic, AclOperation.READ)

        with pytest.raises(LogMisconfigured, match="does not allow this action for user 'ann'"):
            await awaited(read_on(log))


@pytest.mark.parametrize(
    ("security", "expected"),
    [
        ({"password": "a-wrong-one"}, "refused the login of user 'ann' by PLAIN -> check username, password"),
        ({"ca_file": None}, "TLS with Kafka at .* failed -> check log.kafka.security.ca_file"),
    ],
)
async def test_doctor_names_a_refused_login_in_one_line(
    broker: Broker, tmp_path: Path, security: dict[str, Any], expected: str
) -> None:
    """And the password in none."""
    found = the_fault(await log_of(tmp_path, secure(broker, **security)))

    assert re.search(f"failed Kafka brokers: .*{expected}", found), found
    assert "a-wrong-one" not in found


@pytest.mark.parametrize(
    ("kind", "suffix", "operation", "expected"),
    [
        (
            ResourceType.TOPIC,
            "checkpoints",
            AclOperation.READ,
            "topics: .*'ann' .*-> grant READ on topic .*points",
        ),
        (ResourceType.GROUP, "ingest", AclOperation.READ, "groups: .*-> grant Read and Describe on consumer"),
        (
            ResourceType.TRANSACTIONAL_ID,
            "ingest.trial",
            AclOperation.WRITE,
            "groups: .*-> grant Write and Describe",
        ),
    ],
)
async def test_doctor_names_a_missing_permission_in_one_line(
    broker: Broker, tmp_path: Path, kind: ResourceType, suffix: str, operation: AclOperation, expected: str
) -> None:
    """As a start would refuse it."""
    settings = await opened_before(broker)
    forbid(broker, kind, f"{settings.prefix}.{suffix}", operation)

    found = [each for each in faults(await log_of(tmp_path, settings)) if "checkpoints: " not in each]

    assert len(found) == 1, found
    assert re.search(f"failed Kafka .*{expected}", found[0]), found


async def log_of(folder: Path, settings: KafkaLogSettings) -> Diagnosis:
    """Return the doctor's diagnosis of the log alone."""
    kafka = settings.model_dump(mode="json", exclude_unset=True)
    if settings.security.password is not None:
        kafka["security"]["password"] = settings.security.password.get_secret_value()
    return await examined(folder, sandbox_configuration("http://localhost:9", log={"kafka": kafka}), Area.LOG)


async def read_on(log: KafkaLog) -> None:
    """Read until the log raises an error."""
    async with log.follow(_SUBSCRIPTION) as feed:
        while True:
            await feed.read()


async def opened_before(broker: Broker) -> KafkaLogSettings:
    """Return settings whose internal topics exist."""
    settings = secure(broker)
    async with KafkaLog.open(settings, SystemClock()):
        return settings


def forbid(broker: Broker, kind: ResourceType, name: str, operation: AclOperation) -> None:
    """Allow Ann every operation on `name` but `operation`."""
    rights = {AclOperation.ALL: AclPermissionType.ALLOW, operation: AclPermissionType.DENY}
    add_rules(broker, *(rule(kind, name, "ann", which, right) for which, right in rights.items()))


def allow_only_others_to_write(broker: Broker, topic: str) -> None:
    """Allow another user than Ann to write to `topic`, which shuts out Ann."""
    add_rules(broker, rule(ResourceType.TOPIC, topic, "ben", AclOperation.WRITE, AclPermissionType.ALLOW))


def rule(
    kind: ResourceType, name: str, who: str, operation: AclOperation, right: AclPermissionType
) -> AclBinding:
    """Return a rule about one resource by its name."""
    return AclBinding(kind, name, ResourcePatternType.LITERAL, f"User:{who}", "*", operation, right)


def add_rules(broker: Broker, *rules: AclBinding) -> None:
    """Put rules into effect, and wait until they are."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for outcome in admin.create_acls(list(rules)).values():
        outcome.result()
    # The controller has them now; the broker, which judges, learns of them from it.
    while not all(_is_in_effect(admin, each) for each in rules):
        time.sleep(0.01)


def _is_in_effect(admin: AdminClient, rule: AclBinding) -> bool:
    wanted = AclBindingFilter(
        rule.restype,
        rule.name,
        rule.resource_pattern_type,
        rule.principal,
        rule.host,
        rule.operation,
        rule.permission_type,
    )
    return bool(admin.describe_acls(wanted).result())


async def test_wrong_password_holds_the_kafka_plugin(broker: Broker) -> None:
    """An operator must act, and no event is spent on it; the right one delivers."""
    make_topic(broker.bootstrap, "orders")
    wrong, right = secure(broker, password="wrong"), secure(broker)
    outcomes = []

    async def settled() -> Outcome | None:
        # Within the time of one attempt, a busy machine can fail to connect.
        outcome = await asyncio.to_thread(plugin.deliver, delivery())
        return None if isinstance(outcome, Retry) else outcome

    for security in (wrong.security, right.security):
        given = {"bootstrap_servers": broker.sasl_bootstrap, "topic": "orders", "timeout_s": 4.0}
        plugin = Kafka(Kafka.Settings.model_validate({**given, "security": security}), context(SystemClock()))
        with plugin:
            outcomes.append(await until(settled))

    held, delivered = outcomes
    assert isinstance(held, Hold)
    assert held.alert
    assert _PASSWORD not in repr(outcomes)
    assert isinstance(delivered, Delivered)
