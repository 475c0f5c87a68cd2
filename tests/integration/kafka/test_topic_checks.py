"""Start-up checks against real brokers: refusals, created topics and warnings."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not marked so
    AdminClient,
    ConfigResource,
    NewTopic,
)
from structlog.testing import capture_logs

from streamer.clock import SystemClock
from streamer.errors import LogMisconfigured, LogUnavailable
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.log import KafkaLog
from streamer.log.kafka.topics import coordinators
from streamer.log.kafka.topics.admin import KafkaAdmin
from streamer.settings import KafkaLogSettings
from tests.contracts.test_process_records import a_record
from tests.contracts.values import an_append, an_event, append_to
from tests.integration.kafka.topics import make_topic, own_settings, wait_until_known, warm_up
from tests.waiting import LIMIT_S, limited
from tools.kafka.broker import STEADY, Broker
from tools.kafka.cluster import Cluster

_EVENT = an_event("e1")
_DAY_MS = 24 * 3_600_000


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three brokers that acknowledge a write as soon as one of them has it."""
    with Cluster(settings={"min.insync.replicas": "1"}) as cluster:
        warm_up(cluster.bootstrap)
        yield cluster


async def opened(settings: KafkaLogSettings) -> list[str]:
    """Open the log, and return the sentences of its warnings about topics."""
    with capture_logs() as logged:
        async with KafkaLog.open(settings, SystemClock()):
            pass
    return [line["reason"] for line in logged if line["event"].startswith("log.")]


def minimum(bootstrap: str, topic: str) -> str:
    """Return the number of brokers that must have a record of `topic` before it is acknowledged."""
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    value: str = admin.describe_configs([resource])[resource].result(LIMIT_S)["min.insync.replicas"].value
    return value


async def mistake(settings: KafkaLogSettings) -> str:
    """Return the error that an operator must fix, once brokers that have just started can tell."""
    while True:
        with pytest.raises((LogMisconfigured, LogUnavailable)) as raised:
            await opened(settings)
        if raised.type is LogMisconfigured:
            return str(raised.value)


async def test_broker_that_can_not_keep_what_we_need_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single broker with Kafka's defaults would make every append and every consumer wait for ever."""
    monkeypatch.setattr(coordinators, "_LAST_CALL_S", 5.0)
    factors = ("transaction.state.log.replication.factor", "offsets.topic.replication.factor")
    with Broker(settings=STEADY | dict.fromkeys(factors, "3")) as broker:
        async with limited("the mistake"):
            said = await mistake(own_settings(broker.bootstrap))

    for what, factor in zip(("transactions", "consumer groups"), factors, strict=True):
        assert f"can't serve {what}: {factor} is 3, but only 1 of the brokers answer" in said


async def test_group_that_has_owned_channels_is_not_asked_for_its_rights(
    kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question can abort the process, when a broker goes away in that moment."""
    ask, asked = KafkaAdmin.group_operations, []

    def counted(*question: Any) -> Any:
        asked.append(question)
        return ask(*question)

    monkeypatch.setattr(KafkaAdmin, "group_operations", counted)
    settings = own_settings(kafka)
    names = Names.of(settings)
    await opened(settings)
    before = len(asked)
    with closing(Consumer({"bootstrap.servers": kafka, "group.id": names.ingest_group})) as consumer:
        consumer.commit(offsets=[TopicPartition(names.checkpoints, 1, 0)], asynchronous=False)
    await opened(settings)

    assert (before, len(asked)) == (1, 1)


async def test_brokers_that_hold_nothing_for_a_moment_are_waited_for(
    kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brokers that have just started create their own topics a moment later."""
    create, failures = KafkaAdmin.create, [LogUnavailable("all brokers are currently fenced")] * 2

    def fails_at_first(*call: Any) -> None:
        if failures:
            raise failures.pop()
        create(*call)

    monkeypatch.setattr(KafkaAdmin, "create", fails_at_first)
    settings = own_settings(kafka)
    await opened(settings)

    assert not failures
    assert minimum(kafka, Names.of(settings).checkpoints)


async def test_transactions_that_may_not_take_as_long_are_refused(kafka: str) -> None:
    """The sentence names our setting and the brokers'."""
    settings = own_settings(kafka, transaction_timeout_s=100_000)

    with pytest.raises(LogMisconfigured, match=r"transaction_timeout_s .*transaction\.max\.timeout\.ms"):
        await opened(settings)


async def test_records_of_holes_that_the_broker_would_delete_are_refused(kafka: str) -> None:
    """A topic created by hand deletes its records after a week."""
    settings = own_settings(kafka)
    make_topic(kafka, Names.of(settings).continuity, retention_ms=str(7 * _DAY_MS))

    with pytest.raises(LogMisconfigured, match=r"continuity deletes records by age"):
        await opened(settings)


async def test_topic_of_processes_with_one_partition_is_refused(kafka: str) -> None:
    """The sentence has the remedy. The log opens all the same, because no event depends on the topic."""
    settings = own_settings(kafka)
    topic = Names.of(settings).processes
    make_topic(kafka, topic)

    async with KafkaLog.open(settings, SystemClock()) as log:
        with pytest.raises(LogMisconfigured, match=rf"{topic} has 1 partition.*give the topic 2 partitions"):
            await log.processes.report(a_record("one"))


async def test_event_topic_with_a_short_memory_is_warned_of_once(kafka: str) -> None:
    """The daemon starts all the same."""
    settings = own_settings(kafka)
    topic = Names.of(settings).event_topic(_EVENT.type)
    make_topic(kafka, topic, retention_ms=str(_DAY_MS))

    (sentence,) = await opened(settings)

    assert f"the retention of topic {topic} is shorter" in sentence


async def test_what_we_make_on_three_brokers_survives_the_death_of_one(cluster: Cluster) -> None:
    """Our topics and those of events need two copies for a write, though the brokers ask for less."""
    cluster.wait_until_complete()
    settings = own_settings(cluster.bootstrap, replication_factor=3)
    names = Names.of(settings)
    async with KafkaLog.open(settings, SystemClock()) as log:
        await append_to(log, an_append(_EVENT))

    assert minimum(cluster.bootstrap, names.checkpoints) == "2"
    assert minimum(cluster.bootstrap, names.event_topic(_EVENT.type)) == "2"
    assert not await opened(settings)


async def test_topics_that_one_death_would_cost_are_warned_of(cluster: Cluster) -> None:
    """Each kind of weakness is one sentence, for Streamer's topics and for an operator's."""
    cluster.wait_until_complete()
    settings = own_settings(cluster.bootstrap, replication_factor=1)
    topic = Names.of(settings).event_topic(_EVENT.type)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.create_topics([NewTopic(topic, 1, 3)])[topic].result()
    wait_until_known(cluster.bootstrap, topic, partitions=1)

    lonely, trusting = await opened(settings)

    assert f"{settings.prefix}.checkpoints" in lonely
    assert "only one broker holds" in lonely
    assert topic in trusting
    assert "min.insync.replicas=2" in trusting
