"""Configuration of Kafka clients."""

from pathlib import Path

import pytest
from confluent_kafka import KafkaError, Producer
from structlog.testing import capture_logs

from streamer.errors import CredentialsRefused, LogMisconfigured, LogUnavailable
from streamer.log.kafka.cluster import clients as module
from streamer.log.kafka.cluster.clients import Clients, member_options
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.settings import KafkaLogSettings

_SECURE = {"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN", "username": "ann", "password": "invented"}


def clients(**settings: object) -> Clients:
    """Return clients of a broker that does not exist."""
    return Clients(settings=KafkaLogSettings.model_validate({"bootstrap_servers": "localhost:1", **settings}))


def test_setting_that_librdkafka_does_not_know_is_named() -> None:
    """A typing mistake in an option is one error at the start."""
    broken = clients(options={"linger.sm": 5})

    with pytest.raises(LogMisconfigured, match=r"linger\.sm"):
        broken.producer(KafkaErrors(broken.settings), {})


def test_setting_that_exactly_once_rests_on_is_refused() -> None:
    """An operator can't switch off the log's guarantees by an option."""
    broken = clients(options={"isolation.level": "read_uncommitted", "client.rack": "a"})

    with pytest.raises(LogMisconfigured, match=r"must not set isolation\.level"):
        broken.admin(KafkaErrors(broken.settings))


@pytest.mark.parametrize(
    ("option", "instead"),
    [
        ("acks", "exactly-once"),
        ("auto.offset.reset", "start in a channel or a subscriber"),
        ("enable.idempotence", "exactly-once"),
        ("enable.ssl.certificate.verification", "log.kafka.security.ca_file"),
        ("group.id", "log.kafka.prefix"),
        ("isolation.level", "exactly-once"),
        ("plugin.library.paths", "must not load code"),
        ("sasl.mechanisms", "log.kafka.security.mechanism"),
        ("sasl.oauthbearer.config", "log.kafka.security"),
        ("security.protocol", "log.kafka.security.protocol"),
        ("ssl.ca.location", "log.kafka.security.ca_file"),
        ("ssl.endpoint.identification.algorithm", "log.kafka.security"),
        ("transactional.id", "log.kafka.prefix"),
    ],
)
def test_option_that_undoes_a_section_is_refused_with_the_key_to_use(option: str, instead: str) -> None:
    """Whatever its value is."""
    broken = clients(options={option: "x", "client.rack": "a"})

    with pytest.raises(LogMisconfigured, match=rf"must not set {option} \(.*{instead}"):
        broken.admin(KafkaErrors(broken.settings))
    assert broken.refused_options() == {}


def test_each_refused_option_is_named_as_it_was_written() -> None:
    """Librdkafka calls some by another name."""
    refused = clients(options={"linger.sm": 5, "linger.ms": "soon", "client.rack": "a"}).refused_options()

    assert refused.keys() == {"linger.sm", "linger.ms"}
    assert refused["linger.sm"] == 'No such configuration property: "linger.sm"'


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"session_timeout_s": 5000}, "session.timeout.ms"),
        ({"transaction_timeout_s": 0.1}, "transaction.timeout.ms"),
        ({"security": {"protocol": "SSL", "ca_file": "/absent.pem"}}, "ssl.ca.location"),
        ({"options": {"fetch.max.bytes": 1}}, "fetch.max.bytes"),
    ],
)
def test_settings_are_verified_without_a_connection(settings: dict[str, object], reason: str) -> None:
    """By clients that know no brokers."""
    with pytest.raises(LogMisconfigured, match=reason):
        clients(**settings).verify()


def test_good_settings_are_verified() -> None:
    """And nothing is asked of the brokers."""
    with capture_logs() as logged:
        clients(options={"client.rack": "a"}).verify()

    assert [line for line in logged if line["log_level"] != "debug"] == []


def test_missing_certificate_authority_is_named(tmp_path: Path) -> None:
    """A wrong path is reported at the start, before anything connects."""
    security = {**_SECURE, "protocol": "SASL_SSL", "ca_file": tmp_path / "absent.pem"}
    broken = clients(security=security)

    with pytest.raises(LogMisconfigured, match=r"ssl\.ca\.location"):
        broken.admin(KafkaErrors(broken.settings))


@pytest.mark.parametrize(
    ("told", "error"),
    [
        (KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), LogMisconfigured),
        (KafkaError(KafkaError.SASL_AUTHENTICATION_FAILED), CredentialsRefused),
        (
            KafkaError(KafkaError.INVALID_REPLICATION_FACTOR, "only 1 broker(s) are registered"),
            LogMisconfigured,
        ),
        (
            KafkaError(KafkaError.INVALID_REPLICATION_FACTOR, "All brokers are currently fenced."),
            LogUnavailable,
        ),
        (KafkaError(KafkaError.REQUEST_TIMED_OUT), LogUnavailable),
    ],
)
def test_error_says_who_must_act(told: KafkaError, error: type[Exception]) -> None:
    """An error that no retry can help stops the channel; every other is retried."""
    errors = KafkaErrors(clients().settings)

    explained = errors.explain(told, doing="appending to", subject="topic t")

    assert type(explained) is error


def test_reason_of_a_timeout_is_told() -> None:
    """The call knows only that time ran out; a background thread knows that the password is wrong."""
    errors = KafkaErrors(clients(security=_SECURE).settings)
    errors.note(KafkaError(KafkaError._AUTHENTICATION, "Invalid username or password"))

    explained = errors.explain(KafkaError(KafkaError._TIMED_OUT), doing="listing", subject="topics")

    assert isinstance(explained, CredentialsRefused)
    assert "'ann'" in str(explained)
    assert "invented" not in str(explained)


def test_trouble_is_logged_once_until_it_changes() -> None:
    """A broker that is down for an hour does not fill the disk with log lines."""
    errors = KafkaErrors(clients().settings)
    down = KafkaError(KafkaError._TRANSPORT, "Connection refused")
    with capture_logs() as logged:
        for _ in range(100):
            errors.note(down)
        errors.clear()
        errors.note(down)

    assert [line["event"] for line in logged] == ["kafka.failing", "kafka.failing"]


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_records_are_compressed_as_configured(monkeypatch: pytest.MonkeyPatch, compression: str) -> None:
    """By every producer, and librdkafka knows them all."""
    made: list[dict[str, object]] = []

    def producer(configuration: dict[str, object], **options: object) -> Producer:
        made.append(configuration)
        return Producer(configuration, **options)

    monkeypatch.setattr(module, "Producer", producer)
    clients(compression=compression).verify()
    clients().verify()

    assert [each["compression.type"] for each in made] == [compression, "lz4"]


@pytest.mark.parametrize(
    ("settings", "hand_over_s", "limit_ms"),
    [
        ({}, 0.0, 60_000),
        ({}, 25.0, 85_000),
        ({"session_timeout_s": 120}, 0.0, 120_000),
        ({"options": {"max.poll.interval.ms": 30_000}}, 25.0, 30_000),
    ],
)
def test_group_waits_briefly_for_member(
    settings: dict[str, object], hand_over_s: float, limit_ms: int
) -> None:
    """By librdkafka's default, one lost answer of a broker stops a member for five minutes."""
    made = clients(**settings)

    options = member_options(made.settings, heartbeats=6, hand_over_s=hand_over_s)

    assert options["max.poll.interval.ms"] == limit_ms
    made.consumer(KafkaErrors(made.settings), {**options, "group.id": "shipment"}).close()
