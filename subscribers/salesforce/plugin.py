"""The Salesforce plugin."""

import uuid
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

from streamer.errors import ConfigurationError
from streamer.events import Delivery, Outcome, Reject, Skip
from streamer.exact_json import exact_json
from streamer.ports import EventPublisher, Org, OutgoingEvent, PluginContext, Preview, PublishTransport
from streamer.salesforce.auth.addresses import safe_address
from streamer.salesforce.auth.flows import token_form
from streamer.salesforce.auth.logins import Logins
from streamer.salesforce.publish.access import OrgAccess
from streamer.settings import OrgSettings
from subscribers.salesforce.outcomes import outcome_of
from subscribers.salesforce.settings import SalesforceSettings

# Salesforce sets them, or we do for it.
_STAMPS = frozenset({"CreatedDate", "CreatedById"})

_NAMESPACE = uuid.UUID("3b0f6f52-7e0b-5d0c-9c0a-6a8d5e9b1f47")


class Salesforce:
    """Publishes one platform event for each event, to the daemon's org or to another.

    Its fields are the subscriber's `body` or, without one, the event's own
    fields. Its `EventUuid` is made of the delivery's key, so that it is the same
    on each attempt; over REST Salesforce chooses it. An event that carries no
    field of the body is skipped. All deliveries share a connection and the
    schemas.
    """

    Settings = SalesforceSettings
    uses_org: Final = True

    def __init__(self, settings: SalesforceSettings, context: PluginContext) -> None:
        """Raise `ConfigurationError` for a loop, and for credentials that can't be used."""
        self._settings = settings
        self._org = _org(settings, context)
        self._open = AsyncExitStack()
        self._publisher: EventPublisher | None = None
        _check_loop(settings, context)

    async def __aenter__(self) -> Self:
        """Make ready to publish; raises `ConfigurationError` for an address or a file that can't be used."""
        publisher = self._org.publisher(self._settings.transport, timeout_s=self._settings.timeout_s)
        self._publisher = await self._open.enter_async_context(publisher)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._publisher = None
        await self._open.aclose()

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Publish once, and return the outcome."""
        event = self._outgoing(delivery)
        if not isinstance(event, OutgoingEvent):
            return event
        if self._publisher is None:
            raise RuntimeError("the plugin is not open")
        [result] = await self._publisher.publish(self._settings.event, [event])
        may_retry = delivery.attempt < self._settings.refusal_tries
        return outcome_of(result, self._settings.event, may_retry=may_retry)

    def preview(self, delivery: Delivery, /) -> Preview | Outcome:
        """Return the event that would be published, its fields as JSON, or the outcome without one."""
        event = self._outgoing(delivery)
        if not isinstance(event, OutgoingEvent):
            return event
        try:
            content = exact_json(dict(event.fields))
        except TypeError as error:
            return Reject(reason=f"it is no JSON: {error}", hint="change the body's mapping", sent=False)
        api = "the Pub/Sub API, in Avro" if self._settings.transport is PublishTransport.PUBSUB else "REST"
        # REST takes no id.
        headers = {"EventUuid": event.id} if self._settings.transport is PublishTransport.PUBSUB else {}
        where = f"publish /event/{self._settings.event} over {api}, to {self._org.login_url}"
        return Preview(request=where, headers=headers, content=content)

    def _outgoing(self, delivery: Delivery) -> OutgoingEvent | Outcome:
        """Return the event to publish, or the outcome without one."""
        fields = _fields(delivery)
        if not isinstance(fields, dict):
            return Reject(
                reason="the body is not an object",
                hint="map body to the fields of the platform event",
                sent=False,
            )
        if not fields:
            return Skip(reason="the event carries no field that body sends", sent=False)
        if self._settings.id_field is not None:
            fields = {**fields, self._settings.id_field: delivery.key}
        return OutgoingEvent(id=str(uuid.uuid5(_NAMESPACE, delivery.key)), fields=fields)


def _fields(delivery: Delivery) -> Any:
    if delivery.body is not None:
        return delivery.body
    own = delivery.event.data.get("fields")
    return (
        {name: value for name, value in own.items() if name not in _STAMPS} if isinstance(own, dict) else {}
    )


def _org(settings: SalesforceSettings, context: PluginContext) -> Org:
    if settings.org is not None:
        _check_login(settings.org, now=context.clock.now())
        return OrgAccess(settings=settings.org, clock=context.clock, logins=Logins(context.clock))
    if context.org is None:
        raise ConfigurationError("org is missing: the plugin was not given the daemon's org")
    return context.org


def _check_login(org: OrgSettings, *, now: float) -> None:
    safe_address(org.login_url, named="org.login_url", allow_http=org.allow_http)
    token_form(org.auth, login_url=org.login_url, now=now)


def _check_loop(settings: SalesforceSettings, context: PluginContext) -> None:
    is_same = settings.org is None or (
        context.org is not None and settings.org.login_url == context.org.login_url
    )
    if is_same and not settings.allow_loop and context.receives(f"salesforce.event.{settings.event}"):
        raise ConfigurationError(
            f"event is {settings.event}, which the daemon reads and this subscriber's on selects, so that "
            "each delivery would cause the next: narrow on, or set allow_loop: true and let when end the loop"
        )
