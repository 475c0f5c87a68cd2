"""Contract of the plugin's operations."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar, get_args

from streamer.events import Delivery, JsonObject, Outcome, Reject, Skip

_Prepared = TypeVar("_Prepared")
_OUTCOMES = get_args(Outcome)


class Operation(Protocol):
    """Kind of what the plugin does with deliveries, on an open connection."""

    async def deliver(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Try each delivery once, and return their outcomes in the same order."""
        ...


async def delivered_together(
    deliveries: Sequence[Delivery],
    prepare: Callable[[Delivery], _Prepared | Outcome],
    send: Callable[[Sequence[Delivery], Sequence[_Prepared]], Awaitable[Sequence[Outcome]]],
) -> Sequence[Outcome]:
    """Send what `prepare` makes of the deliveries in one call, and return the outcome of each delivery.

    Where `prepare` returns an outcome, nothing is sent.
    """
    outcomes: dict[int, Outcome] = {}
    numbers: list[int] = []
    prepared: list[_Prepared] = []
    for number, delivery in enumerate(deliveries):
        made = prepare(delivery)
        if isinstance(made, _OUTCOMES):
            outcomes[number] = made
        else:
            numbers.append(number)
            prepared.append(made)
    if prepared:
        sent = await send([deliveries[number] for number in numbers], prepared)
        outcomes.update(zip(numbers, sent, strict=True))
    return [outcomes[number] for number in range(len(deliveries))]


def fields_of(fields: object, *, hint: str) -> JsonObject | Reject | Skip:
    """Return a copy of the `fields` to send, or the outcome of a delivery that has none."""
    if not isinstance(fields, dict):
        return Reject(reason="the body is not an object", hint=hint, sent=False)
    if not fields:
        return Skip(reason="the event carries no field that body sends", sent=False)
    return dict(fields)
