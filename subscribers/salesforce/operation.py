"""Contract of the plugin's operations, and code that they share."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from streamer.events import Delivered, Delivery, Disable, Hold, JsonObject, Outcome, Reject, Retry, Skip

_Prepared = TypeVar("_Prepared")


class Operation(Protocol):
    """Operation that the plugin performs for each delivery, on an open connection."""

    async def deliver(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Try each delivery once, and return the outcomes in the order of `deliveries`."""
        ...


async def delivered_together(
    deliveries: Sequence[Delivery],
    prepare: Callable[[Delivery], _Prepared | Outcome],
    send: Callable[[Sequence[Delivery], Sequence[_Prepared]], Awaitable[Sequence[Outcome]]],
) -> Sequence[Outcome]:
    """Prepare the deliveries, send the prepared values in one call, and return all outcomes.

    If `prepare` returns an outcome for a delivery, nothing is sent for it.
    """
    outcomes: dict[int, Outcome] = {}
    numbers: list[int] = []
    prepared: list[_Prepared] = []
    for number, delivery in enumerate(deliveries):
        made = prepare(delivery)
        if isinstance(made, Delivered | Retry | Hold | Reject | Skip | Disable):
            outcomes[number] = made
        else:
            numbers.append(number)
            prepared.append(made)
    if prepared:
        sent = await send([deliveries[number] for number in numbers], prepared)
        outcomes.update(zip(numbers, sent, strict=True))
    return [outcomes[number] for number in range(len(deliveries))]


def fields_of(fields: object, *, hint: str) -> JsonObject | Reject | Skip:
    """Return a copy of `fields`, or the outcome if there are no fields to send."""
    if not isinstance(fields, dict):
        return Reject(reason="the body is not an object", hint=hint, sent=False)
    if not fields:
        return Skip(reason="the event has none of the fields that the subscriber's body uses", sent=False)
    return dict(fields)
