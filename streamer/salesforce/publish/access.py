"""Access to an org for publishers and writers; all users in the process share one login."""

from __future__ import annotations

import random as system_random
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from streamer.clock import Clock
from streamer.salesforce.auth.flows import Logins
from streamer.settings import OrgSettings

if TYPE_CHECKING:
    from streamer.events import JsonObject
    from streamer.ports import (
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

# The caller has its own delays; a longer limit would delay its next try after an outage.
_RECONNECT_LIMIT_S = 5.0
# A receipt keeps less of an answer than this.
_ANSWER_BYTES = 4 * 1024 * 1024


def event_name(topic: str) -> str:
    """Return the API name in `Order_Placed__e` or `/event/Order_Placed__e`. Raises `ValueError`."""
    name = topic.removeprefix("/event/")
    if not re.fullmatch(r"[A-Za-z]\w{0,79}__e", name, re.ASCII):
        raise ValueError("must be the API name of a custom platform event, such as Order_Placed__e")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgAccess:
    """Access to the org of `settings`: see `streamer.ports.Org`."""

    settings: OrgSettings
    clock: Clock
    logins: Logins
    random: Callable[[], float] = system_random.random

    @property
    def login_url(self) -> str:
        """Address at which to log in."""
        return self.settings.login_url

    @property
    def client_name(self) -> str | None:
        """Name that marks this deployment's changes: see `streamer.ports.Org`."""
        return self.settings.client_name

    @asynccontextmanager
    async def publisher(
        self, transport: PublishTransport, *, timeout_s: float
    ) -> AsyncIterator[EventPublisher]:
        """Yield a publisher: see `streamer.ports.Org`. Only the chosen transport is imported."""
        async with self.logins.opened(self.settings) as (tokens, http):
            from streamer.ports import PublishTransport  # noqa: PLC0415 - most daemons publish nothing

            if transport is PublishTransport.REST:
                from streamer.salesforce.publish.rest import RestPublisher  # noqa: PLC0415 - as said
                from streamer.salesforce.rest import Rest  # noqa: PLC0415 - as said

                version = self.settings.api_version
                rest = Rest(http, tokens, self.clock, api_version=version)
                yield RestPublisher(rest, self.clock, api_version=version, timeout_s=timeout_s)
                return
            from streamer.salesforce.publish.calls import Calls  # noqa: PLC0415 - gRPC costs 0.1 s
            from streamer.salesforce.publish.pubsub import PubSubPublisher  # noqa: PLC0415 - as said
            from streamer.salesforce.pubsub.connection import PubSubConnection  # noqa: PLC0415 - as said
            from streamer.salesforce.pubsub.options import PubSubOptions  # noqa: PLC0415 - as said

            options = replace(
                PubSubOptions.of(self.settings),
                request_timeout_s=timeout_s,
                reconnect_limit_s=_RECONNECT_LIMIT_S,
            )
            connection = PubSubConnection(options, self.clock, self.random)
            try:
                yield PubSubPublisher(Calls(connection=connection, tokens=tokens), self.clock)
            finally:
                await connection.close()

    @asynccontextmanager
    async def writer(self, *, timeout_s: float) -> AsyncIterator[OrgWriter]:
        """Yield a writer: see `streamer.ports.Org`."""
        from streamer.salesforce.apex import ApexCaller  # noqa: PLC0415 - most daemons write nothing
        from streamer.salesforce.record_writer import Collections, RestWriter  # noqa: PLC0415 - as said
        from streamer.salesforce.rest import Rest  # noqa: PLC0415 - as said

        client = self.client_name
        async with self.logins.opened(self.settings) as (tokens, http):
            rest = Rest(
                http,
                tokens,
                self.clock,
                api_version=self.settings.api_version,
                answer_bytes=_ANSWER_BYTES,
                client=client,
            )
            yield RestWriter(
                tokens=tokens,
                collections=Collections(rest, self.clock, timeout_s=timeout_s),
                apex=ApexCaller(rest, self.clock, client=client, timeout_s=timeout_s),
            )

    def preview_of_event(
        self, transport: PublishTransport, topic: str, event: OutgoingEvent
    ) -> Preview | Unpublished:
        """Return the request that would publish an event: see `streamer.ports.Org`."""
        from streamer.salesforce.publish import previews  # noqa: PLC0415 - a daemon shows none

        return previews.preview_of_event(self.settings, transport, topic, event)

    def preview_of_record(self, operation: WriteOperation, record: JsonObject) -> Preview | WriteRefused:
        """Return the request that would write a record: see `streamer.ports.Org`."""
        from streamer.salesforce.publish import previews  # noqa: PLC0415 - as said

        return previews.preview_of_record(self.settings, operation, record)

    def preview_of_call(self, call: ApexRestCall | ApexSoapCall) -> Preview | WriteRefused:
        """Return the request that would make a call: see `streamer.ports.Org`."""
        from streamer.salesforce.publish import previews  # noqa: PLC0415 - as said

        return previews.preview_of_call(self.settings, call)
