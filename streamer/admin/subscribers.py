"""Resource that lists, pauses, resumes, probes and tests subscribers."""

import uuid
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

import orjson
import structlog
from aiohttp import web

from streamer.admin.context import AdminContext, DaemonState
from streamer.admin.json_views import optional_time, rfc3339
from streamer.admin.middleware import json_response
from streamer.admin.processes.state import (
    ReportedStatus,
    ReportedSubscriber,
    sum_of,
)
from streamer.admin.schemas import (
    ApiError,
    ChangeRequest,
    PauseRequest,
    TestEventRequest,
    body_of,
)
from streamer.blocking import calling
from streamer.clock import Clock
from streamer.controls import AuditRecord, Control, ControlState, Switch
from streamer.dispatch.delivery.attempts import AttemptResult, Attempts
from streamer.dispatch.delivery.plugin_calls import PluginCalls
from streamer.dispatch.lanes.lanes import Lane
from streamer.errors import StreamerError
from streamer.events import Entry, Event, EventId, JsonObject, Outcome, Partition, ReplayId, SubscriberName
from streamer.normalise.malformed import from_epoch_ms
from streamer.observe.metrics import Metrics
from streamer.observe.subscriber_status import LastFailure, SubscriberStatus


class DeliveryState(StrEnum):
    """State of a subscriber in words that the API, the commands and the console share."""

    DELIVERING = "delivering"
    FAILING = "failing"
    """Attempts fail, and their events wait for the next attempt."""
    LATE = "late"
    """An event waits longer than `deliver_within` allows."""
    HELD = "held"
    TARGET_DOWN = "target down"
    CANT_START = "can't start"
    """The subscriber's plugin can't be opened."""
    PAUSED = "paused"
    NOT_HERE = "not here"
    """No process that answers delivers to the subscriber."""


# A pause is not in this list, because it comes from the log and not from a process.
_WORST_FIRST = (
    DeliveryState.CANT_START,
    DeliveryState.TARGET_DOWN,
    DeliveryState.FAILING,
    DeliveryState.LATE,
    DeliveryState.HELD,
    DeliveryState.DELIVERING,
)

TEST_TYPE = "streamer.test"
"""Type of a test event, which no Salesforce event has."""

_ANSWER_LIMIT = 2_000
_TEST_DATA: JsonObject = {"entity": "StreamerTest", "change": "CREATE", "fields": {}}
_log = structlog.get_logger()


def trial_event(now: float, data: JsonObject | None) -> Event:
    """Return a new test event, whose type, source and data mark the event as a test."""
    name = f"streamer-test-{uuid.uuid4()}"
    return Event(
        id=EventId(name),
        source="urn:streamer:test",
        type=TEST_TYPE,
        subject=name,
        time=from_epoch_ms(int(now * 1000)),
        key=name,
        channel=TEST_TYPE,
        replay_id=ReplayId(b""),
        data={**(_TEST_DATA if data is None else data), "test": True},
    )


async def deliver_trial(daemon: DaemonState, name: SubscriberName, event: Event, clock: Clock) -> JsonObject:
    """Deliver `event` once, regardless of `when`, and return the outcome as JSON.

    The test opens a new plugin. So the test includes a login, and works while the
    subscriber is paused or runs in another process.
    """
    plan = daemon.plan
    attempts = Attempts(
        plugin=PluginCalls(
            name=name,
            subscriber=plan.subscribers[name](),
            timeout_s=plan.settings.subscribers[name].deliver_timeout_s,
            clock=clock,
        ),
        route=replace(plan.routes[name], when=None),
        # Separate metrics keep the test out of the daemon's counts.
        observer=Metrics(clock=clock).subscriber(name),
        enrichment=daemon.enrichment(name),
    )
    entry = Entry(partition=Partition(topic=TEST_TYPE, number=0), offset=0, event=event)
    lane = Lane(partition=entry.partition, name=event.key, entries=deque([entry]))
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(attempts.opened())
        except StreamerError as error:
            return {"outcome": "unopened", "reason": str(error)}
        shaped = await attempts.shaped(lane, tuple)
        with calling(name):
            attempt = shaped if isinstance(shaped, AttemptResult) else await attempts.delivered(lane, shaped)
    return {**_outcome_json(attempt.outcome), "seconds": round(attempt.seconds, 3)}


def _outcome_json(outcome: Outcome) -> JsonObject:
    fields = asdict(outcome)
    said = fields.pop("answer", "")
    text = said if isinstance(said, str) else orjson.dumps(said, default=str).decode()
    return {"outcome": type(outcome).__name__.lower(), **fields, "answer": text[:_ANSWER_LIMIT]}


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberResource:
    """`/subscribers`."""

    context: AdminContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this resource."""
        return [
            web.get("/subscribers", self._list),
            web.post("/subscribers/{name}/pause", self._pause),
            web.post("/subscribers/{name}/resume", self._resume),
            web.post("/subscribers/{name}/probe", self._probe),
            web.post("/subscribers/{name}/test", self._test),
        ]

    async def subscribers(self) -> JsonObject:
        """Return all subscribers with their states. Raises `LogUnavailable`."""
        await self.context.reports.refresh()
        board = await self.context.control_state()
        names, blocked = self.context.daemon.plan.settings.subscribers, self._blocked
        return {
            "subscribers": [self._as_json(name, board, blocked) for name in names],
            "missing": [*self.context.reports.missing],
        }

    def reported(self, board: ControlState) -> Mapping[SubscriberName, ReportedSubscriber]:
        """Return this process's share of each subscriber, for the other processes."""
        blocked = self.context.views.condition().blocked_plugins
        return {
            name: ReportedSubscriber(
                state=here["state"],
                blocked=blocked.get(name, ""),
                here=here["here"] and ReportedStatus.model_validate(here["here"]),
            )
            for name in self.context.daemon.plan.settings.subscribers
            if (here := self._here(name, board, blocked))["here"] or name in blocked
        }

    async def pause(self, asked_name: str, asked: PauseRequest) -> JsonObject:
        """Pause a subscriber. Raises `ApiError` and `LogUnavailable`."""
        name = self._named(asked_name)
        board = await self.context.control_state()
        if board.pauses(name):
            # The first pause's reason stays in effect; the audit records the second reason.
            await self.context.log.controls.note(
                self._audit(name, "subscriber.paused", asked.by, asked.reason)
            )
            return {**self._as_json(name, board, self._blocked), "was_paused": True}
        answer = await self._switched(name, Switch.PAUSED, by=asked.by, reason=asked.reason)
        return {**answer, "was_paused": False}

    async def resume(self, name: str, asked: ChangeRequest) -> JsonObject:
        """End a subscriber's pause. Raises `ApiError` and `LogUnavailable`."""
        return await self._switched(self._named(name), Switch.RUNNING, by=asked.by)

    async def probe(self, asked_name: str, asked: ChangeRequest) -> JsonObject:
        """Try a target now, without the remaining wait. Raises `ApiError` and `LogUnavailable`."""
        name = self._named(asked_name)
        board = await self.context.control_state()
        if board.pauses(name):
            raise ApiError(
                409,
                (
                    f"{name} is paused, and a probe delivers nothing during a pause: resume the "
                    "subscriber instead."
                ),
            )
        dispatcher = self.context.daemon.dispatchers.get(name)
        if dispatcher is None:
            raise ApiError(
                409,
                (
                    f"This process does not deliver to {name}: send the request to a process that "
                    f"delivers to {name}."
                ),
            )
        hindrance = dispatcher.status.hindrance
        await self.context.log.controls.note(self._audit(name, "subscriber.probed", asked.by, hindrance))
        _log.info("subscriber.probed", subscriber=name, by=asked.by, held=hindrance)
        dispatcher.probe_now()
        return {**self._as_json(name, board, self._blocked), "was_held": hindrance}

    async def test(self, asked_name: str, asked: TestEventRequest) -> JsonObject:
        """Deliver a test event once, and return the outcome."""
        name, context = self._named(asked_name), self.context
        event = trial_event(context.clock.now(), asked.data)
        # The audit comes before the request, so no request leaves without a record.
        await context.log.controls.note(
            AuditRecord(
                at=context.clock.now(),
                what="subscriber.tested",
                by=asked.by,
                subscriber=name,
                detail={"event": event.id},
            )
        )
        result = await deliver_trial(context.daemon, name, event, context.clock)
        _log.info("subscriber.tested", subscriber=name, by=asked.by, outcome=result["outcome"])
        return {"subscriber": name, "event": event.id, **result}

    async def _list(self, _request: web.Request) -> web.Response:
        return json_response(await self.subscribers())

    async def _pause(self, request: web.Request) -> web.Response:
        name = self._named(request.match_info["name"])
        return json_response(await self.pause(name, await body_of(request, PauseRequest)))

    async def _resume(self, request: web.Request) -> web.Response:
        name = self._named(request.match_info["name"])
        return json_response(await self.resume(name, await body_of(request, ChangeRequest)))

    async def _probe(self, request: web.Request) -> web.Response:
        name = self._named(request.match_info["name"])
        return json_response(await self.probe(name, await body_of(request, ChangeRequest)))

    async def _test(self, request: web.Request) -> web.Response:
        name = self._named(request.match_info["name"])
        return json_response(await self.test(name, await body_of(request, TestEventRequest)))

    async def _switched(self, name: SubscriberName, to: Switch, *, by: str, reason: str = "") -> JsonObject:
        now = self.context.clock.now()
        control = Control(subscriber=name, switch=to, by=by, at=now, reason=reason)
        what = "subscriber.paused" if to is Switch.PAUSED else "subscriber.resumed"
        await self.context.log.controls.switch(control, self._audit(name, what, by, reason))
        # The log can take a moment to show the switch, and the next request must find it.
        board = await self.context.control_state(lambda board: board.controls.get(name) == control)
        return self._as_json(name, board, self._blocked)

    def _audit(self, name: SubscriberName, what: str, by: str, reason: str) -> AuditRecord:
        detail: JsonObject = {"reason": reason} if reason else {}
        return AuditRecord(at=self.context.clock.now(), what=what, by=by, subscriber=name, detail=detail)

    def _named(self, name: str) -> SubscriberName:
        self.context.subscriber_settings(name)
        return SubscriberName(name)

    @property
    def _blocked(self) -> Collection[SubscriberName]:
        """Subscribers whose plugin can't be opened."""
        return self.context.views.condition().blocked_plugins.keys()

    def _as_json(
        self, name: SubscriberName, board: ControlState, blocked: Collection[SubscriberName]
    ) -> JsonObject:
        settings = self.context.subscriber_settings(name)
        here = self._here(name, board, blocked)
        shares = [
            found for _, state in self.context.reports.answering if (found := state.subscribers.get(name))
        ]
        return {
            "name": name,
            "uses": settings.uses,
            "on": settings.on,
            "after": settings.after,
            "state": _state_of(here["state"], shares),
            **_control_json(board.controls.get(name)),
            "here": here["here"],
            "total": _total(here["here"], [each.here for each in shares if each.here]),
        }

    def _here(
        self, name: SubscriberName, board: ControlState, blocked: Collection[SubscriberName]
    ) -> JsonObject:
        """Return the state and the status of a subscriber in this process alone."""
        dispatcher = self.context.daemon.dispatchers.get(name)
        status = None if dispatcher is None else dispatcher.status
        return {
            "state": delivery_state(status, is_paused=board.pauses(name), is_blocked=name in blocked),
            "here": None if status is None else _status_json(status),
        }


def _state_of(here: DeliveryState, shares: Sequence[ReportedSubscriber]) -> DeliveryState:
    """Return the worst state of a subscriber in all processes; a pause is the same for all of them."""
    if here is DeliveryState.PAUSED:
        return here
    found = {here, *(each.state for each in shares)}
    return next((each for each in _WORST_FIRST if each in found), here)


def _total(here: JsonObject | None, elsewhere: Sequence[ReportedStatus]) -> JsonObject | None:
    """Return the status of a subscriber in all processes together, with the keys of `here`."""
    if not elsewhere:
        return here
    own = [ReportedStatus.model_validate(here)] if here else []
    total: JsonObject = sum_of([*own, *elsewhere]).model_dump(mode="json", by_alias=True)
    return total


def delivery_state(
    status: SubscriberStatus | None, *, is_paused: bool = False, is_blocked: bool = False
) -> DeliveryState:
    """Return a subscriber's state in one word; `status` is `None` if this process does not deliver to it.

    `is_blocked` is true while the plugin can't be opened. A failure counts only while
    an event waits for the next attempt.
    """
    if is_paused:
        return DeliveryState.PAUSED
    if is_blocked:
        return DeliveryState.CANT_START
    return DeliveryState.NOT_HERE if status is None else _state_here(status)


def _state_here(status: SubscriberStatus) -> DeliveryState:
    if status.is_down:
        return DeliveryState.TARGET_DOWN
    if status.last_failure is not None and status.lag + status.parked > 0:
        return DeliveryState.FAILING
    if status.lateness:
        return DeliveryState.LATE
    return DeliveryState.HELD if status.is_held else DeliveryState.DELIVERING


def _status_json(status: SubscriberStatus) -> JsonObject:
    return {
        "held": status.hindrance,
        "breaker": "open" if status.is_down else "closed",
        "down_since": optional_time(status.down_since),
        "lag": status.lag,
        "oldest_waits_s": round(status.waited_s, 1),
        "late": status.lateness,
        "waiting": status.waiting,
        "parked": status.parked,
        "in_flight": status.in_flight,
        "limit": status.limit,
        "failing": _failure_json(status.last_failure),
        "next_try": optional_time(status.next_try_at),
    }


def _control_json(control: Control | None) -> JsonObject:
    if control is None:
        return {"switch": Switch.RUNNING, "by": None, "reason": "", "since": None}
    return {
        "switch": control.switch,
        "by": control.by,
        "reason": control.reason,
        "since": rfc3339(control.at),
    }


def _failure_json(failure: LastFailure | None) -> JsonObject | None:
    if failure is None:
        return None
    return {
        "error": failure.error,
        "class": failure.failure,
        "since": rfc3339(failure.since),
        "at": rfc3339(failure.at),
        "count": failure.count,
    }
