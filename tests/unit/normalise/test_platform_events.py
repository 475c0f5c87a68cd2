"""Platform event messages become events."""

import pytest

from streamer.events import Channel, Unreadable
from streamer.normalise import normaliser_for
from streamer.normalise.malformed import from_text
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


def test_channel_of_one_event_names_it() -> None:
    """Its type is the one for which a configuration is checked, whatever a message says."""
    message = order(1)
    message["data"]["event"]["EventApiName"] = "LoginEvent"
    logins = normaliser_for(Channel(org=ORG, path="/event/LoginEventStream"))

    assert events_of(logins, message)[0].type == "salesforce.event.LoginEventStream"


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


@pytest.mark.parametrize("uuid", [{"a": 1}, ["x"], 17, True, "x" * 600])
def test_uuid_of_another_form_is_unreadable(uuid: object) -> None:
    """An id goes into the checkpoint, which has to be read again."""
    message = order(1)
    message["data"]["event"]["EventUuid"] = uuid

    [piece] = READ([message])

    assert isinstance(piece, Unreadable)
    assert "EventUuid" in piece.error


@pytest.mark.parametrize(
    "created", ["0001-01-01T00:00+14:00", "1969-12-31T23:59:59Z", "10000-01-01T00:00:00Z"]
)
def test_time_that_no_clock_can_show_is_unreadable(created: str) -> None:
    """Times become timestamps of records, and parts of checkpoints."""
    [piece] = READ([order(1, CreatedDate=created)])

    assert isinstance(piece, Unreadable)


def test_event_named_like_a_gap_is_none() -> None:
    """Only change events announce gaps and deletions."""
    message = order(1)
    message["data"]["event"]["EventApiName"] = "gap"

    [event] = events_of(normaliser_for(Channel(org=ORG, path="/event/Everything__chn")), message)

    assert event.type == "salesforce.event.gap"
    assert not event.is_gap


@pytest.mark.parametrize("position", [-1, -2, 1.5, True, "5"])
def test_position_that_is_an_order_is_unreadable(position: object) -> None:
    """A checkpoint at -1 would continue at the newest event, and skip the others."""
    message = order(1)
    message["data"]["event"]["replayId"] = position

    [piece] = READ([message])

    assert isinstance(piece, Unreadable)
    assert piece.replay_id is None
