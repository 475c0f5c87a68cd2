"""Contracts of look-ups: readers of records from the org or a service, and the org for plugins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from pydantic import BaseModel

if TYPE_CHECKING:
    from streamer.clock import Clock
    from streamer.errors import RecordsRefused
    from streamer.events import JsonObject
    from streamer.ports.writing import (
        ApexRestCall,
        ApexSoapCall,
        EventPublisher,
        OrgWriter,
        OutgoingEvent,
        Preview,
        PublishTransport,
        Unpublished,
        WriteOperation,
        WriteRefused,
    )


class LookupReader(Protocol):
    """Reader of current records; each `RecordReader` is a `LookupReader`."""

    @property
    def requests_left(self) -> float | None:
        """Share of the day's requests that is left, from 0 to 1; `None` if unknown or unlimited."""
        ...

    async def read(
        self, entity: str, ids: Sequence[str], fields: Sequence[str], /
    ) -> Mapping[str, JsonObject | RecordsRefused]:
        """Return `fields` of the records of `entity`, by id.

        Missing records are left out. Fields can also be left out. If a single
        record is refused, its value is the refusal. Raises `RetryLater` if there is
        no answer, a `Stop` if an operator must act, and `RecordsRefused` if all
        `ids` are refused, with the name of the field if it is known.
        """
        ...


class LookupService(LookupReader, Protocol):
    """Reader of the records of one service. A service has no entities, so `entity` is empty."""

    @property
    def batch(self) -> int:
        """Largest number of records that one call reads."""
        ...

    @property
    def max_in_flight(self) -> int:
        """Most concurrent calls."""
        ...

    async def __aenter__(self) -> Self:
        """Open connections. Raises `ConfigurationError`."""
        ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close connections."""
        ...

    def preview(self, record_id: str, /) -> Preview:
        """Return the request that would read one record, with secrets masked; no connection is opened."""
        ...


class LookupPlugin(Protocol):
    """Class behind an entry point of the group `streamer.lookups`.

    `Settings` validates the part of `enrich` under the name of the entry point.
    """

    # A property, so that a class with a narrower settings type also matches.
    @property
    def Settings(self) -> type[BaseModel]:  # noqa: N802 - a class within the plugin's class
        """Model of the service's settings."""
        ...

    def __call__(self, settings: Any, clock: Clock, /) -> LookupService:
        """Return the service; no I/O happens yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSource:
    """Source of a service. Look-ups with equal sources share the service, its calls and its cache."""

    # The key can contain secrets.
    key: str = field(repr=False)
    make: Callable[[Clock], LookupService] = field(compare=False, repr=False)


class Org(Protocol):
    """The org that the daemon reads, for plugins."""

    @property
    def login_url(self) -> str:
        """Address at which to log in to the org."""
        ...

    @property
    def client_name(self) -> str | None:
        """Name with which Salesforce marks this deployment's changes; `None` without a name."""
        ...

    def publisher(
        self, transport: PublishTransport, *, timeout_s: float
    ) -> AbstractAsyncContextManager[EventPublisher]:
        """Return a context that opens a publisher with its own connection.

        `timeout_s` limits one request with its answer. The publisher shares the
        access token with this process's other clients of the org. On entry, raises
        `ConfigurationError` if an address, a file or a proxy can't be used.
        """
        ...

    def writer(self, *, timeout_s: float) -> AbstractAsyncContextManager[OrgWriter]:
        """Return a context that opens a writer; Salesforce marks its changes with the `client_name`.

        `timeout_s`, the access token and the errors are as for `publisher`.
        """
        ...

    def preview_of_event(
        self, transport: PublishTransport, topic: str, event: OutgoingEvent
    ) -> Preview | Unpublished:
        """Return the request with which a publisher would send only `event`, or the event's refusal.

        The request shows the login's address, because only a login reveals the
        host. Without the schema of the `topic`, the content for the Pub/Sub API is
        shown as JSON. Like the other previews, this method opens no connection.
        """
        ...

    def preview_of_record(self, operation: WriteOperation, record: JsonObject) -> Preview | WriteRefused:
        """Return the request with which a writer would change only `record`, or the record's refusal."""
        ...

    def preview_of_call(self, call: ApexRestCall | ApexSoapCall) -> Preview | WriteRefused:
        """Return the request with which a writer would call a method, or the call's refusal."""
        ...
