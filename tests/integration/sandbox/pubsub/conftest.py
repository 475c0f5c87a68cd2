"""A sandbox that serves the Pub/Sub API, and a client that is logged in."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc.aio
import pytest

from streamer.clock import TurnedClock
from streamer.sandbox import Sandbox, SandboxSettings
from streamer.sandbox.pubsub.server import PubSubServer
from tests.integration.sandbox.pubsub.client import Client, Metadata
from tests.waiting import until


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A sandbox, its clock and a client of its user."""

    sandbox: Sandbox
    clock: TurnedClock
    client: Client

    def create(self, type_name: str, **fields: Any) -> str:
        """Create a record in a transaction of its own."""
        with self.sandbox.org.transaction() as transaction:
            return transaction.create(type_name, fields)

    def update(self, type_name: str, record_id: str, **fields: Any) -> None:
        """Update a record in a transaction of its own."""
        with self.sandbox.org.transaction() as transaction:
            transaction.update(type_name, record_id, fields)

    def create_accounts(self, count: int, *, first: int = 0) -> None:
        """Create accounts whose names are numbers."""
        for number in range(first, first + count):
            self.create("Account", Name=str(number))

    @property
    def server(self) -> PubSubServer:
        """The server of the Pub/Sub API."""
        assert self.sandbox.pubsub is not None
        return self.sandbox.pubsub

    def pending(self, path: str) -> list[int]:
        """Return how many events the subscriptions of a topic have yet to get."""
        subscriptions = self.server._service.streams._subscriptions
        return [each._pending for each in subscriptions.get(path, ())]

    async def struck(self, name: str) -> None:
        """Wait until a fault has struck."""
        await until(lambda: self.sandbox.faults.struck[name])


def metadata(sandbox: Sandbox, user_id: str | None = None) -> Metadata:
    """Return valid credentials."""
    user_id = user_id or sandbox.org.settings.user_id
    return (
        ("accesstoken", sandbox.tokens.issue(user_id=user_id, client_id="sandbox")),
        ("instanceurl", sandbox.url),
        ("tenantid", sandbox.org.settings.org_id),
    )


@asynccontextmanager
async def serving(settings: SandboxSettings | None = None) -> AsyncIterator[World]:
    """Serve an empty org, in clear, to a client that is logged in."""
    clock = TurnedClock()
    async with (
        Sandbox(clock, pubsub_port=0, settings=settings) as sandbox,
        grpc.aio.insecure_channel(sandbox.pubsub_address) as channel,
    ):
        yield World(sandbox=sandbox, clock=clock, client=Client(channel=channel, metadata=metadata(sandbox)))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """An empty org."""
    async with serving() as running:
        yield running


Serve = Callable[[SandboxSettings], Any]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves an empty org with these settings, until the test is over."""
    async with AsyncExitStack() as stack:

        async def started(settings: SandboxSettings) -> World:
            return await stack.enter_async_context(serving(settings))

        yield started
