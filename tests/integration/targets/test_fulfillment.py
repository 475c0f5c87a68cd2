"""Shipments and their cancellation."""

from typing import Any

from streamer.clock import TurnedClock
from streamer.events import Delivered, Delivery, Hold, Outcome, Reject, Skip
from streamer.sandbox.targets import FulfillmentReceiver
from subscribers.fulfillment import Fulfillment
from tests.deliveries import ORDER, context, delivery, event

DELETED = "salesforce.cdc.Order.deleted"


async def deliver(receiver: FulfillmentReceiver, *deliveries: Delivery, **settings: Any) -> list[Outcome]:
    """Return the outcomes of `deliveries`, one after the other."""
    read = Fulfillment.Settings.model_validate({"url": receiver.url} | settings)
    async with Fulfillment(read, context(TurnedClock())) as plugin:
        return [await plugin.deliver(each) for each in deliveries]


async def test_order_is_shipped(fulfillment: FulfillmentReceiver) -> None:
    """The service's shipment and its state are the receipt."""
    [outcome] = await deliver(fulfillment, delivery(body={"invoice": "INV-1"}))

    assert outcome == Delivered(answer={"shipment": "SHP-000001", "order": ORDER, "state": "accepted"})
    assert fulfillment.journal[0].body == {"order": ORDER, "invoice": "INV-1"}


async def test_deleted_order_is_cancelled(fulfillment: FulfillmentReceiver) -> None:
    """A deletion ends the shipment that the order has."""
    _, outcome = await deliver(fulfillment, delivery(key="1"), delivery(event(DELETED), key="2"))

    assert outcome == Delivered(answer={"shipment": "SHP-000001", "order": ORDER, "state": "cancelled"})


async def test_nothing_to_cancel_is_skipped(fulfillment: FulfillmentReceiver) -> None:
    """An order that was never shipped needs no cancellation."""
    [outcome] = await deliver(fulfillment, delivery(event(DELETED)))

    assert isinstance(outcome, Skip)


async def test_missing_page_behind_a_wrong_url_is_not_taken_for_a_missing_shipment(
    fulfillment: FulfillmentReceiver,
) -> None:
    """A 404 from another server than the service is a mistake that must show."""
    [outcome] = await deliver(fulfillment, delivery(event(DELETED)), url=f"{fulfillment.url}/wrong")

    assert isinstance(outcome, Reject)


async def test_shipment_that_has_left_cannot_be_cancelled(fulfillment: FulfillmentReceiver) -> None:
    """A person must stop it: the event becomes a dead letter."""
    await deliver(fulfillment, delivery(key="1"))
    fulfillment.mark_shipped(ORDER)
    [outcome] = await deliver(fulfillment, delivery(event(DELETED), key="2"))

    assert isinstance(outcome, Reject)
    assert outcome.reason == "the target answered 409 Conflict (already_shipped)"


async def test_platform_event_cancels_by_rule(fulfillment: FulfillmentReceiver) -> None:
    """`cancel_when` selects the messages that end a shipment, and `order` names the shipment."""
    kind = "salesforce.event.Order_Event__e"
    placed = event(kind, subject=None, data={"fields": {"Order__c": "O-1", "Status__c": "Placed"}})
    ended = event(kind, subject=None, data={"fields": {"Order__c": "O-1", "Status__c": "Cancelled"}})

    await deliver(
        fulfillment,
        delivery(placed, key="1"),
        delivery(ended, key="2"),
        order="data.fields.Order__c",
        cancel_when="data.fields.Status__c == 'Cancelled'",
    )

    assert fulfillment.shipments["O-1"]["state"] == "cancelled"


async def test_api_key_is_asked_for(fulfillment: FulfillmentReceiver) -> None:
    """A wrong key holds the target, and the right one ships."""
    fulfillment.require_api_key("right-key")
    [held] = await deliver(fulfillment, delivery(), auth={"kind": "api_key", "key": "wrong-key"})
    [shipped] = await deliver(fulfillment, delivery(), auth={"kind": "api_key", "key": "right-key"})

    assert isinstance(held, Hold)
    assert isinstance(shipped, Delivered)


async def test_repeated_delivery_ships_once(fulfillment: FulfillmentReceiver) -> None:
    """The journal counts the repetition, the service ships once."""
    first, second = await deliver(fulfillment, delivery(key="1"), delivery(key="1"))

    assert first == second
    assert fulfillment.journal.duplicates == {"1": 1}
    assert len(fulfillment.shipments) == 1
