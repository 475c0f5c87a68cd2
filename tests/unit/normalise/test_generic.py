"""Generic streaming messages become events."""

from typing import Any

import pytest

from streamer.events import Channel, Event, Unreadable
from streamer.normalise import normaliser_for
from tests.messages import ORG, events_of

DEMO = Channel(org=ORG, path="/u/notifications/Demo")
READ = normaliser_for(DEMO)


def generic(replay_id: Any = 55, payload: Any = "any string") -> dict[str, Any]:
    """Return a message as CometD carries it."""
    return {
        "channel": DEMO.path,
        "clientId": "4k1d1uv9ig2tfxdh9weak",
        "data": {
            "event": {"createdDate": "2025-01-01T00:00:00.334Z", "replayId": replay_id},
            "payload": payload,
        },
    }


def test_message_is_one_event() -> None:
    """Its id is its position, its type the channel's name, and nothing orders it."""
    (event,) = events_of(READ, generic())

    assert event.id == f"{DEMO}:55"
    assert event.type == "salesforce.generic.notifications_Demo"
    assert (event.subject, event.key) == (None, event.id)
    assert event.time == "2025-01-01T00:00:00.334Z"
    assert event.data == {"entity": "notifications_Demo", "payload": "any string"}


@pytest.mark.parametrize("payload", ["", None, 17, {"a": [1]}, ["x"], '{"a": 1}'])
def test_payload_stays_as_it_was_sent(payload: Any) -> None:
    """Text that looks like JSON too."""
    assert events_of(READ, generic(payload=payload))[0].data["payload"] == payload


@pytest.mark.parametrize(
    ("payload", "key"),
    [
        ('{"order": "A-17"}', "A-17"),
        ({"order": 17}, "17"),
        ('{"order": null}', None),
        ('["order"]', None),
        ("order A-17", None),
        ('{"order": ', None),
        (17, None),
    ],
)
def test_member_of_a_payload_in_json_orders_messages(payload: Any, key: str | None) -> None:
    """The others are ordered by nothing."""
    (event,) = events_of(normaliser_for(DEMO, key="order"), generic(payload=payload))

    assert event.key == (event.id if key is None else key)


@pytest.mark.parametrize(
    "data",
    [
        None,
        "text",
        {"payload": "x"},
        {"event": {"replayId": 5}, "payload": "x"},
        {"event": {"replayId": 5, "createdDate": "2025-01-01T00:00:00.334Z"}},
        {"event": {"replayId": -1, "createdDate": "2025-01-01T00:00:00.334Z"}, "payload": "x"},
        {"event": {"replayId": 5, "createdDate": 17}, "payload": "x"},
    ],
)
def test_anything_else_costs_only_itself(data: Any) -> None:
    """The messages around it are events."""
    read = READ([generic(1), {"channel": DEMO.path, "data": data}, generic(2)])

    assert [type(each) for each in read] == [Event, Unreadable, Event]
