"""Contract of the org that the daemon reads, as plugins use it."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from streamer.ports.publishing import EventPublisher, PublishTransport
from streamer.ports.writing import OrgWriter


class Org(Protocol):
    """Org that the daemon reads, as a plugin can use it."""

    @property
    def login_url(self) -> str:
        """Address of the org's login."""
        ...

    @property
    def client_name(self) -> str | None:
        """Name by which Salesforce marks the changes of this deployment; `None` where it has none."""
        ...

    def publisher(
        self, transport: PublishTransport, *, timeout_s: float
    ) -> AbstractAsyncContextManager[EventPublisher]:
        """Return a context that gives a publisher with a connection of its own.

        `timeout_s` is the time for one request with its answer. The access token
        is that of everything else in this process that uses the org. Entering
        raises `ConfigurationError` for an address, a file or a proxy that can't
        be used.
        """
        ...

    def writer(self, *, timeout_s: float) -> AbstractAsyncContextManager[OrgWriter]:
        """Return a context that gives a writer, whose changes Salesforce marks with the `client_name`.

        `timeout_s`, the access token and the errors are those of `publisher`.
        """
        ...
