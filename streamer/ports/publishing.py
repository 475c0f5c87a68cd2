"""Contracts of publishing: platform events for an org, the results, and previews."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from streamer.errors import StreamerError
from streamer.events import ReplayId


class PublishTransport(StrEnum):
    """API for publishing events."""

    PUBSUB = "pubsub"
    """The Pub/Sub API, over gRPC."""
    REST = "rest"
    """The REST API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingEvent:
    """Platform event to publish.

    `fields` are JSON values, keyed by the API names of the event's fields; a number
    can also be a `Decimal`. `id` is the same on every try. The Pub/Sub API uses
    this id as the event's `EventUuid`; the REST API accepts no id.
    """

    id: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Salesforce has accepted the event as `event_uuid`; the REST API returns no replay id."""

    event_uuid: str
    replay_id: ReplayId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpublished:
    """The event itself was refused.

    `code` is a stable word, and `reason` a sentence with a remedy. `sent` is false
    if the event did not leave this process. `is_transient` means that, according to
    Salesforce's answer, Salesforce can accept the event later.
    """

    code: str
    reason: str
    sent: bool = True
    is_transient: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """Without an answer, it is unknown whether the event was published.

    If `error` is a `RetryLater`, the caller can try again with the same id; if it
    is a `Stop`, an operator must act first.
    """

    error: StreamerError


PublishResult = Published | Unpublished | Unanswered
"""Result of publishing one event."""


class EventPublisher(Protocol):
    """Publisher of platform events; many callers can use it at once."""

    async def publish(self, topic: str, events: Sequence[OutgoingEvent], /) -> Sequence[PublishResult]:
        """Try once to publish `events` in order, and return the result of each.

        `topic` is the API name of the event, such as `Order_Placed__e`. An expired
        token is renewed, and a changed schema is fetched again. After an unanswered
        request, the remaining events are not sent, and their results are also
        `Unanswered`. Raises no `StreamerError`.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Request that a plugin would send for a delivery, with secrets masked.

    `request` is the first line of the request, such as `POST
    https://erp.acme.com/invoices`. `headers` accompany the `content`; some
    protocols call them properties.
    """

    request: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
