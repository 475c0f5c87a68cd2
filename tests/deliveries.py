"""Deliveries as tests need them."""

from typing import Any

from pydantic import BaseModel

from streamer.blocking import on_threads
from streamer.clock import Clock
from streamer.events import Delivery, Event, EventId, JsonObject, ReplayId, SubscriberName
from streamer.ports import Plugin, PluginContext, Subscriber

ORDER = "801000000000001AAA"


def event(
    what: str = "salesforce.cdc.Order.created", *, subject: str | None = ORDER, data: JsonObject | None = None
) -> Event:
    """Return an event of type `what`."""
    return Event(
        id=EventId("tx:1:" + (subject or "")),
        source="urn:salesforce:00D000000000001EAA",
        type=what,
        subject=subject,
        time="2025-01-01T00:00:00.000Z",
        key=subject or "tx",
        channel="/data/ChangeEvents",
        replay_id=ReplayId(b"1"),
        data={"entity": "Order", "fields": {"TotalAmount": 12.5}} if data is None else data,
    )


def delivery(
    of: Event | None = None, *, key: str = "target:1", body: Any = None, text: str | None = None
) -> Delivery:
    """Return the first attempt at delivering an event."""
    return Delivery(event=of or event(), key=key, attempt=1, body=body, text=text)


def context(clock: Clock) -> PluginContext:
    """Return what dispatch hands to a plugin."""
    return PluginContext(name=SubscriberName("target"), clock=clock)


def opened(plugin: Plugin, settings: BaseModel, context: PluginContext) -> Subscriber:
    """Return a subscriber to be opened, made as the daemon makes it."""
    return on_threads(plugin(settings, context), name=context.name, threads=1)
