"""Names in Kafka."""

import re

import pytest

from streamer.events import SubscriberName
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.topic_naming import TopicNaming

STATES = "salesforce.state.{name}"

_NAMES = Names(
    prefix="acme",
    naming=TopicNaming(template="salesforce.{kind}.{name}"),
    state_template="salesforce.state.{name}",
)


@pytest.mark.parametrize(
    ("event_type", "topic"),
    [
        ("salesforce.cdc.Account.updated", "salesforce.cdc.Account"),
        ("salesforce.cdc.Account.gap", "salesforce.cdc.Account"),
        ("salesforce.event.Order_Placed__e", "salesforce.event.Order_Placed__e"),
        ("salesforce.topic.OpenInvoices.created", "salesforce.topic.OpenInvoices"),
        ("salesforce.generic.notifications_Demo", "salesforce.generic.notifications_Demo"),
    ],
)
def test_changes_of_an_entity_share_a_topic(event_type: str, topic: str) -> None:
    """The topic's name does not contain the kind of change, so a record's order is kept."""
    assert _NAMES.event_topic(event_type) == topic


def test_topic_follows_the_template() -> None:
    """An operator's own naming scheme is used for every event topic."""
    names = Names(
        prefix="acme", naming=TopicNaming(template="crm-{name}-v1"), state_template="salesforce.state.{name}"
    )

    assert names.event_topic("salesforce.cdc.Account.created") == "crm-Account-v1"
    assert names.event_type_stem("crm-Account-v1") == "salesforce.*.Account"


def test_strange_type_gives_a_name_that_kafka_takes() -> None:
    """A foreign type can't name a topic that Kafka would refuse."""
    topic = _NAMES.event_topic("salesforce.generic.a/b c" + "x" * 300)

    assert topic.startswith("salesforce.generic.a_b_c")
    assert len(topic) == 249


def test_event_topics_are_told_from_internal_ones() -> None:
    """A template that matches everything does not turn checkpoints into events."""
    names = Names(
        prefix="acme", naming=TopicNaming(template="{kind}.{name}"), state_template="salesforce.state.{name}"
    )

    assert names.event_type_stem("cdc.Account") == "salesforce.cdc.Account"
    assert names.event_type_stem(names.checkpoints) is None
    assert names.is_internal(names.parked(SubscriberName("erp")))
    assert names.event_type_stem("unrelated") is None


def test_everything_begins_with_the_prefix() -> None:
    """Two prefixes on one cluster share no name."""
    named = {
        *_NAMES.internal,
        _NAMES.ingest_group,
        _NAMES.ingest_transactions(3),
        _NAMES.dispatch_group(SubscriberName("erp")),
        _NAMES.parked(SubscriberName("erp")),
    }

    assert all(name.startswith("acme.") for name in named)
    assert len(named) == 10


def test_expressions_fit_all_topics_of_our_own_and_no_others() -> None:
    """A consumer that finds event topics by pattern must not read internal ones."""
    names = Names(
        prefix="a.b", naming=TopicNaming(template="{kind}.{name}"), state_template="salesforce.state.{name}"
    )
    expressions = names.internal_expressions.split(",")

    def fits(topic: str) -> bool:
        return any(re.match(expression, topic) for expression in expressions)

    assert all(map(fits, [*names.internal, names.parked(SubscriberName("erp"))]))
    assert not any(map(fits, ["a.b.controls", "a.b.cdc.Account", "axb.control", "a.b.parked"]))


def test_versions_of_a_topic_have_its_types_and_their_order() -> None:
    """Version 10 was written after version 9."""
    names = Names(
        prefix="acme",
        naming=TopicNaming(template="salesforce.{kind}.{name}", has_versions=True),
        state_template=STATES,
    )
    first = "salesforce.cdc.Account"
    topics = [f"{first}.v10", f"{first}.v9", first, f"{first}.v2x", f"{first}Plan__c"]

    assert names.versions_of(first, topics) == [first, f"{first}.v9", f"{first}.v10"]
    assert names.event_type_stem(f"{first}.v10") == first
    assert _NAMES.event_type_stem(f"{first}.v10") is None
    assert _NAMES.versions_of(first, topics) == [first]
