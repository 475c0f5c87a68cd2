"""One subscription: its credit, its position, and the responses of its stream."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError
from grpc import StatusCode

from streamer.eventbus import ConsumerEvent, FetchRequest, FetchResponse
from streamer.sandbox.access.events import EventView
from streamer.sandbox.faults.armed import STREAM, InjectionPoint
from streamer.sandbox.org.bus import StoredMessage
from streamer.sandbox.pubsub.avro.events import Events
from streamer.sandbox.pubsub.calls import AdmittedCall, CallAdmission, connection_lost, next_request
from streamer.sandbox.pubsub.context import PubSubContext
from streamer.sandbox.pubsub.errors import (
    FETCH_OVERFLOW,
    REQUESTED_EVENTS_INVALID,
    TOPIC_MISMATCH,
    CallAborted,
    invalid,
)
from streamer.sandbox.pubsub.replay_ids import ReplayIds

# Number of events that the user can't see and that are skipped without a pause.
_SCANNED_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionParts:
    """Dependencies that all subscriptions share, in addition to the context."""

    admission: CallAdmission
    events: Events
    replay_ids: ReplayIds


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStart:
    """Start of a subscription: its topic, the sequence number after which it begins, and its user's view."""

    path: str
    position: int
    view: EventView | None
    default_schema: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Deadline:
    """A time on the monotonic clock, and the step to take then.

    The step returns true if the stream continues.
    """

    at: float
    step: Callable[[], Awaitable[bool]]


class EventStream:
    """Sends one stream its events, in the order of their replay ids.

    A response has as many events as the client requested, unless these events are too
    large together.
    """

    def __init__(
        self,
        context: PubSubContext,
        parts: SubscriptionParts,
        call: AdmittedCall,
        stream: Any,
        start: StreamStart,
    ) -> None:
        """Begin after `start.position`; `stream` is gRPC's context of the call."""
        self._context = context
        self._armed = context.faults.armed
        self._parts = parts
        self._call = call
        self._stream = stream
        self._start = start
        self._position = start.position
        self._pending = 0
        self._failure: CallAborted | None = None
        self._is_half_closed = False
        self._keeps_alive = True
        self._woken = asyncio.Event()
        self._began_at = self._quiet_since = context.clock.monotonic()
        fault = self._armed.strike("age_limit", self._point)
        self._ends_at = None if fault is None else self._began_at + fault.settings["seconds"]

    @property
    def path(self) -> str:
        """Topic of the subscription."""
        return self._start.path

    def wake(self) -> None:
        """Let the stream check again for events, for faults, and whether its token is still valid."""
        self._woken.set()

    def add_credit(self, request: FetchRequest) -> None:
        """Add the number of events that a request asks for; raises `CallAborted` for an invalid request."""
        if request.topic_name not in {"", self.path}:
            raise invalid(TOPIC_MISMATCH, f"The topic of this stream is {self.path}, and can't be changed.")
        if request.num_requested <= 0:
            raise invalid(REQUESTED_EVENTS_INVALID, "The number of requested events must be above 0.")
        limits = self._context.limits
        asked = self._pending + request.num_requested
        if limits.refuse_excess and asked > limits.credit:
            raise invalid(
                FETCH_OVERFLOW, f"The client requested {asked} events, but the limit is {limits.credit}."
            )
        if not self._pending:
            self._quiet_since = self._context.clock.monotonic()
        self._pending = min(asked, limits.credit)

    async def run(self) -> None:
        """Send responses until the stream ends; raises `CallAborted` if the stream ends with an error."""
        requests = asyncio.create_task(self._read(), name="sandbox.pubsub.requests")
        try:
            while await self._turn():
                pass
        finally:
            requests.cancel()
            await asyncio.gather(requests, return_exceptions=True)

    @property
    def _point(self) -> InjectionPoint:
        return InjectionPoint(on=STREAM, path=self._start.path)

    async def _read(self) -> None:
        while not self._is_half_closed and self._failure is None:
            try:
                request = await next_request(self._stream)
                if request is None:
                    self._is_half_closed = True
                else:
                    self.add_credit(request)
            except CallAborted as error:
                self._failure = error
            except DecodeError:
                self._failure = CallAborted(StatusCode.INTERNAL, None, "The request is not a FetchRequest.")
            self.wake()

    async def _turn(self) -> bool:
        """Take one step; return true if the stream continues."""
        if self._failure is not None:
            raise self._failure
        if not await self._survives_faults():
            return False
        position = self._position
        events = self._due()
        if events:
            await self._send(events)
        elif self._position != position:
            await asyncio.sleep(0)
        elif self._is_half_closed and not self._pending:
            return False
        else:
            return await self._wait()
        return True

    async def _survives_faults(self) -> bool:
        """Return false if a fault that is due ends the stream."""
        await self._parts.admission.strike(self._call.token, self._point)
        if self._armed.strike("half_open", self._point):
            await self._armed.until_healed()
            raise connection_lost()
        fault = self._armed.strike("end_stream", self._point)
        if fault is None:
            return True
        status = StatusCode[fault.settings["status"]]
        if status is not StatusCode.OK:
            raise CallAborted(status, fault.settings["error_code"], "The server ended the stream.")
        return False

    def _due(self) -> list[ConsumerEvent]:
        """Return the next events; the position moves past them, and past events that the user can't see.

        Raises `CallAborted` if events are due, but the org has used up its delivered
        events.
        """
        limits, bus = self._context.limits, self._context.bus
        until_fault = self._armed.events_until_due()
        wanted = self._pending if until_fault is None else min(self._pending, until_fault)
        if wanted and bus.since(self.path, self._position, 1):
            # An open stream is checked when an event arrives (CDC guide, allocations).
            self._parts.admission.check_delivery_limit()
            wanted = min(wanted, self._context.org.usage.delivered_events.remaining)
        found: list[ConsumerEvent] = []
        size = scanned = 0
        while len(found) < wanted and scanned < _SCANNED_AT_ONCE:
            some = bus.since(self.path, self._position, wanted - len(found))
            if not some:
                break
            scanned += len(some)
            for message in some:
                event = self._shown(message)
                size += 0 if event is None else len(event.event.payload)
                if found and size > limits.response_bytes:
                    return found
                self._position = message.sequence
                if event is not None:
                    found.append(event)
        return found

    def _shown(self, message: StoredMessage) -> ConsumerEvent | None:
        view = self._start.view
        data = message.data if view is None else view(message.data)
        if data is None:
            return None
        return self._parts.events.event(message, data, default_schema=self._start.default_schema)

    async def _send(self, events: list[ConsumerEvent]) -> None:
        self._pending -= len(events)
        self._armed.delivered += len(events)
        self._context.org.usage.delivered_events.use(len(events))
        await self._respond(events, events[-1].replay_id)

    async def _respond(self, events: list[ConsumerEvent], latest_replay_id: bytes) -> None:
        response = FetchResponse(
            events=events,
            latest_replay_id=latest_replay_id,
            rpc_id=self._call.id,
            pending_num_requested=self._pending,
        )
        self._quiet_since = self._context.clock.monotonic()
        await self._stream.write(response)

    async def _wait(self) -> bool:
        """Wait until the stream must check again; if a deadline passes first, take the deadline's step."""
        self._woken.clear()
        clock = self._context.clock
        deadline = min(self._deadlines(), key=lambda each: each.at, default=None)
        if deadline is None:
            await self._woken.wait()
            return True
        remaining_s = deadline.at - clock.monotonic()
        if remaining_s <= 0:
            return await deadline.step()
        try:
            async with clock.timeout(remaining_s):
                await self._woken.wait()
        except TimeoutError:
            return await deadline.step()
        return True

    def _deadlines(self) -> list[_Deadline]:
        limits = self._context.limits
        found = []
        if self._ends_at is not None:
            found.append(_Deadline(at=self._ends_at, step=self._end_for_age))
        if not self._pending:
            found.append(_Deadline(at=self._quiet_since + limits.idle_credit_s, step=self._end_for_no_credit))
        elif self._keeps_alive:
            found.append(_Deadline(at=self._quiet_since + limits.keepalive_s, step=self._keep_alive))
        return found

    async def _keep_alive(self) -> bool:
        if self._armed.strike("stop_keepalives", self._point):
            self._keeps_alive = False
            return True
        await self._respond([], self._parts.replay_ids.encode(self._context.bus.advance()))
        return True

    async def _end_for_no_credit(self) -> bool:
        return False

    async def _end_for_age(self) -> bool:
        raise connection_lost()
