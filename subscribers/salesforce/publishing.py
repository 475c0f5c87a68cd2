"""Operation that publishes platform events."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from streamer.events import Delivery, Outcome
from streamer.ports import EventPublisher, OutgoingEvent
from subscribers.salesforce.operation import delivered_together, fields_of
from subscribers.salesforce.outcomes import outcome_of_publishing, refusal_delay_s

# Salesforce sets these fields, or Streamer sets them for Salesforce.
_STAMPS = frozenset({"CreatedDate", "CreatedById"})

_NAMESPACE = uuid.UUID("3b0f6f52-7e0b-5d0c-9c0a-6a8d5e9b1f47")


@dataclass(frozen=True, slots=True, kw_only=True)
class Publishing:
    """Publishes one platform event of the type `event` for each delivery.

    The fields of the platform event are the subscriber's `body`, or without a body, the
    delivered event's own fields. The `EventUuid` is computed from the delivery's key,
    so each attempt has the same `EventUuid`. Over REST, Salesforce chooses the
    `EventUuid`.
    """

    publisher: EventPublisher
    event: str
    id_field: str | None
    refusal_tries: int

    async def deliver(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Publish the events in one call, and return the outcomes."""
        return await delivered_together(deliveries, partial(event_of, self.id_field), self._published)

    async def _published(
        self, deliveries: Sequence[Delivery], events: Sequence[OutgoingEvent]
    ) -> Sequence[Outcome]:
        results = await self.publisher.publish(self.event, events)
        return [
            outcome_of_publishing(
                result, self.event, again_s=refusal_delay_s(delivery.attempt, self.refusal_tries)
            )
            for delivery, result in zip(deliveries, results, strict=True)
        ]


def event_of(id_field: str | None, delivery: Delivery) -> OutgoingEvent | Outcome:
    """Return the event to publish for a delivery, or the outcome if there is no event."""
    fields = fields_of(_own(delivery), hint="map body to the fields of the platform event")
    if not isinstance(fields, dict):
        return fields
    if id_field is not None:
        fields[id_field] = delivery.key
    return OutgoingEvent(id=str(uuid.uuid5(_NAMESPACE, delivery.key)), fields=fields)


def _own(delivery: Delivery) -> Any:
    if delivery.body is not None:
        return delivery.body
    own = delivery.event.data.get("fields")
    return (
        {name: value for name, value in own.items() if name not in _STAMPS} if isinstance(own, dict) else {}
    )
