"""Names of state topics, which no other topic can have."""

import re

import pytest
from pydantic import ValidationError

from streamer.events import SubscriberName
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.topics.specs import TopicSpecs
from streamer.settings import KafkaLogSettings


def settings_of(**more: str) -> KafkaLogSettings:
    """Return settings with these names."""
    return KafkaLogSettings.model_validate({"bootstrap_servers": "kafka:9092", **more})


def test_state_topic_is_no_event_topic() -> None:
    """Readers of all events leave it out, although the template of event topics matches its name."""
    names = Names.of(settings_of())

    topic = names.state("Invoice__c")

    assert topic == "salesforce.state.Invoice__c"
    assert names.is_internal(topic)
    assert names.is_used(topic)
    assert names.event_type_stem(topic) is None
    assert any(re.match(each, topic) for each in names.internal_expressions.split(","))
    assert not names.is_state("salesforce.cdc.Account")


@pytest.mark.parametrize(
    ("topic", "state_topic", "prefix"),
    [
        ("salesforce.{kind}.{name}", "salesforce.cdc.{name}", "streamer"),
        ("salesforce.{kind}.{name}", "salesforce.cdc.v1-{name}", "streamer"),
        ("crm-{name}", "crm-{name}", "streamer"),
        ("crm-{name}", "crm-state-{name}", "streamer"),
        ("{name}-{kind}", "{name}-event", "streamer"),
        ("salesforce.{kind}.{name}", "streamer.{name}", "streamer"),
        ("salesforce.{kind}.{name}", "streamer.parked.{name}", "streamer"),
        ("salesforce.{kind}.{name}", "a.b.forwarded.{name}", "a.b"),
    ],
)
def test_state_topic_that_can_be_another_topic_is_refused(topic: str, state_topic: str, prefix: str) -> None:
    """The error names a template that works."""
    with pytest.raises(ValidationError, match=r"such as salesforce\.state\.\{name\}"):
        settings_of(topic=topic, state_topic=state_topic, prefix=prefix)


@pytest.mark.parametrize(
    ("topic", "state_topic"),
    [
        ("salesforce.{kind}.{name}", "streamer.state.{name}"),
        ("crm-{name}", "crm.state.{name}"),
        ("{kind}.{name}", "state.{name}"),
        ("{name}.{kind}", "{name}.state"),
    ],
)
def test_state_topic_of_its_own_is_accepted(topic: str, state_topic: str) -> None:
    """No name of an event can fill the difference."""
    assert settings_of(topic=topic, state_topic=state_topic).state_topic == state_topic


@pytest.mark.parametrize(
    "template", ["states", "{name}.{name}", "{kind}.{name}x", "a b.{name}", "__s.{name}"]
)
def test_state_template_needs_the_name_once(template: str) -> None:
    """Kafka would refuse the name, or two objects would share a topic."""
    with pytest.raises(ValidationError, match=r"must contain \{name\} once"):
        settings_of(state_topic=template)


def test_state_topic_is_compacted_and_read_quickly() -> None:
    """A tombstone stays for a week."""
    topic = TopicSpecs(settings=settings_of()).states("Account")

    assert topic.num_partitions == 6
    assert (topic.config or {}).items() >= {
        "cleanup.policy": "compact",
        "delete.retention.ms": "604800000",
        "segment.bytes": "16777216",
    }.items()


def test_internal_topics_are_no_state_topics() -> None:
    """A short template does not turn checkpoints into states."""
    names = Names.of(settings_of(state_topic="streamer.state.{name}"))

    assert not any(map(names.is_state, names.internal))
    assert not names.is_state(names.parked(SubscriberName("erp")))
