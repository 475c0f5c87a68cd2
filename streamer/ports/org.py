"""Contract of the org that the daemon reads, as plugins use it."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from streamer.events import JsonObject
from streamer.ports.previews import Preview
from streamer.ports.publishing import EventPublisher, OutgoingEvent, PublishTransport, Unpublished
from streamer.ports.writing import ApexRestCall, ApexSoapCall, OrgWriter, WriteOperation, WriteRefused


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
