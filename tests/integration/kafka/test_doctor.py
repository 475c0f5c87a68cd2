"""`streamer doctor` on a real broker: each fault of the log in Kafka is one line, and nothing is changed."""

import re
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from streamer.clock import SystemClock
from streamer.doctor import Area, CheckStatus, Diagnosis
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.log import KafkaLog
from streamer.settings import KafkaLogSettings
from tests.configuration import sandbox_configuration
from tests.contracts.values import an_append, an_event, append_to
from tests.doctor import examined, faults, line, the_fault
from tests.integration.kafka.topics import make_topic, own_settings
from tests.waiting import LIMIT_S

_DAY_MS = 24 * 3_600_000
_NOBODY = "http://localhost:9"
PRINTER = {"printer": {"uses": "stdout", "on": "*"}}


def kept_in(settings: KafkaLogSettings, **more: Any) -> dict[str, Any]:
    """Return a configuration with a log in Kafka; its org is not asked."""
    kafka = settings.model_dump(mode="json", exclude_unset=True)
    return sandbox_configuration(_NOBODY, log={"kafka": {**kafka, **more}}, subscribers=PRINTER)


async def log_of(
    folder: Path, settings: KafkaLogSettings, *, timeout_s: float = 20.0, **more: Any
) -> Diagnosis:
    """Return the diagnosis of the log alone."""
    return await examined(folder, kept_in(settings, **more), Area.LOG, timeout_s=timeout_s)


def topics(address: str, settings: KafkaLogSettings) -> set[str]:
    """Return the topics under the prefix of `settings`."""
    known = AdminClient({"bootstrap.servers": address}).list_topics(timeout=LIMIT_S).topics
    return {name for name in known if name.startswith(settings.prefix)}


async def test_new_cluster_is_good_and_stays_empty(kafka: str, tmp_path: Path) -> None:
    """The first run will create the topics; the doctor creates none."""
    settings = own_settings(kafka)
    diagnosis = await log_of(tmp_path, settings)

    assert not faults(diagnosis)
    said = "\n".join(map(line, diagnosis.findings))
    assert "1 broker answers" in said
    assert "7 topics are missing; the first run creates them" in said
    assert "transactions and groups that begin with" in said
    assert not topics(kafka, settings)


async def test_log_in_use_is_good_beside_its_owner(kafka: str, tmp_path: Path) -> None:
    """The owner of the channels goes on."""
    settings = own_settings(kafka)
    async with KafkaLog.open(settings, SystemClock()) as log:
        await append_to(log, an_append(an_event(1)))
        diagnosis = await log_of(tmp_path, settings)
        await append_to(log, an_append(an_event(2), at=2))

    assert not faults(diagnosis)
    assert any("the checkpoints of 1 channel" in each.verdict.found for each in diagnosis.findings)


async def test_brokers_that_are_not_there_are_one_line(tmp_path: Path) -> None:
    """The checks that need them are skipped."""
    diagnosis = await log_of(tmp_path, own_settings("localhost:9"), timeout_s=3.0)

    found = the_fault(diagnosis)
    assert re.search(
        "failed Kafka brokers: .*localhost:9 .*Connection refused.*-> check log.kafka.bootstrap_servers",
        found,
    )
    assert [each.verdict.status for each in diagnosis.findings].count(CheckStatus.SKIPPED) == 5


@pytest.mark.parametrize(
    ("topic", "config", "expected"),
    [
        (
            "receipts",
            {"cleanup.policy": "compact"},
            "failed Kafka topics: .*receipts has .*compact.*-> set cleanup.policy to",
        ),
        (
            "continuity",
            {"retention.ms": str(_DAY_MS)},
            "failed Kafka topics: .*records by age.*-> set the topic's ",
        ),
        (
            "control",
            {"max.message.bytes": "1000"},
            "failed Kafka topics: .*at most 1000 bytes.*-> set the topic's max",
        ),
        ("checkpoints", {}, "failed Kafka topics: .*has 1 partitions, but checkpoint_partitions is 8"),
        (
            "audit",
            {"min.insync.replicas": "2", "retention.ms": "-1"},
            "failed Kafka copies: .*audit has 1 copy and min.insync.replicas=2.*-> set the topic's min",
        ),
    ],
)
async def test_topic_that_loses_records_is_one_line(
    kafka: str, tmp_path: Path, topic: str, config: dict[str, str], expected: str
) -> None:
    """Made by hand, before the first run."""
    settings = own_settings(kafka)
    policy = "delete" if topic in {"audit", "continuity", "receipts"} else "compact"
    given: dict[str, Any] = {"cleanup.policy": policy, **config}
    make_topic(kafka, f"{settings.prefix}.{topic}", **given)

    found = the_fault(await log_of(tmp_path, settings))

    assert re.search(expected, found), found


async def test_event_topic_with_a_short_memory_is_one_line(kafka: str, tmp_path: Path) -> None:
    """A warning: it loses something only while a subscriber is down."""
    settings = own_settings(kafka)
    make_topic(kafka, Names.of(settings).event_topic(an_event(1).type), retention_ms=str(_DAY_MS))

    found = the_fault(await log_of(tmp_path, settings))

    assert re.search(
        "warning Kafka topics: the retention of topic .* is shorter.*-> set retention.ms", found
    ), found


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"create_topics": False},
            "failed Kafka topics: 7 topics are missing.*-> create .*audit .1 partitions",
        ),
        ({"replication_factor": 3}, "failed Kafka copies: a new topic would have 3 copies, but only 1 of"),
        (
            {"transaction_timeout_s": 100_000},
            "failed Kafka transactions and groups: .*-> lower log.kafka.transaction_timeout_s",
        ),
    ],
)
async def test_setting_that_the_cluster_does_not_allow_is_one_line(
    kafka: str, tmp_path: Path, settings: dict[str, Any], expected: str
) -> None:
    """Before the first run, which would refuse it or wait for ever."""
    found = the_fault(await log_of(tmp_path, own_settings(kafka), **settings))

    assert re.search(expected, found), found


async def test_topic_of_a_target_that_is_missing_is_one_line(kafka: str, tmp_path: Path) -> None:
    """It is not created by asking for it."""
    settings = own_settings(kafka)
    configuration = kept_in(settings)
    for topic in (f"{settings.prefix}.there", f"{settings.prefix}.away"):
        target = {"bootstrap_servers": kafka, "topic": topic}
        configuration["subscribers"][topic[-5:].strip(".")] = {"uses": "kafka", "on": "*", "settings": target}
    make_topic(kafka, f"{settings.prefix}.there")

    found = the_fault(await examined(tmp_path, configuration, Area.SUBSCRIBERS))

    assert re.search(
        f"failed away: the cluster has no topic {settings.prefix}.away -> create the topic", found
    ), found
    assert topics(kafka, settings) == {f"{settings.prefix}.there"}
