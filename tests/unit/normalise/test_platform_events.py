"""Platform event messages become events."""

import pytest

from streamer.events import Channel, Unreadable
from streamer.normalise import normaliser_for
from streamer.normalise.times import from_text
from tests.messages import ORDERS, ORG, events_of, order

READ = normaliser_for(ORDERS)


def test_platform_event_is_one_event() -> None:
    """Its id is the EventUuid, its type the event's name, and nothing orders it."""
    (event,) = events_of(READ, order(17, Order_No__c="A-17", Amount__c=12.5))

    assert event.id == "6f0c1d2e-0000-4000-8000-000000000017"
    assert event.type == "salesforce.event.Order_Placed__e"
    assert (event.subject, event.key) == (None, event.id)
    assert event.time == "2025-01-01T00:00:00.517Z"
    assert event.data["fields"]["Order_No__c"] == "A-17"


def test_configured_field_orders_events() -> None:
    """Events without the field fall back to their id."""
    keyed = normaliser_for(ORDERS, key="Order_No__c")

    assert events_of(keyed, order(1, Order_No__c="A-17"))[0].key == "A-17"
    assert events_of(keyed, order(1, Order_No__c=17))[0].key == "17"
    assert events_of(keyed, order(1))[0].key == events_of(keyed, order(1))[0].id


def test_event_without_uuid_is_known_by_its_position() -> None:
    """Endpoints before version 52 send none."""
    message = order(17)
    del message["data"]["event"]["EventUuid"]

    assert events_of(READ, message)[0].id == f"{ORDERS}:17"


def test_custom_channel_tells_its_events_apart() -> None:
    """EventApiName names the event, not the channel."""
    both = normaliser_for(Channel(org=ORG, path="/event/Everything__chn"))

    assert events_of(both, order(1))[0].type == "salesforce.event.Order_Placed__e"


def test_old_date_form_is_understood() -> None:
    """Before version 37 the zone was written +0000."""
    assert from_text("2025-01-01T01:00:00.5+0100") == "2025-01-01T00:00:00.500Z"


@pytest.mark.parametrize("part", ["payload", "event"])
def test_event_without_a_part_is_unreadable(part: str) -> None:
    """Position and content are both needed."""
    message = order(1)
    del message["data"][part]

    [piece] = READ([message])

    assert isinstance(piece, Unreadable)
