"""Channels and events as one user sees them."""

from typing import Any

import orjson
import pytest

from streamer.sandbox.access.events import EventView, channel_refusal
from streamer.sandbox.access.user import User
from tests.unit.sandbox.org.world import EVERYTHING, OrgWorld

READER = User.model_validate(
    {
        "username": "reader@acme.example",
        "objects": {
            "Account": ["view_all"],
            "Contact": ["read"],
            "Paid__e": ["read"],
            "Invoice__c": ["view_all"],
        },
        "hidden_fields": ["Account.Phone", "Account.BillingCity", "Account.ShippingAddress"],
        "channels": ["/data/*", "/event/*"],
    }
)


def seen(world: OrgWorld, path: str = EVERYTHING) -> list[dict[str, Any]]:
    """Return the data of the events of a channel that the reader sees."""
    view = EventView(world.org.schema, READER)
    shown = (view(message.data) for message in world.bus.after(path, 0))
    return [orjson.loads(data) for data in shown if data is not None]


@pytest.mark.parametrize(
    ("path", "refusal"),
    [
        ("/data/AccountChangeEvent", None),
        ("/data/Invoice__ChangeEvent", None),
        ("/data/ChangeEvents", None),
        ("/data/Erp__chn", None),
        ("/event/Paid__e", None),
        (
            "/data/ContactChangeEvent",
            "403::User not allowed to subscribe CDC without View All Data permissions",
        ),
        ("/event/Secret__e", "403::Subscriber does not have access to the entity in this topic"),
        ("/topic/Open", "403::Restricted channel"),
    ],
)
def test_a_channel_is_refused_without_permission(path: str, refusal: str | None) -> None:
    """Channels of several types are open to all."""
    assert channel_refusal(READER, path) == refusal


def test_only_events_of_permitted_types_are_shown(world: OrgWorld) -> None:
    """Reading alone is not enough: change events ignore sharing."""
    world.create("Contact", LastName="Berg")
    world.create("Account", Name="Acme")
    assert [each["payload"]["ChangeEventHeader"]["entityName"] for each in seen(world)] == ["Account"]


async def test_hidden_fields_are_left_out(world: OrgWorld) -> None:
    """From the body, from compound fields and from the names of what changed."""
    address = {"BillingCity": "Oslo", "BillingCountry": "Norway", "ShippingCity": "Bergen"}
    account = world.create("Account", Name="Acme", Phone="1", **address)
    await world.clock.turn(1)
    world.update("Account", account, Phone="2", Fax="3", BillingCity="Bodø", ShippingCity="Hamar")
    created, updated = (each["payload"] for each in seen(world))
    assert created["BillingAddress"] == {"Country": "Norway"}
    assert not {"Phone", "ShippingAddress"} & created.keys()
    assert updated["ChangeEventHeader"]["changedFields"] == ["Fax", "LastModifiedDate"]


def test_platform_events_are_shown_to_their_readers(world: OrgWorld) -> None:
    """On a channel that carries several."""
    for name in ("Paid__e", "Secret__e"):
        data = {"payload": {"A__c": 1}, "event": {"EventApiName": name}}
        world.bus.publish(["/event/Erp__chn"], data)
    assert [each["event"]["EventApiName"] for each in seen(world, "/event/Erp__chn")] == ["Paid__e"]


@pytest.mark.parametrize("body", [b'{"payload": ]', b'{"payload":"nonsense","event":{}}', b"[1]"])
def test_a_poison_message_stays_as_it_is(world: OrgWorld, body: bytes) -> None:
    """It has no type whose permissions could be asked for."""
    assert EventView(world.org.schema, READER)(body) == body
