"""Python instructions of a delivery, by the part of the code that executes them.

`python -m tests.bench.deliveries.instructions` delivers events to a target over HTTP,
by Streamer from a log in memory and by the plain script, and prints a table. Times
vary with the machine and its load, but these counts do not. Work in C, such as system
calls, JSON and the parser of HTTP, is not counted.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import CodeType, FrameType, SimpleNamespace
from typing import Any, cast

import aiohttp
import orjson
from aiokafka import AIOKafkaConsumer
from rich.console import Console
from rich.table import Table

from streamer.blocking import calling
from streamer.clock import SystemClock, TurnedClock
from streamer.dispatch.delivery.plugin_calls import exits_contained
from streamer.dispatch.state import Limits
from streamer.events import Delivery, Event, Outcome
from streamer.ports import PluginContext
from subscribers.fulfillment import Fulfillment, FulfillmentSettings
from tests.bench.deliveries.http_target import target_process
from tests.bench.deliveries.plain_script import HEADERS, TIMEOUT_S, Record, Relay
from tests.bench.events import a_change, append, record_id
from tests.unit.dispatch.world import TARGET, ScriptedTarget, World

_KEYS = 1_000
_EVENTS = 600
_UNCOUNTED = 200
_IN_FLIGHT = 32
_SESSION_S = 45.0
# Counting slows Python down, and the concurrency limit must not take this for a slow target.
_SLOWER = 50

_PARTS = {
    "aiohttp": ("/aiohttp/", "/yarl/", "/multidict/", "/http/cookies"),
    "event loop and tasks": ("/asyncio/", "/selectors", "/_weakrefset"),
    "plugin": ("/subscribers/", "/streamer/exact_json", "/streamer/events/", "/deliveries/plain_script"),
    "attempt": ("/streamer/dispatch/delivery/",),
    "time-outs and clock": ("/streamer/clock",),
    "outcome": ("/streamer/dispatch/settling",),
    "admission": ("/streamer/dispatch/admission/",),
    "lanes, workers and progress": ("/streamer/dispatch/",),
    "metrics": ("/streamer/observe/", "/prometheus_client/"),
}
"""Parts of a delivery, and the paths of their code."""


@dataclass(slots=True)
class Instructions:
    """Instructions by part. The caller tells when each delivery begins; the first ones are not counted."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _deliveries: int = 0
    _counts: Counter[str] = field(default_factory=Counter)
    _part_of: dict[CodeType, str] = field(default_factory=dict)

    @property
    def by_part(self) -> Mapping[str, float]:
        """Instructions of one delivery, for each part."""
        return {part: self._counts[part] / (_EVENTS - _UNCOUNTED) for part in _PARTS}

    def delivering(self) -> None:
        """Note that a delivery begins."""
        self._deliveries += 1
        if self._deliveries == _UNCOUNTED:
            sys.settrace(self._called)
        elif self._deliveries == _EVENTS:
            sys.settrace(None)
            self.ended.set()

    def _called(self, frame: FrameType, _event: str, _arg: object) -> "Trace":
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        part, counts = self._part(frame), self._counts

        def executed(_frame: FrameType, event: str, _arg: object) -> "Trace":
            counts[part] += event == "opcode"
            return executed

        return executed

    def _part(self, frame: FrameType) -> str:
        # The code that Python generates for a dataclass has no file, and belongs to its caller.
        while frame.f_code.co_filename == "<string>" and frame.f_back is not None:
            frame = frame.f_back
        code = frame.f_code
        if code not in self._part_of:
            parts = (
                part for part, paths in _PARTS.items() if any(path in code.co_filename for path in paths)
            )
            self._part_of[code] = next(parts, "others")
        return self._part_of[code]


Trace = Callable[[FrameType, str, Any], Any]
"""Function that Python calls for each instruction of a frame."""


class _SlowLoop(asyncio.SelectorEventLoop):
    def time(self) -> float:
        return super().time() / _SLOWER


class _SlowClock(SystemClock):
    monotonic = staticmethod(lambda: time.monotonic() / _SLOWER)


class _CountedPlugin(Fulfillment):
    instructions: Instructions

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Deliver, and count the delivery."""
        self.instructions.delivering()
        return await super().deliver(delivery)


def _events() -> list[Event]:
    return [a_change(number, record_id(number, _KEYS)) for number in range(_EVENTS)]


async def of_streamer(url: str) -> Instructions:
    """Deliver by Streamer from a log in memory to `url`, and return the instructions."""
    clock, instructions = _SlowClock(), Instructions()
    plugin = _CountedPlugin(FulfillmentSettings(url=url, order="id"), PluginContext(name=TARGET, clock=clock))
    plugin.instructions = instructions
    world = World(
        clock=cast("TurnedClock", clock),
        target=cast("ScriptedTarget", plugin),
        limits=Limits(waiting=_EVENTS, finished=_EVENTS),
        in_flight=_IN_FLIGHT,
        session_s=_SESSION_S,
    )
    await append(world.log, _events())
    stopping = asyncio.Event()
    with exits_contained(lambda _: None), calling(TARGET):
        running = asyncio.create_task(world.dispatcher().run(stopping))
        await instructions.ended.wait()
        stopping.set()
        await running
    return instructions


async def of_script(url: str) -> Instructions:
    """Deliver by the plain script to `url`, and return the instructions."""
    instructions = Instructions()
    async with aiohttp.ClientSession(headers=HEADERS, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as http:
        relay = Relay(cast("AIOKafkaConsumer", None), http, url)
        waiting = iter(_events())

        async def work() -> None:
            for event in waiting:
                instructions.delivering()
                await relay.post(_record(event))

        await asyncio.gather(*(work() for _ in range(_IN_FLIGHT)))
    return instructions


def _record(event: Event) -> Record:
    record = SimpleNamespace(headers=[("ce_id", event.id.encode())], value=orjson.dumps(event.data))
    return cast("Record", record)


def table(ours: Mapping[str, float], script: Mapping[str, float]) -> Table:
    """Return the instructions of both by part, with their sums."""
    shown = Table("part", "Streamer", "plain script", title="Python instructions of a delivery")
    for part in _PARTS:
        shown.add_row(part, f"{ours[part]:,.0f}", f"{script[part]:,.0f}" if script[part] else "")
    shown.add_section()
    shown.add_row("sum", f"{sum(ours.values()):,.0f}", f"{sum(script.values()):,.0f}")
    return shown


async def measured() -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return the instructions of Streamer and of the plain script."""
    async with target_process() as target:
        ours = await of_streamer(target.url)
        script = await of_script(target.url)
    return ours.by_part, script.by_part


def run() -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Measure on a loop whose time passes slowly."""
    with asyncio.Runner(loop_factory=_SlowLoop) as runner:
        return runner.run(measured())


if __name__ == "__main__":
    Console().print(table(*run()))
