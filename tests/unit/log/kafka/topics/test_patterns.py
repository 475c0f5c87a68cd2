"""Topics of event-type patterns."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.topics.specs import matching, topic_expressions
from streamer.log.patterns import wants

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
    assert tuple(matching(TOPICS, topic_expressions([pattern], TEMPLATE))) == topics


def test_patterns_that_lead_to_one_topic_give_it_once() -> None:
    """Several kinds of change of an entity are one topic."""
    patterns = ["salesforce.cdc.Account.created", "salesforce.cdc.Account.updated"]

    assert topic_expressions(patterns, TEMPLATE) == (r"^salesforce\.cdc\.Account$",)


PARTS = st.tuples(
    st.sampled_from(["cdc", "event", "topic", "generic"]),
    st.from_regex(r"[A-Za-z]\w{0,8}", fullmatch=True).filter(str.isascii),
    st.sampled_from(["", ".created", ".updated", ".gap"]),
)


@given(PARTS, st.data(), st.sampled_from([TEMPLATE, "acme-{name}", "{kind}.{name}_{kind}", "{name}"]))
def test_no_topic_of_a_matching_type_is_missed(
    parts: tuple[str, str, str], data: st.DataObject, template: str
) -> None:
    """Wherever stars stand in a pattern, every wanted event is in a subscribed topic."""
    event_type = f"salesforce.{parts[0]}.{parts[1]}{parts[2]}"
    begin = data.draw(st.integers(0, len(event_type)))
    end = data.draw(st.integers(begin, len(event_type)))
    pattern = data.draw(st.sampled_from([f"{event_type[:begin]}*{event_type[end:]}", event_type]))
    assert wants([pattern])(event_type)

    topic = Names(prefix="streamer", template=template).event_topic(event_type)
    assert any(re.match(expression, topic) for expression in topic_expressions([pattern], template))
