"""Implementation of the Salesforce plugin."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Final, Self

from streamer.errors import ConfigurationError, StreamerError
from streamer.events import Delivery, Event, FailureClass, Hold, Outcome, Skip
from streamer.ports import Org, OrgWriter, PluginContext, Preview, TargetReport, Unanswered
from streamer.salesforce.auth.flows import Logins, safe_address, token_form
from streamer.salesforce.publish.access import OrgAccess
from streamer.settings import OrgSettings
from subscribers.holds import RECHECK_S
from subscribers.salesforce.calls import ApexCalling
from subscribers.salesforce.operation import Operation, delivered_together
from subscribers.salesforce.outcomes import outcome_of_call
from subscribers.salesforce.own_changes import is_of_client, is_of_user
from subscribers.salesforce.preview import preview_of
from subscribers.salesforce.publishing import Publishing
from subscribers.salesforce.records import RecordMapping, RecordWriting
from subscribers.salesforce.settings import OwnChanges, SalesforceSettings


class Salesforce:
    """Performs one operation for each event; the settings choose the operation and the org.

    The operation publishes a platform event, updates, upserts, creates or deletes a
    record, or calls an Apex method. Change events that this deployment itself has
    caused are skipped, so a subscriber that changes the same record causes no loop.
    All deliveries share a connection and a login.
    """

    Settings = SalesforceSettings
    uses_org: Final = True
    takes_text: Final = False

    def __init__(self, settings: SalesforceSettings, context: PluginContext) -> None:
        """Raise `ConfigurationError` for a loop and for unusable credentials."""
        self._settings = settings
        self._context = context
        self._org = _org(settings, context)
        self._own_changes = _own_changes(settings, context, self._org)
        self._open = AsyncExitStack()
        self._operation: Operation | None = None
        self._writer: OrgWriter | None = None
        _check_loop(settings, context)

    @property
    def batch_size(self) -> int:
        """Largest number of deliveries in one call; a call of an Apex method has only one delivery."""
        return 1 if self._settings.call is not None else self._settings.batch_size

    @property
    def batch_wait_s(self) -> float:
        """Longest time for which the first delivery of a call waits for further deliveries."""
        return self._settings.batch_wait_s

    async def __aenter__(self) -> Self:
        """Open the connection; raises `ConfigurationError` for an unusable address or file."""
        self._operation = await self._open.enter_async_context(self._opened())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._operation = self._writer = None
        await self._open.aclose()

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Deliver once, and return the outcome."""
        [outcome] = await self.deliver_many([delivery])
        return outcome

    def preview(self, delivery: Delivery, /) -> Preview | Outcome:
        """Return the request that would be sent, or the outcome.

        A preview does not log in, so `own_changes: user` has no effect.
        """
        return self._own_change(delivery, "") or preview_of(self._settings, self._org, delivery)

    async def examine_target(self) -> TargetReport:
        """Log in, and change nothing."""
        async with self._org.writer(timeout_s=self._settings.timeout_s) as writer:
            try:
                user = await writer.user()
            except StreamerError as error:
                return TargetReport(is_well=False, found=str(error))
        known = f" as user {user}" if user else ""
        found = (
            f"the login to {self._org.login_url} works{known}; the operation "
            f"{self._settings.operation} was not tried"
        )
        return TargetReport(is_well=True, found=found)

    async def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Deliver each event once, many in one call, and return the outcomes."""
        operation = self._operation
        if operation is None:
            raise RuntimeError("the plugin is not open")
        user = await self._user()
        if not isinstance(user, str):
            return [user] * len(deliveries)

        def guarded(delivery: Delivery) -> Delivery | Outcome:
            return self._own_change(delivery, user) or delivery

        return await delivered_together(
            deliveries, guarded, lambda _, remaining: operation.deliver(remaining)
        )

    async def _user(self) -> str | Outcome:
        """Return the user whose changes are skipped, or the outcome if the user is unknown.

        The result is empty if no user's changes are skipped.
        """
        if self._own_changes is not OwnChanges.USER or self._writer is None:
            return ""
        try:
            user = await self._writer.user()
        except StreamerError as error:
            return outcome_of_call(Unanswered(error=error), "", again_s=None)
        return user or Hold(
            reason="the login returned no user: give the app the scope openid, or set own_changes: client",
            after_s=RECHECK_S,
            alert=True,
            failure=FailureClass.REFUSED_CREDENTIALS,
        )

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Operation]:
        settings = self._settings
        if settings.event is not None:
            async with self._org.publisher(settings.transport, timeout_s=settings.timeout_s) as publisher:
                yield Publishing(
                    publisher=publisher,
                    event=settings.event,
                    id_field=settings.id_field,
                    refusal_tries=settings.refusal_tries,
                )
            return
        async with self._org.writer(timeout_s=settings.timeout_s) as writer:
            self._writer = writer
            if settings.call is not None:
                async with ApexCalling(settings, writer, self._context.name) as calling:
                    yield calling
                return
            yield RecordWriting(
                writer=writer,
                shape=RecordMapping.of(settings),
                refusal_tries=settings.refusal_tries,
            )

    def _own_change(self, delivery: Delivery, user: str) -> Skip | None:
        if not self._is_own(delivery.event, user):
            return None
        return Skip(reason="this deployment of Streamer caused the change", sent=False)

    def _is_own(self, event: Event, user: str) -> bool:
        match self._own_changes:
            case OwnChanges.CLIENT:
                return is_of_client(event, self._org.client_name or "")
            case OwnChanges.USER:
                return is_of_user(event, user)
            case OwnChanges.DELIVER:
                return False


def _org(settings: SalesforceSettings, context: PluginContext) -> Org:
    if settings.org is not None:
        _check_login(settings.org, now=context.clock.now())
        return OrgAccess(settings=settings.org, clock=context.clock, logins=Logins(context.clock))
    if context.org is None:
        raise ConfigurationError(
            "org is missing, and the daemon has no org: set org in the subscriber's settings"
        )
    return context.org


def _check_login(org: OrgSettings, *, now: float) -> None:
    safe_address(org.login_url, named="org.login_url", allow_http=org.allow_http)
    token_form(org.auth, login_url=org.login_url, now=now)


def _own_changes(settings: SalesforceSettings, context: PluginContext, org: Org) -> OwnChanges:
    """Return the treatment of own changes; raises `ConfigurationError` if they can't be recognised."""
    chosen = settings.own_changes
    if chosen is None:
        writes = settings.event is None
        chosen = OwnChanges.CLIENT if writes and _is_same_org(settings, context) else OwnChanges.DELIVER
    if chosen is OwnChanges.CLIENT and not org.client_name:
        raise ConfigurationError(
            "org.client_name is missing: set a name for this deployment, such as acme-erp-bus. "
            "Salesforce marks the deployment's changes with this name, so that Streamer can skip "
            "them; without the name, each change could cause another change. Or set own_changes to "
            "user or deliver"
        )
    if chosen is OwnChanges.USER and settings.event is not None:
        raise ConfigurationError("own_changes: user does not work with event: set own_changes to client")
    return chosen


def _is_same_org(settings: SalesforceSettings, context: PluginContext) -> bool:
    return settings.org is None or (
        context.org is not None and settings.org.login_url == context.org.login_url
    )


def _check_loop(settings: SalesforceSettings, context: PluginContext) -> None:
    if (
        settings.event is not None
        and _is_same_org(settings, context)
        and not settings.allow_loop
        and context.receives(f"salesforce.event.{settings.event}")
    ):
        raise ConfigurationError(
            f"the subscriber publishes {settings.event} and also receives this event through `on`, so "
            "each delivery would cause another delivery: exclude the event from `on`, or set "
            "allow_loop: true and stop the loop with `when`"
        )
