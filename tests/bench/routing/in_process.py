"""Routing of events to many subscribers in this process, without a log and without targets."""

import gc
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jmespath
from jmespath.parser import ParsedResult

from streamer.app.assembly import Assembly
from streamer.app.enriching import SharedLookups
from streamer.app.plan import plan
from streamer.clock import SystemClock
from streamer.configuration import load_document
from streamer.dispatch.delivery.attempts import Attempts
from streamer.dispatch.lanes.lanes import Lane
from streamer.events import Delivery, Entry, Event, Partition
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.topic_naming import TopicNaming
from streamer.log.kafka.records.events import EventEncoder, decode
from streamer.log.memory import MemoryLog
from streamer.log.patterns import wants
from streamer.observe.metrics import Metrics
from streamer.ports import Wants
from streamer.settings import LookupsSettings
from tests.bench.events import record_id
from tests.bench.routing.deals import a_deal
from tests.bench.routing.results import Routed

STATES = "salesforce.state.{name}"

_SUBSCRIBERS = Path(__file__).with_name("subscribers.yaml")
_MATCHING = 2
_AT_ONCE = 1_000
_ACCOUNTS = [f"001{number:012d}AAA" for number in range(_AT_ONCE)]
_DEALS = Partition(topic="salesforce.cdc.Opportunity", number=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subscriber:
    """Subscriber as dispatch asks it: first by the type, and then by its expressions.

    `when` is its predicate as jmespath alone compiles it.
    """

    wants: Wants
    attempts: Attempts
    when: ParsedResult | None


async def routed(events: int) -> Routed:
    """Route so many events to each of the subscribers, and shape them for those that they are for.

    It does what dispatch does with an event that it has read, up to the call of
    the plugin, with the daemon's metrics. In turn with that, jmespath alone
    evaluates the `when` of the subscribers whose types match.
    """
    subscribers = _subscribers()
    # Collecting the garbage of earlier parts would take the whole time of a few events.
    gc.collect()
    routing_s = reading_s = jmespath_s = 0.0
    shaped = 0
    for begin in range(0, events, _AT_ONCE):
        numbers = range(begin, min(begin + _AT_ONCE, events))
        made = [a_deal(_ACCOUNTS, number, record_id(number, _AT_ONCE)) for number in numbers]
        read, seconds = _read(made)
        reading_s += seconds
        began = time.thread_time()
        for event in read:
            shaped += await _route(event, subscribers)
        routing_s += time.thread_time() - began
        jmespath_s += _by_jmespath(read, subscribers)
    return Routed(
        subscribers=len(subscribers),
        matching=_MATCHING,
        events=events,
        shaped=shaped,
        cpu_us_per_event=routing_s / events * 1e6,
        reading_us_per_record=reading_s / events * 1e6,
        jmespath_us_per_event=jmespath_s / events * 1e6,
    )


def _subscribers() -> list[_Subscriber]:
    clock = SystemClock()
    checked = plan(load_document([_SUBSCRIBERS]), clock)
    metrics = Metrics(clock=clock)
    assembly = Assembly(
        plan=checked,
        clock=clock,
        log=MemoryLog(),
        lookups=SharedLookups(checked.logins, clock, LookupsSettings(), metrics.lookups),
    )
    return [
        _Subscriber(
            wants=wants(checked.subscription(name).patterns),
            attempts=assembly.dispatcher(name, metrics.subscriber(name), _unheard, _unheard).attempts,
            when=jmespath.compile(when) if (when := checked.settings.subscribers[name].when) else None,
        )
        for name in checked.routes
    ]


def _read(events: Sequence[Event]) -> tuple[list[Event], float]:
    """Return `events` as they are read from Kafka, and the CPU seconds of reading them."""
    encode = EventEncoder(
        Names(
            prefix="streamer",
            naming=TopicNaming(template="{kind}.{name}"),
            state_template="salesforce.state.{name}",
        ),
        "binary",
    ).encode
    records = [encode(event, 0) for event in events]
    given = [(record.key, record.value, record.read_headers) for record in records]
    began = time.thread_time()
    read = [decode(*each) for each in given]
    return read, time.thread_time() - began


async def _route(event: Event, subscribers: Sequence[_Subscriber]) -> int:
    """Return for how many of `subscribers` the event was shaped."""
    shaped = 0
    for each in subscribers:
        if not each.wants(event.type):
            continue
        entry = each.attempts.admitted(Entry(partition=_DEALS, offset=0, event=event, size=0))
        if entry is None:
            continue
        lane = Lane(partition=_DEALS, name=event.key, entries=deque([entry]))
        shaped += isinstance(await each.attempts.shaped(lane, _none), Delivery)
    return shaped


def _by_jmespath(events: Sequence[Event], subscribers: Sequence[_Subscriber]) -> float:
    """Return the CPU seconds in which jmespath evaluates each `when` on the events of matching types."""
    began = time.thread_time()
    for event in events:
        document = {"data": event.data}
        for each in subscribers:
            if each.when and each.wants(event.type):
                each.when.search(document)
    return time.thread_time() - began


def _none() -> tuple[Event, ...]:
    """Return the events that come next."""
    return ()


def _unheard(*_: object) -> None:
    """Take no note of it."""
