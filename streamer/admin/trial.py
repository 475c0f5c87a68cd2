"""Trial: one test event, delivered once to a target, outside lanes and log."""

import uuid
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import asdict, replace

import orjson

from streamer.admin.ports import DaemonState
from streamer.clock import Clock
from streamer.dispatch.delivery.attempts import AttemptResult, Attempts
from streamer.dispatch.lanes.lane import Lane
from streamer.errors import StreamerError
from streamer.events import Entry, Event, EventId, JsonObject, Outcome, Partition, ReplayId, SubscriberName
from streamer.normalise.times import from_epoch_ms
from streamer.observe.metrics import Metrics

TEST_TYPE = "streamer.test"
"""Type of a test event; no event of Salesforce has it."""

_ANSWER_LIMIT = 2_000
_DATA: JsonObject = {"entity": "StreamerTest", "change": "CREATE", "fields": {}}


def trial_event(now: float, data: JsonObject | None) -> Event:
    """Return a new test event, marked in its type, its source and its data."""
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
        data={**(_DATA if data is None else data), "test": True},
    )


async def deliver_trial(daemon: DaemonState, name: SubscriberName, event: Event, clock: Clock) -> JsonObject:
    """Deliver `event` once, whatever `when` says, and return the outcome as JSON.

    It opens a plugin of its own, so that the login is tried too, and so that a
    target can be tried while its subscriber is paused or runs in another
    process.
    """
    plan = daemon.plan
    attempts = Attempts(
        name=name,
        subscriber=plan.subscribers[name](),
        route=replace(plan.routes[name], when=None),
        timeout_s=plan.settings.subscribers[name].deliver_timeout_s,
        clock=clock,
        # Metrics of its own, so that a test is not counted.
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
        attempt = shaped if isinstance(shaped, AttemptResult) else await attempts.delivered(lane, shaped)
    return {**_as_json(attempt.outcome), "seconds": round(attempt.seconds, 3)}


def _as_json(outcome: Outcome) -> JsonObject:
    fields = asdict(outcome)
    said = fields.pop("answer", "")
    text = said if isinstance(said, str) else orjson.dumps(said, default=str).decode()
    return {"outcome": type(outcome).__name__.lower(), **fields, "answer": text[:_ANSWER_LIMIT]}
