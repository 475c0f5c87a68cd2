"""Contracts of writing to an org: platform events, changes to records, and calls of Apex methods."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from streamer.errors import StreamerError
from streamer.events import JsonObject, ReplayId


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


class WriteKind(StrEnum):
    """Kind of a change to a record."""

    CREATE = "create"
    UPDATE = "update"
    UPSERT = "upsert"
    """Updates the record with an external id, or creates it."""
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOperation:
    """Change to records of the type `sobject`.

    For an upsert, `external_id` is the field that identifies the record.
    """

    kind: WriteKind
    sobject: str
    external_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Salesforce has changed the record; only an upsert sets `created`."""

    record_id: str
    created: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRefused:
    """Salesforce refused a change or a call, so nothing was changed.

    `code` is Salesforce's error code, such as `UNABLE_TO_LOCK_ROW`, or empty.
    `message` is Salesforce's sentence about the refusal. `answer` is the beginning
    of an Apex method's answer. `sent` is false if no request was sent. `is_general`
    means that the refusal concerns the operation and not this record.
    """

    code: str
    message: str
    answer: str = ""
    sent: bool = True
    is_general: bool = False


WriteResult = Written | WriteRefused | Unanswered
"""Result of writing one record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApexRestCall:
    """Call of an Apex REST method; `path` follows `/services/apexrest/`, and is URL-encoded.

    If `body` is `None`, no body is sent.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: JsonObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApexSoapCall:
    """Call of a web service method of an Apex class, `Name` or `namespace/Name`.

    `arguments` are sent in order, as the WSDL of the class defines them.
    """

    apex_class: str
    method: str
    arguments: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The method returned `value`: JSON or a text; for a SOAP method, its `result`."""

    value: Any


CallResult = Answered | WriteRefused | Unanswered
"""Result of one call."""


def _nobody() -> None:
    pass


class OrgWriter(Protocol):
    """Writer of records and calls to an org; many callers can use it at once.

    No method except `user` raises a `StreamerError`. If a result is `Unanswered`
    with a `RetryLater`, it is uncertain whether Salesforce has acted.
    """

    async def user(self) -> str:
        """Return the id of the user that writes the records; empty if the login named no user.

        Raises a `RetryLater` or a `Stop`.
        """
        ...

    async def write(
        self, operation: WriteOperation, records: Sequence[JsonObject], /
    ) -> Sequence[WriteResult]:
        """Try once to change `records`, each independently, and return the result of each.

        An update and a delete identify the record by `Id`, and an upsert by the
        operation's external id. Changes to one record are made in order. An expired
        token is renewed.
        """
        ...

    async def call(
        self, call: ApexRestCall | ApexSoapCall, /, *, on_sent: Callable[[], None] = _nobody
    ) -> CallResult:
        """Call a method once, and return its answer.

        `on_sent` is called when the network has taken the whole request, and once
        more if the request is sent again with a renewed token.
        """
        ...
