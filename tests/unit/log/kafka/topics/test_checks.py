"""Checks of topics: refusals and warnings."""

from dataclasses import replace

import pytest

from streamer.log.kafka.topics.admin import TopicState
from streamer.log.kafka.topics.checks import TopicChecks
from streamer.settings import KafkaLogSettings

_CHECKS = TopicChecks(KafkaLogSettings(bootstrap_servers="localhost:1"))
_COMPACT = {"cleanup.policy": "compact", "min.insync.replicas": "2"}
_FOR_EVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
_OPERATIONS = frozenset({"READ", "WRITE", "DESCRIBE_CONFIGS"})


def a_topic(name: str, *, replicas: int = 3, partitions: int = 8, **settings: str) -> TopicState:
    """Return a topic whose settings are written with underscores for dots."""
    named = {key.replace("_", "."): value for key, value in settings.items()}
    return TopicState(
        name=name, partitions=partitions, replicas=replicas, authorized_operations=_OPERATIONS, settings=named
    )


def checkpoints() -> TopicState:
    """Return the checkpoint topic with the right settings."""
    return a_topic("streamer.checkpoints", cleanup_policy="compact", min_insync_replicas="2")


def warnings(*topics: TopicState, brokers: int = 3) -> list[str]:
    """Return the sentences of the warnings about `topics`."""
    return [one.sentence for one in _CHECKS.warnings(topics, brokers=brokers)]


@pytest.mark.parametrize(
    "topic",
    [
        a_topic("streamer.checkpoints", cleanup_policy="compact,delete"),
        a_topic("streamer.dead-letters", cleanup_policy="delete"),
        a_topic("streamer.control", cleanup_policy="delete"),
        a_topic(
            "streamer.continuity", cleanup_policy="delete", retention_ms="604800000", retention_bytes="-1"
        ),
        a_topic("streamer.continuity", cleanup_policy="delete", retention_ms="-1", retention_bytes="1000000"),
        a_topic("streamer.audit", cleanup_policy="delete", retention_ms="604800000", retention_bytes="-1"),
        a_topic("streamer.receipts", cleanup_policy="compact,delete"),
        a_topic("streamer.forwarded.erp", cleanup_policy="compact", max_message_bytes="4194304"),
        a_topic("streamer.forwarded.erp", cleanup_policy="delete", max_message_bytes="2000000"),
        a_topic("streamer.parked.erp", cleanup_policy="delete"),
        a_topic("streamer.parked.erp", cleanup_policy="compact", partitions=7),
        a_topic("streamer.parked.erp", cleanup_policy="compact", max_message_bytes="600000"),
        a_topic("streamer.checkpoints", cleanup_policy="compact", partitions=7),
        a_topic("streamer.processes", cleanup_policy="delete", partitions=1),
    ],
)
def test_topic_that_would_lose_what_it_holds_is_refused(topic: TopicState) -> None:
    """The sentence names the topic and the setting to change."""
    (sentence,) = _CHECKS.refusals([topic])

    assert topic.name in sentence
    assert "set " in sentence


@pytest.mark.parametrize("settings", [_FOR_EVER, _COMPACT])
def test_records_of_holes_may_stay_in_either_way(settings: dict[str, str]) -> None:
    """Compacted, or without any limit."""
    topic = replace(a_topic("streamer.continuity"), settings=settings)

    assert not list(_CHECKS.refusals([topic]))


def test_missing_permissions_are_told_together() -> None:
    """One sentence names all topics that lack the same permissions."""
    denied = [
        replace(
            a_topic(f"streamer.{name}", cleanup_policy="compact"), authorized_operations=frozenset({"READ"})
        )
        for name in ("control", "dead-letters")
    ]

    (sentence,) = _CHECKS.refusals(denied)

    assert "grant DESCRIBE_CONFIGS and WRITE on topics streamer.control, streamer.dead-letters" in sentence


def test_settings_that_are_not_shown_are_asked_for_where_brokers_do_not_tell_permissions() -> None:
    """Without the settings, it is unknown whether checkpoints will stay."""
    (sentence,) = _CHECKS.refusals([replace(a_topic("streamer.control"), authorized_operations=None)])

    assert "grant DESCRIBE_CONFIGS on topic streamer.control" in sentence


def test_single_copy_among_many_brokers_is_unsafe() -> None:
    """Where there are brokers enough for copies, topics must have copies."""
    (sentence,) = warnings(replace(checkpoints(), replicas=1))

    assert "only one broker holds topic streamer.checkpoints, although the cluster has 3 brokers" in sentence
    assert not warnings(replace(checkpoints(), replicas=1), brokers=2)


def test_write_that_one_broker_confirms_is_unsafe() -> None:
    """That broker can die as the only holder of a record."""
    unsafe = replace(checkpoints(), settings={"cleanup.policy": "compact", "min.insync.replicas": "1"})

    (sentence,) = warnings(unsafe)

    assert "min.insync.replicas=2" in sentence
    assert not warnings(checkpoints())


@pytest.mark.parametrize(
    ("retention_h", "policy", "warned_of"),
    [(24, "delete", 1), (24, "compact,delete", 1), (24, "compact", 0), (72, "delete", 0)],
)
def test_event_topic_that_forgets_before_salesforce_does_is_warned_of(
    retention_h: int, policy: str, warned_of: int
) -> None:
    """A consumer of Salesforce can be down for 72 hours."""
    retention_ms = str(retention_h * 3_600_000)
    topic = a_topic(
        "salesforce.cdc.Account",
        cleanup_policy=policy,
        retention_ms=retention_ms,
        min_compaction_lag_ms=str(72 * 3_600_000),
    )

    assert len(warnings(topic)) == warned_of


@pytest.mark.parametrize(
    ("lag_h", "policy", "warned_of"),
    [(0, "compact", 1), (24, "compact", 1), (72, "compact", 0), (0, "delete", 0), (24, "delete", 0)],
)
def test_event_topic_that_is_compacted_early_is_warned_of(lag_h: int, policy: str, warned_of: int) -> None:
    """Compaction removes the earlier changes of a record, which a subscriber may still have to deliver."""
    topic = a_topic(
        "salesforce.cdc.Account", cleanup_policy=policy, min_compaction_lag_ms=str(lag_h * 3_600_000)
    )

    found = [each for each in _CHECKS.warnings([topic], brokers=1) if each.event == "log.compaction_early"]

    assert len(found) == warned_of
    assert all("set min.compaction.lag.ms to 259200000 or more" in each.sentence for each in found)


def test_many_topics_are_counted_rather_than_listed() -> None:
    """An org has hundreds of entities, which no log line can hold."""
    topics = [a_topic(f"salesforce.cdc.T{n}", cleanup_policy="delete", retention_ms="1") for n in range(50)]

    (sentence,) = warnings(*topics)

    assert "and 45 more" in sentence
