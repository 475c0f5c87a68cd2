"""Names of event topics, and the topics of event-type patterns."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.topic_naming import TopicNaming, matching
from streamer.log.patterns import wants
from streamer.settings import KafkaLogSettings

TEMPLATE = "salesforce.{kind}.{name}"

TOPICS = (
    "salesforce.cdc.Account",
    "salesforce.cdc.AccountPlan__c",
    "salesforce.cdc.Opportunity",
    "salesforce.event.Order_Placed__e",
    "salesforce.event.Account",
    "__consumer_offsets",
    "streamer.dead-letters",
)


@pytest.mark.parametrize(
    ("pattern", "topics"),
    [
        ("salesforce.cdc.Account.updated", TOPICS[:1]),
        ("salesforce.cdc.Account.*", TOPICS[:1]),
        ("salesforce.cdc.Account*", TOPICS[:2]),
        ("salesforce.cdc.*.updated", TOPICS[:3]),
        ("salesforce.cdc.*", TOPICS[:3]),
        ("salesforce.event.Order_Placed__e", TOPICS[3:4]),
        ("salesforce.*.Account", TOPICS[:5]),
        ("sales*", TOPICS[:5]),
        ("*", TOPICS[:5]),
        ("*.created", TOPICS[:5]),
        ("salesforce.c*", TOPICS[:3]),
        ("salesforce", ()),
        ("salesforce.cdc", ()),
        ("hubspot.*", ()),
        ("salesforce.cdc.Acc-ount.updated", ()),
    ],
)
def test_a_pattern_gives_the_topics_that_can_hold_its_types(pattern: str, topics: Sequence[str]) -> None:
    """A subscriber's consumer reads no other topic."""
    assert tuple(matching(TOPICS, TopicNaming(template=TEMPLATE).expressions([pattern]))) == topics


def test_patterns_that_lead_to_one_topic_give_it_once() -> None:
    """Several kinds of change of an entity are one topic."""
    patterns = ["salesforce.cdc.Account.created", "salesforce.cdc.Account.updated"]

    assert TopicNaming(template=TEMPLATE).expressions(patterns) == (r"^salesforce\.cdc\.Account$",)


PARTS = st.tuples(
    st.sampled_from(["cdc", "event", "topic", "generic"]),
    st.from_regex(r"[A-Za-z]\w{0,8}", fullmatch=True).filter(str.isascii),
    st.sampled_from(["", ".created", ".updated", ".gap"]),
)


NAMINGS = (
    *(TopicNaming(template=each) for each in (TEMPLATE, "acme-{name}", "{kind}.{name}_{kind}", "{name}")),
    TopicNaming(template=TEMPLATE, is_lower=True),
    TopicNaming(template=TEMPLATE, templates={"cdc": "sfdc.{name}ChangeEvent", "event": "sfdc-raw"}),
    TopicNaming(template="x.{name}", templates={"cdc": "Y.{name}"}, is_lower=True),
    TopicNaming(template=TEMPLATE, names={f"cdc.{name}": f"crm.{name}" for name in "ABCDEFabcdef"}),
)


@given(PARTS, st.data(), st.sampled_from(NAMINGS))
def test_no_topic_of_a_matching_type_is_missed(
    parts: tuple[str, str, str], data: st.DataObject, naming: TopicNaming
) -> None:
    """Wherever stars stand in a pattern, every wanted event is in a subscribed topic."""
    event_type = f"salesforce.{parts[0]}.{parts[1]}{parts[2]}"
    begin = data.draw(st.integers(0, len(event_type)))
    end = data.draw(st.integers(begin, len(event_type)))
    pattern = data.draw(st.sampled_from([f"{event_type[:begin]}*{event_type[end:]}", event_type]))
    assert wants([pattern])(event_type)

    topic = naming.topic(event_type)
    assert any(re.match(expression, topic) for expression in naming.expressions([pattern]))


@given(PARTS, st.sampled_from(NAMINGS))
def test_way_back_from_a_topic_leads_to_its_types(parts: tuple[str, str, str], naming: TopicNaming) -> None:
    """The prefix that is found matches the type, apart from the case where names are in lower case."""
    event_type = f"salesforce.{parts[0]}.{parts[1]}{parts[2]}"

    stem = naming.stem(naming.topic(event_type))

    assert stem is not None
    fold = str.lower if naming.is_lower else str
    assert wants([f"{stem}*"])(event_type) or wants([f"{fold(stem)}*"])(fold(event_type))


def named(**settings: Any) -> Names:
    """Return the names of a log with these settings."""
    return Names.of(KafkaLogSettings.model_validate({"bootstrap_servers": "localhost:1", **settings}))


CONFLUENT = named(
    topics={"cdc": "sfdc.{name}ChangeEvent", "event": "sfdc-events"},
    topic_names={"cdc.Account": "crm-Accounts", "topic.Open": "open"},
    topic_case="lower",
)


@pytest.mark.parametrize(
    ("event_type", "topic", "stem"),
    [
        ("salesforce.cdc.Contact.updated", "sfdc.contactchangeevent", "salesforce.cdc.contact"),
        ("salesforce.cdc.Account.gap", "crm-Accounts", "salesforce.cdc.Account"),
        ("salesforce.event.Order_Placed__e", "sfdc-events", "salesforce.event.*"),
        ("salesforce.topic.Open.created", "open", "salesforce.topic.Open"),
        ("salesforce.generic.Demo", "salesforce.generic.demo", "salesforce.generic.demo"),
    ],
)
def test_former_connectors_names_can_be_kept(event_type: str, topic: str, stem: str) -> None:
    """By a template for a kind, by a name for one topic, and in lower case."""
    assert CONFLUENT.event_topic(event_type) == topic
    assert CONFLUENT.event_type_stem(topic) == stem


@pytest.mark.parametrize(
    "topic",
    ["sfdc.ContactChangeEvent", "sfdc.contact", "salesforce.cdc.contact", "crm-accounts", "sfdc-event"],
)
def test_other_topics_are_foreign(topic: str) -> None:
    """A topic of the former template, or in another case, is not one of Streamer's."""
    assert CONFLUENT.event_type_stem(topic) is None
    assert not list(matching([topic], CONFLUENT.naming.expressions(["*"])))


@pytest.mark.parametrize(
    ("pattern", "topics"),
    [
        ("salesforce.cdc.Account.*", {"crm-Accounts", "sfdc.accountchangeevent"}),
        ("salesforce.cdc.Con*", {"sfdc.contactchangeevent"}),
        ("salesforce.event.Order_Placed__e", {"sfdc-events"}),
        ("salesforce.generic.*", {"salesforce.generic.demo"}),
        (
            "*.created",
            {
                "crm-Accounts",
                "sfdc.accountchangeevent",
                "sfdc.contactchangeevent",
                "sfdc-events",
                "open",
                "salesforce.generic.demo",
            },
        ),
    ],
)
def test_subscriber_reads_the_topics_of_its_types_only(pattern: str, topics: set[str]) -> None:
    """Also the topic that the template gives to a named entity, in which older events can be left."""
    there = [
        "crm-Accounts",
        "sfdc.accountchangeevent",
        "sfdc.contactchangeevent",
        "sfdc-events",
        "open",
        "salesforce.generic.demo",
        "salesforce.cdc.contact",
        "streamer.control",
        "elsewhere",
    ]

    assert set(matching(there, CONFLUENT.naming.expressions([pattern]))) == topics


@pytest.mark.parametrize(
    ("settings", "place", "told"),
    [
        (
            {"topics": {"cdc": "sfdc.{name}", "event": "sfdc.x{name}"}},
            "topics.event",
            "a topic can have a name by this template and by log.kafka.topics.cdc",
        ),
        ({"topic": "sfdc.{name}", "topics": {"cdc": "sfdc.raw"}}, "topics.cdc", "and by log.kafka.topic:"),
        ({"topics": {"cdc": "{name}-v1", "event": "{name}_b-v1"}}, "topics.event", "different beginnings"),
        (
            {"topics": {"cdc": "SFDC.{name}", "event": "sfdc.a{name}"}, "topic_case": "lower"},
            "topics.event",
            "different beginnings",
        ),
        ({"topics": {"cdc": "streamer.control"}}, "topics.cdc", "a topic of Streamer's own"),
        ({"topic_names": {"cdc.A": "streamer.parked.x"}}, "topic_names.cdc.A", "a topic of Streamer's own"),
        (
            {"topic_names": {"cdc.A": "crm", "cdc.B": "crm"}},
            "topic_names.cdc.B",
            "crm is also the topic of cdc.A: choose another name, or let all events of the kind share",
        ),
        (
            {"topic_names": {"cdc.A": "salesforce.cdc.B"}},
            "topic_names.cdc.A",
            "can also be the topic of cdc.B, by log.kafka.topic",
        ),
        (
            {"topics": {"event": "raw"}, "topic_names": {"cdc.A": "raw"}},
            "topic_names.cdc.A",
            "by log.kafka.topics.event",
        ),
    ],
)
def test_names_that_stand_for_two_things_are_refused(settings: dict[str, Any], place: str, told: str) -> None:
    """At the key of the later one, with a remedy."""
    names = named(**settings)

    [(keys, sentence)] = names.naming.mistakes(names.is_internal)

    assert ".".join(keys) == place
    assert told in sentence


@pytest.mark.parametrize(
    "settings",
    [
        {"topics": {"cdc": "sfdc.{name}", "event": "sfdc.{name}"}},
        {"topics": {"cdc": "sfdc.{name}"}, "topic_names": {"cdc.A": "sfdc.A", "cdc.B": "crm-b"}},
        {"topics": {"cdc": "sfdc.cdc.raw", "event": "sfdc.event.raw"}},
        {"topic": "{name}", "topics": {"cdc": "sfdc.{name}"}},
    ],
)
def test_names_that_stand_for_one_thing_are_accepted(settings: dict[str, Any]) -> None:
    """Kinds with the same template share their topics, as with `topic` alone."""
    names = named(**settings)

    assert not list(names.naming.mistakes(names.is_internal))


def test_later_versions_of_a_topic_are_read_where_schemas_are_used() -> None:
    """After an incompatible schema, events are in a topic of the next version; others have no versions."""
    plain, versioned = TopicNaming(template=TEMPLATE), TopicNaming(template=TEMPLATE, has_versions=True)
    topics = ["salesforce.cdc.Account", "salesforce.cdc.Account.v2", "salesforce.cdc.Account.view"]

    assert list(matching(topics, versioned.expressions(["salesforce.cdc.*"]))) == topics[:2]
    assert list(matching(topics, plain.expressions(["salesforce.cdc.*"]))) == topics[:1]
