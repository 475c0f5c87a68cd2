"""Contracts of look-ups: readers of records from the org or a service, and the org that plugins use."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

from pydantic import BaseModel

from streamer.clock import Clock
from streamer.errors import RecordsRefused
from streamer.events import JsonObject
from streamer.ports.publishing import EventPublisher, OutgoingEvent, Preview, PublishTransport, Unpublished
from streamer.ports.writing import ApexRestCall, ApexSoapCall, OrgWriter, WriteOperation, WriteRefused


class LookupReader(Protocol):
    """Reader of records as they are now; each `RecordReader` is one."""

    @property
    def requests_left(self) -> float | None:
        """Share of the day's requests that is left, from 0 to 1; `None` where it is unknown or unlimited."""
        ...

    async def read(
        self, entity: str, ids: Sequence[str], fields: Sequence[str], /
    ) -> Mapping[str, JsonObject | RecordsRefused]:
        """Return `fields` of the records of `entity`, by id.

        Records that are missing are left out, and so can fields be. A record that
        is refused by itself is its refusal. Raises `RetryLater` when there is no
        answer, a `Stop` when an operator must act, and `RecordsRefused` for all
        `ids`, with the name of the field where it is known.
        """
        ...


class LookupService(LookupReader, Protocol):
    """Reader of the records of one service, which has no entities: it is asked for one without a name."""

    @property
    def batch(self) -> int:
        """Most records that one call reads."""
        ...

    @property
    def max_in_flight(self) -> int:
        """Most calls at once."""
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
        """Return the request that reads one record, with secrets masked; makes no connection."""
        ...


class LookupPlugin(Protocol):
    """Class behind an entry point of the group `streamer.lookups`.

    `Settings` validates what `enrich` has under the name of the entry point.
    """

    # A property, so that a class whose settings are of a narrower type fits.
    @property
    def Settings(self) -> type[BaseModel]:  # noqa: N802 - a class within the plugin's class
        """Model of the service's settings."""
        ...

    def __call__(self, settings: Any, clock: Clock, /) -> LookupService:
        """Return the service; no I/O happens yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSource:
    """Maker of a service; equal ones make the same, so that their look-ups share calls and cache."""

    # It can hold secrets.
    key: str = field(repr=False)
    make: Callable[[Clock], LookupService] = field(compare=False, repr=False)


class Org(Protocol):
    """Org that the daemon reads, as a plugin can use it."""

    @property
    def login_url(self) -> str:
        """Address of the org's login."""
        ...

    @property
    def client_name(self) -> str | None:
        """Name with which Salesforce marks changes by this deployment; `None` if it has none."""
        ...

    def publisher(
        self, transport: PublishTransport, *, timeout_s: float
    ) -> AbstractAsyncContextManager[EventPublisher]:
        """Return a context that opens a publisher with a connection of its own.

        `timeout_s` bounds one request with its answer. The publisher shares the
        access token with this process's other clients of the org. Entering the
        context raises `ConfigurationError` for an address, a file or a proxy that
        can't be used.
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
        """Return the request by which a publisher sends `event` alone, or the result without one.

        Its address names the login instead of the host, which only a login reveals.
        Without the schema of the `topic`, it shows the Pub/Sub API's content as
        JSON. Like the other previews, it makes no connection.
        """
        ...

    def preview_of_record(self, operation: WriteOperation, record: JsonObject) -> Preview | WriteRefused:
        """Return the request by which a writer changes `record` alone, or the result without one."""
        ...

    def preview_of_call(self, call: ApexRestCall | ApexSoapCall) -> Preview | WriteRefused:
        """Return the request by which a writer calls a method, or the result without one."""
        ...
