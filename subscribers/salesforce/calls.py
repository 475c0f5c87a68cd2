"""Operation that calls an Apex method of the org."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import structlog

from streamer.events import Delivered, Delivery, JsonObject, Outcome, Reject, Skip, SubscriberName
from streamer.ports import ApexRestCall, ApexSoapCall, CallResult, OrgWriter
from subscribers.salesforce.operation import delivered_together, fields_of
from subscribers.salesforce.outcomes import outcome_of_call, refusal_delay_s
from subscribers.salesforce.settings import CallSettings, SalesforceSettings

_log = structlog.get_logger()

_HINT = "map body to the arguments of the method"
_WITHOUT_BODY = frozenset({"GET", "DELETE"})
# If more calls than this have no answer yet, the org is probably not healthy.
_MOST_UNWAITED = 100


class _Prepared(NamedTuple):
    call: ApexRestCall | ApexSoapCall


class ApexCalling:
    """Calls a method once for each delivery, with the subscriber's `body` as its arguments.

    Without `wait`, an event is delivered when its call has been sent. The answers
    of up to 100 calls are read in the background. A failure before the call was
    sent is a failed attempt; a later failure is only logged.
    """

    def __init__(self, settings: SalesforceSettings, writer: OrgWriter, name: SubscriberName) -> None:
        self._settings = settings
        self._call = chosen_call(settings)
        self._method = name_of_call(settings)
        self._writer = writer
        self._name = name
        self._unwaited: set[asyncio.Task[CallResult]] = set()
        self._slots = asyncio.Semaphore(_MOST_UNWAITED)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Wait for the calls in the background, which have their own time limits."""
        if self._unwaited:
            await asyncio.wait(self._unwaited)

    async def deliver(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Make one call for each delivery, and return the outcomes."""
        return await delivered_together(deliveries, self._prepared, self._called)

    def _prepared(self, delivery: Delivery) -> _Prepared | Outcome:
        made = call_of(self._settings, delivery)
        return _Prepared(made) if isinstance(made, ApexRestCall | ApexSoapCall) else made

    async def _called(self, deliveries: Sequence[Delivery], calls: Sequence[_Prepared]) -> Sequence[Outcome]:
        each = self._answered if self._call.wait else self._sent
        return [await each(delivery, call) for delivery, call in zip(deliveries, calls, strict=True)]

    async def _answered(self, delivery: Delivery, prepared: _Prepared) -> Outcome:
        return self._outcome(delivery, await self._writer.call(prepared.call))

    def _outcome(self, delivery: Delivery, result: CallResult) -> Outcome:
        again_s = refusal_delay_s(delivery.attempt, self._settings.refusal_tries)
        return outcome_of_call(result, self._method, again_s=again_s)

    async def _sent(self, delivery: Delivery, prepared: _Prepared) -> Outcome:
        """Start the call, wait until the call has been sent or has failed, and return the outcome."""
        sent = asyncio.Event()
        await self._slots.acquire()
        task = asyncio.create_task(
            self._writer.call(prepared.call, on_sent=sent.set), name=f"call {self._method} for {self._name}"
        )
        task.add_done_callback(lambda _: self._slots.release())
        task.add_done_callback(lambda _: sent.set())
        try:
            await sent.wait()
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.done():
            return self._outcome(delivery, task.result())
        self._unwaited.add(task)
        task.add_done_callback(lambda ended: self._note(delivery, ended))
        return Delivered(answer={"call": self._method, "waited": False})

    def _note(self, delivery: Delivery, ended: "asyncio.Task[CallResult]") -> None:
        self._unwaited.discard(ended)
        if ended.cancelled():
            reason = "the call was cancelled"
        elif (error := ended.exception()) is not None:
            reason = type(error).__name__
        else:
            outcome = self._outcome(delivery, ended.result())
            if isinstance(outcome, Delivered):
                return
            reason = outcome.reason
        _log.warning("call.failed", subscriber=self._name, event_id=delivery.event.id, reason=reason)


def call_of(settings: SalesforceSettings, delivery: Delivery) -> ApexRestCall | ApexSoapCall | Outcome:
    """Return the call for a delivery, or the outcome if there is no call."""
    chosen = chosen_call(settings)
    fields = fields_of({} if delivery.body is None else delivery.body, hint=_HINT)
    if isinstance(fields, Skip):
        # A method can have no arguments.
        fields = {}
    if isinstance(fields, Reject):
        return fields
    if settings.id_field is not None:
        fields[settings.id_field] = delivery.key
    if chosen.soap is not None:
        return ApexSoapCall(apex_class=chosen.soap, method=chosen.method, arguments=fields)
    values: dict[str, str] = {}
    for name in dict.fromkeys(chosen.placeholders):
        value = fields.pop(name, None)
        if not _is_scalar(value) or str(value) in {"", ".", ".."}:
            return Reject(
                reason=f"the body has no member {name} with a value that fits into the path",
                hint=f"map {name} in body to a text or a number",
                sent=False,
            )
        values[name] = quote(str(value), safe="")
    path = chosen.path(values)
    if chosen.method in _WITHOUT_BODY:
        return ApexRestCall(method=chosen.method, path=path, query=_query(fields))
    return ApexRestCall(method=chosen.method, path=path, body=fields)


def chosen_call(settings: SalesforceSettings) -> CallSettings:
    """Return the call that the settings choose."""
    if settings.call is None:
        raise TypeError("the settings choose no call")
    return settings.call


def name_of_call(settings: SalesforceSettings) -> str:
    """Return the name of the chosen method for messages."""
    call = chosen_call(settings)
    return f"{call.soap}.{call.method}" if call.soap is not None else f"{call.method} {call.rest}"


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | Decimal) and not isinstance(value, bool)


def _query(fields: JsonObject) -> dict[str, str]:
    return {
        name: ("true" if value else "false") if isinstance(value, bool) else str(value)
        for name, value in fields.items()
        if value is not None
    }
