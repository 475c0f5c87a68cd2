"""Leak check: finds resources that a plugin leaves open; and events and deliveries for tests."""

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from streamer.clock import SystemClock
from streamer.events import Delivery, Event, EventId, JsonObject, ReplayId
from streamer.testing.trial import ContractBrokenError

# A closed connection can need some rounds of the loop to be gone.
_ROUNDS = 50
_ROUND_S = 0.01


@asynccontextmanager
async def no_leaks() -> AsyncIterator[None]:
    """Raise `ContractBrokenError` when tasks, sessions, sockets or files outlive the context.

    The code outside must not keep references to objects that were made inside:
    the garbage collection reports those that were not closed.
    """
    before = asyncio.all_tasks()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        gc.collect()
        caught.clear()
        yield
        tasks = await _lasting(before)
        gc.collect()
    if tasks:
        names = ", ".join(sorted(task.get_name() for task in tasks))
        raise ContractBrokenError(f"tasks still run after closing ({names}): end them in __aexit__")
    for warning in caught:
        if issubclass(warning.category, ResourceWarning):
            raise ContractBrokenError(f"something stays open ({warning.message}): close it in __aexit__")


async def _lasting(before: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    for _ in range(_ROUNDS):
        lasting = asyncio.all_tasks() - before
        if not lasting:
            break
        await SystemClock().sleep(_ROUND_S)
    return lasting


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
    """Return the event of that `number`; another number is another event of the same record."""
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
    """Return the delivery of `event`, with the key that it has on every attempt."""
    event = event or an_event()
    return Delivery(event=event, key=f"{event.id}:target", attempt=attempt, body=body, text=text)
