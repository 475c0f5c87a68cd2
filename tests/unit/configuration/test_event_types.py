"""Patterns that match no event are refused, with the nearest pattern that does."""

import pytest

from streamer.configuration.event_types import KINDS, Carried
from streamer.normalise.changes import _KIND
from tests.unit.configuration.conftest import GOOD, Write, told_of

CHANGES = "/data/ChangeEvents"
ORDERS = "/event/Order_Placed__e"
TOPIC, GENERIC = "/topic/OpenInvoices", "/u/notifications/Demo"
FILTERED = f"\"{TOPIC}?Status__c='Open'&Region__c='North'\""


def told(write: Write, channels: str, on: str) -> str:
    """Return the mistakes of a subscriber to `on` without the place, and nothing for a good one."""
    text = GOOD.replace("[/data/ChangeEvents]", f"[{channels}]")
    return told_of(write(text.replace("salesforce.cdc.Opportunity.updated", on)))


@pytest.mark.parametrize(
    ("channels", "on", "nearest"),
    [
        (CHANGES, "Opportunity", "salesforce.cdc.Opportunity.*"),
        (CHANGES, "salesforce.cdc.Opportunity", "salesforce.cdc.Opportunity.*"),
        (CHANGES, "salesforce.cdc.Opportunity.update", "salesforce.cdc.Opportunity.updated"),
        (CHANGES, "opportunity.updated", "salesforce.cdc.Opportunity.updated"),
        (CHANGES, "'salesforce.cdc.*.crated'", "salesforce.cdc.*.created"),
        (ORDERS, "Order_Placed__e", "salesforce.event.Order_Placed__e"),
        (f"{CHANGES}, {ORDERS}", "salesforce.Order_Placed__e", "salesforce.event.Order_Placed__e"),
        (TOPIC, "salesforce.topic.OpenInvoices", "salesforce.topic.OpenInvoices.*"),
        (TOPIC, "salesforce.topic.OpenInvoices.update", "salesforce.topic.OpenInvoices.updated"),
        (GENERIC, "notifications_Demo", "salesforce.generic.notifications_Demo"),
    ],
)
def test_pattern_that_no_type_has_is_refused(write: Write, channels: str, on: str, nearest: str) -> None:
    """With the right one."""
    message = told(write, channels, on)

    assert message.startswith("8: subscribers.sales.on: found '")
    assert f"matches no event type; did you mean {nearest}? " in message


@pytest.mark.parametrize(
    ("channels", "on", "advice"),
    [
        (CHANGES, "salesforce.event.Order_Placed__e", "add the channel /event/Order_Placed__e"),
        (ORDERS, "salesforce.event.Order_Placed", "write salesforce.event.Order_Placed__e"),
        (
            "/data/AccountChangeEvent",
            "salesforce.cdc.Contact.updated",
            "add the channel /data/ContactChangeEvent, or write salesforce.cdc.Account.updated",
        ),
        (ORDERS, "salesforce.cdc.Bill__c.updated", "add the channel /data/Bill__ChangeEvent"),
        (ORDERS, "salesforce.event.LoginEventStream", "add the channel /event/LoginEventStream"),
        (CHANGES, "salesforce.topic.OpenInvoices.created", "add the channel /topic/OpenInvoices"),
        (CHANGES, "salesforce.generic.Demo", "add the channel /u/Demo"),
        (TOPIC, "salesforce.topic.OpenInvoice.created", "write salesforce.topic.OpenInvoices.created"),
        (GENERIC, "salesforce.generic.Demo", "write salesforce.generic.notifications_Demo"),
    ],
)
def test_type_that_no_channel_carries_is_refused(write: Write, channels: str, on: str, advice: str) -> None:
    """The subscriber would wait for ever."""
    message = told(write, channels, on)

    assert message.startswith(f"8: subscribers.sales.on: found '{on}', which no channel carries; ")
    assert advice in message


@pytest.mark.parametrize(
    ("channels", "on"),
    [
        (CHANGES, "'*'"),
        (CHANGES, "'*.updated'"),
        (CHANGES, "'salesforce.*.gap'"),
        (CHANGES, "'salesforce.cdc.Opp*ed'"),
        (CHANGES, "'s*e.c*c.*x*y*'"),
        (ORDERS, "'salesforce.event.*'"),
        ("/event/Any__chn", "salesforce.event.Order_Placed__e"),
        ("/data/Some__chn", "salesforce.cdc.Contact.updated"),
        ("/data/Bill__ChangeEvent", "salesforce.cdc.Bill__c.created"),
        ("/event/Security__chn", "salesforce.event.LoginEventStream"),
        ("/event/LoginEventStream", "salesforce.event.LoginEventStream"),
        (TOPIC, "salesforce.topic.OpenInvoices.undeleted"),
        (FILTERED, "'salesforce.topic.*.created'"),
        (GENERIC, "'salesforce.generic.notifications_*'"),
        (GENERIC, "'salesforce.*'"),
    ],
)
def test_pattern_that_can_match_is_good(write: Write, channels: str, on: str) -> None:
    """However it is written."""
    assert told(write, channels, on) == ""


def test_each_pattern_of_a_list_is_looked_at(write: Write) -> None:
    """And named by its position."""
    message = told(write, CHANGES, "['*', Contact]")

    assert message.startswith("8: subscribers.sales.on.1: found 'Contact', which matches no event type")


def test_channel_within_another_is_refused(write: Write) -> None:
    """Both carry the event, under one id."""
    message = told(write, f"/data/AccountChangeEvent, {CHANGES}", "'*'")

    assert message == (
        "4: channels.0: /data/ChangeEvents also carries the events of /data/AccountChangeEvent, so the log "
        "would hold these events twice: remove one of the channels"
    )


def test_push_topic_is_read_once(write: Write) -> None:
    """Two filters can let the same notification through."""
    message = told(write, f"{FILTERED}, {TOPIC}", "'*'")

    assert message.startswith(
        "4: channels.1: /topic/OpenInvoices?Status__c='Open'&Region__c='North' already reads "
    )
    assert "combine the filters with &" in message


def test_mistaken_channel_is_no_reason_to_doubt_the_patterns(write: Write) -> None:
    """It can be the one that carries the type."""
    message = told(write, f"/dta/ContactChangeEvent, {ORDERS}", "salesforce.cdc.Contact.updated")

    assert message.count("\n") == 0
    assert "channels.0" in message


def test_types_are_those_that_messages_become() -> None:
    """A kind of change that the normaliser does not know can't be waited for."""
    assert set(KINDS) == set(_KIND.values())


def test_custom_object_has_its_own_name() -> None:
    """Its channel leaves the last letter out."""
    assert Carried.by("/data/Bill__ChangeEvent").name == "Bill__c"
