"""An org whose writer answers as a test says, and plugins that write into it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from streamer.clock import TurnedClock
from streamer.events import Delivery, Event, JsonObject, Outcome
from streamer.ports import (
    Answered,
    ApexRestCall,
    ApexSoapCall,
    CallResult,
    EventPublisher,
    OrgWriter,
    OutgoingEvent,
    PluginContext,
    Preview,
    PublishTransport,
    Unpublished,
    WriteOperation,
    WriteRefused,
    WriteResult,
    Written,
)
from subscribers.salesforce import Salesforce
from tests.deliveries import context, event

CLIENT = "acme-bus"
USER = "005000000000001AAA"


def _nobody() -> None:
    pass


class WithoutPreviews:
    """Org that shows nothing."""

    def preview_of_event(
        self, transport: PublishTransport, topic: str, event: OutgoingEvent
    ) -> Preview | Unpublished:
        """Give none."""
        raise NotImplementedError

    def preview_of_record(self, operation: WriteOperation, record: JsonObject) -> Preview | WriteRefused:
        """Give none."""
        raise NotImplementedError

    def preview_of_call(self, call: ApexRestCall | ApexSoapCall) -> Preview | WriteRefused:
        """Give none."""
        raise NotImplementedError


@dataclass
class ScriptedOrg(WithoutPreviews):
    """Org that answers each record with `result` and each call with `answer`, and keeps what it was sent."""

    result: WriteResult | None = None
    answer: CallResult = field(default_factory=lambda: Answered(value={"number": "7"}))
    client_name: str | None = CLIENT
    user_id: str = USER
    login_url: str = "https://acme.my.salesforce.com"
    written: list[tuple[WriteOperation, list[JsonObject]]] = field(default_factory=list)
    called: list[ApexRestCall | ApexSoapCall] = field(default_factory=list)

    def publisher(
        self, transport: PublishTransport, *, timeout_s: float
    ) -> AbstractAsyncContextManager[EventPublisher]:
        """Give none."""
        raise NotImplementedError

    @asynccontextmanager
    async def writer(self, *, timeout_s: float) -> AsyncIterator[OrgWriter]:
        """Be the writer, too."""
        del timeout_s
        yield self

    async def user(self) -> str:
        """Return the user."""
        return self.user_id

    async def write(
        self, operation: WriteOperation, records: Sequence[JsonObject], /
    ) -> Sequence[WriteResult]:
        """Take the records."""
        self.written.append((operation, [dict(each) for each in records]))
        return [self.result or Written(record_id=str(each.get("Id", "001"))) for each in records]

    async def call(
        self, call: ApexRestCall | ApexSoapCall, /, *, on_sent: Callable[[], None] = _nobody
    ) -> CallResult:
        """Take the call."""
        self.called.append(call)
        on_sent()
        return self.answer


def plugin(reads: ScriptedOrg | None, /, **settings: Any) -> Salesforce:
    """Return the plugin of a daemon that `reads` an org."""
    given: PluginContext = replace(context(TurnedClock()), org=reads)
    return Salesforce(Salesforce.Settings.model_validate(settings), given)


async def outcomes_of(org: ScriptedOrg, *deliveries: Delivery, **settings: Any) -> Sequence[Outcome]:
    """Return the outcomes of deliveries that come together."""
    async with plugin(org, **settings) as opened:
        return await opened.deliver_many(deliveries)


async def outcome_of(org: ScriptedOrg, of: Delivery, **settings: Any) -> Outcome:
    """Return the outcome of one delivery."""
    [outcome] = await outcomes_of(org, of, **settings)
    return outcome


def change(
    *,
    origin: str = "",
    user: str = "005000000000009AAA",
    entity: str = "Opportunity",
    subject: str = "006000000000001AAA",
) -> Event:
    """Return the change event of a record."""
    return event(
        f"salesforce.cdc.{entity}.updated",
        subject=subject,
        data={
            "entity": entity,
            "fields": {"StageName": "Closed Won"},
            "transaction": {"key": "tx", "origin": origin, "user": user},
        },
    )
