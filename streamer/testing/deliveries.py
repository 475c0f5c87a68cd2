"""Events and deliveries for tests of plugins."""

from typing import Any

from streamer.events import Delivery, Event, EventId, JsonObject, ReplayId

_ORDER: JsonObject = {
    "entity": "Order",
    "record_id": "801000000000001AAA",
    "change": "CREATE",
    "fields": {"OrderNumber": "00000100", "TotalAmount": 12.5},
    "changed_fields": [],
    "nulled_fields": [],
    "transaction": {"key": "0001", "sequence": 1, "commit_number": 1, "user": "005000000000001AAA"},
}


def an_event(
    number: int = 1,
    *,
    of_type: str = "salesforce.cdc.Order.created",
    subject: str | None = "801000000000001AAA",
    data: JsonObject | None = None,
) -> Event:
    """Return the event with this `number`. Each number is a different event of the same record."""
    return Event(
        id=EventId(f"0001:{number}:{subject or ''}"),
        source="urn:salesforce:00D000000000001EAA",
        type=of_type,
        subject=subject,
        time="2025-01-01T00:00:00.000Z",
        key=subject or f"0001:{number}",
        channel="/data/ChangeEvents",
        replay_id=ReplayId(str(number).encode()),
        data=_ORDER if data is None else data,
    )


def a_delivery(
    event: Event | None = None, *, attempt: int = 1, body: Any = None, text: str | None = None
) -> Delivery:
    """Return a delivery of `event`, with the same key for every attempt."""
    event = event or an_event()
    return Delivery(event=event, key=f"{event.id}:target", attempt=attempt, body=body, text=text)
