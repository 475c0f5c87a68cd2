"""PushTopic notifications become events."""

from typing import Any

import pytest

from streamer.events import Channel, Event, Unreadable
from streamer.normalise import normaliser_for
from tests.messages import ORG, events_of

PATH = "/topic/OpenInvoices"
READ = normaliser_for(Channel(org=ORG, path=PATH))


def notification(replay_id: Any = 13, *, change: Any = "created", **sobject: Any) -> dict[str, Any]:
    """Return a notification as CometD carries it."""
    return {
        "channel": PATH,
        "data": {
            "event": {"createdDate": "2025-01-01T00:00:00.173Z", "replayId": replay_id, "type": change},
            "sobject": {"Id": "a00AB00000TEST1YAA", "Status__c": "Open", **sobject},
        },
    }


def test_notification_is_the_event_of_a_record() -> None:
    """Its type names the topic and the change; the record orders it."""
    (event,) = events_of(READ, notification(Name=None))

    assert event.type == "salesforce.topic.OpenInvoices.created"
    assert (event.subject, event.key) == ("a00AB00000TEST1YAA", "a00AB00000TEST1YAA")
    assert (event.time, event.replay_id) == ("2025-01-01T00:00:00.173Z", b"13")
    assert event.data == {
        "record_id": "a00AB00000TEST1YAA",
        "entity": "OpenInvoices",
        "change": "created",
        "fields": {"Id": "a00AB00000TEST1YAA", "Status__c": "Open", "Name": None},
    }


def test_filter_does_not_name_the_event() -> None:
    """The same notification read with another filter has the same id."""
    path = f"{PATH}?Status__c='Open'"
    filtered = events_of(normaliser_for(Channel(org=ORG, path=path)), notification())[0]
    whole = events_of(READ, notification())[0]

    assert (filtered.id, filtered.type) == (whole.id, whole.type)
    assert filtered.channel == path


def test_notifications_that_share_a_replay_id_have_ids_of_their_own() -> None:
    """Otherwise one of them would be left out as a repetition."""
    events = events_of(
        READ,
        notification(Id="a00AB00000TEST1YAA"),
        notification(Id="a00AB00000TEST2YAA"),
        notification(Id="a00AB00000TEST2YAA", change="updated"),
    )

    assert len({event.id for event in events}) == 3


def test_deletion_is_known_as_one() -> None:
    """It looks like a change event's; a topic of such a name does not make a deletion."""
    (event,) = events_of(READ, notification(change="deleted"))
    deleted = normaliser_for(Channel(org=ORG, path="/topic/deleted"))

    assert event.is_deletion
    assert not events_of(deleted, notification())[0].is_deletion


@pytest.mark.parametrize("record_id", [None, "", 17, ["a00"], {"a": 1}, "a" * 256])
def test_notification_without_a_record_id_is_an_event_without_a_key(record_id: Any) -> None:
    """The query of a topic can leave it out."""
    (event,) = events_of(READ, notification(Id=record_id))

    assert (event.subject, event.key) == (None, event.id)


def test_old_form_of_times_is_understood() -> None:
    """Before version 37 the zone was written +0000."""
    message = notification()
    message["data"]["event"]["createdDate"] = "2025-01-01T00:00:00.173+0000"

    assert events_of(READ, message)[0].time == "2025-01-01T00:00:00.173Z"


@pytest.mark.parametrize("sobject", [None, "text", ["Id"], 17])
def test_notification_without_fields_is_unreadable(sobject: Any) -> None:
    """It keeps its place all the same."""
    message = notification()
    message["data"]["sobject"] = sobject

    [piece] = READ([message])

    assert isinstance(piece, Unreadable)
    assert piece.replay_id == b"13"


@pytest.mark.parametrize("change", [None, "", "cre.ated", "x y", 17, ["created"], "c" * 256])
def test_notification_of_no_known_change_is_unreadable(change: Any) -> None:
    """It would have a type that no pattern can match."""
    [piece] = READ([notification(change=change)])

    assert isinstance(piece, Unreadable)


@pytest.mark.parametrize(
    "message", [None, 17, "text", [], {}, {"data": None}, {"data": "text"}, {"data": {}}]
)
def test_anything_else_costs_only_itself(message: Any) -> None:
    """The notifications around it are events."""
    read = READ([notification(1), message, notification(2)])

    assert [type(each) for each in read] == [Event, Unreadable, Event]
