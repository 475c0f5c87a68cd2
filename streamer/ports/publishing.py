"""Contracts of publishing: platform events on their way into an org, their results, and previews."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from streamer.errors import StreamerError
from streamer.events import ReplayId


class PublishTransport(StrEnum):
    """API over which events are published."""

    PUBSUB = "pubsub"
    """The Pub/Sub API, over gRPC."""
    REST = "rest"
    """The REST API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingEvent:
    """Platform event to publish.

    `fields` are JSON values by the API names of the event's fields; a number
    can also be a `Decimal`. `id` is the same on every try. Over the Pub/Sub API
    it becomes the event's `EventUuid`; REST takes none.
    """

    id: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Salesforce has accepted the event as `event_uuid`; REST tells no replay id."""

    event_uuid: str
    replay_id: ReplayId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpublished:
    """The event was refused, for a reason of its own.

    `code` is a stable word, `reason` a sentence with the remedy. `sent` is
    false when the event did not leave this process. With `is_transient`,
    Salesforce says that the event can succeed later.
    """

    code: str
    reason: str
    sent: bool = True
    is_transient: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """No answer tells whether the event was published.

    A `RetryLater` as the `error` allows another try with the same id, a `Stop`
    asks for an operator first.
    """

    error: StreamerError


PublishResult = Published | Unpublished | Unanswered
"""Result of publishing one event."""


class EventPublisher(Protocol):
    """Publisher of platform events, which serves many callers at once."""

    async def publish(self, topic: str, events: Sequence[OutgoingEvent], /) -> Sequence[PublishResult]:
        """Try once to publish `events` in their order, and return the result of each.

        `topic` is the API name of the event, such as `Order_Placed__e`. A token
        that has expired is renewed, and a schema that has changed is fetched
        again. Events behind a request that was not answered are not sent, and
        are `Unanswered` too. Raises no error of Streamer's.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Request that a plugin would send for a delivery, with secrets masked.

    `request` is its first line, such as `POST https://erp.acme.com/invoices`.
    `headers` are what goes beside the `content`, whatever the protocol calls it.
    """

    request: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
