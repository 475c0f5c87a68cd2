"""Files that one event passes: from Pub/Sub to the commit, and from the log to a target.

A daemon runs in this process, with SQLite and one webhook. The tracer records the
code that runs while the daemon is idle, and then the code that runs because of one
event.
"""

import asyncio
import dis
import os
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import aiohttp
from aiohttp import web

from streamer.app.daemon import App
from streamer.app.plan import plan
from streamer.clock import SystemClock
from streamer.configuration import load_document
from tools.ports import free_ports

_ROOT = Path(__file__).parents[2]
# Longer than the intervals of the daemon's timers.
_IDLE_S = 15.0
_SETTLED_S = 2.0
_EVENTS = 3
_DEADLINE_S = 120.0
_YIELD = dis.opmap["YIELD_VALUE"]
_FIRST_OF_DELIVERY = ("streamer/dispatch/loop.py", "streamer/log/sqlite/feed.py")

_CONFIGURATION = """\
org:
  login_url: http://127.0.0.1:{org}
  auth: {{flow: client_credentials, client_id: sandbox, client_secret: sandbox-secret}}
  pubsub: {{endpoint: "http://127.0.0.1:{pubsub}"}}
channels: [/data/ChangeEvents]
log: {{sqlite: {{path: {folder}/log.db}}}}
observe: {{port: 0}}
admin: {{port: 0}}
subscribers:
  target:
    uses: webhook
    on: salesforce.cdc.*
    settings: {{url: "http://127.0.0.1:{target}"}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of a `function`, as path, line and name; `task` is empty outside of tasks."""

    path: str
    function: str
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Files of one event: the files until the commit, and the files of the delivery."""

    ingest: Sequence[str]
    delivery: Sequence[str]


def way_of(runs: Sequence[Sequence[Step]], idle: Collection[str]) -> Way:
    """Return the files with functions that every one of `runs` calls but an `idle` daemon does not.

    Each run belongs to one event. The delivery begins with the first step of the
    feed or of dispatch. Tasks that ran before belong to ingest, and are not part of
    the delivery.
    """
    # Calls of a timer, or of a first use, do not occur in every run.
    usual = set.intersection(*({step.function for step in run} for run in runs)) - set(idle)
    ways = [_way([step for step in run if step.function in usual]) for run in runs]
    return Way(
        ingest=sorted({path for way in ways for path in way.ingest}),
        delivery=sorted({path for way in ways for path in way.delivery}),
    )


def _way(caused: Sequence[Step]) -> Way:
    begin = next(
        (at for at, step in enumerate(caused) if step.path.startswith(_FIRST_OF_DELIVERY)), len(caused)
    )
    reading = {step.task for step in caused[:begin]} - {""}
    return Way(
        ingest=sorted({step.path for step in caused[:begin]}),
        delivery=sorted({step.path for step in caused[begin:] if step.task not in reading}),
    )


@dataclass(slots=True)
class _Call:
    """One call or resumption of a frame, with the calls directly within it."""

    frame: int
    step: Step
    within: int = 0
    is_suspended_within: bool = False
    has_handed_on: bool = False


@dataclass(slots=True)
class Tracer:
    """Records the calls in all threads that begin after its installation.

    Calls of the installing task are left out, because this task does not belong to
    the daemon.
    """

    is_noting: bool = False
    _own: str = ""
    _noted: list[_Call] = field(default_factory=list)
    _open: dict[int, list[_Call]] = field(default_factory=lambda: defaultdict(list))
    _suspended_at: dict[int, int] = field(default_factory=dict)

    def install(self) -> None:
        """Watch this thread, and all threads that begin from now on."""
        self._own = _task()
        threading.setprofile(self._note)
        sys.setprofile(self._note)

    def remove(self) -> None:
        """Stop watching."""
        sys.setprofile(None)
        threading.setprofile(None)

    async def during(self, seconds: float) -> Sequence[Step]:
        """Record for `seconds`, and return the calls."""
        self.taken()
        self.is_noting = True
        await asyncio.sleep(seconds)
        return self.taken()

    def taken(self) -> Sequence[Step]:
        """Return the calls since the last call of this method."""
        noted, self._noted = self._noted, []
        return [call.step for call in noted if not call.has_handed_on]

    def _note(self, frame: FrameType, what: str, _: Any) -> None:
        code = frame.f_code
        if what not in {"call", "return"} or not code.co_filename.startswith(str(_ROOT)):
            return
        path = Path(code.co_filename).relative_to(_ROOT).as_posix()
        if not path.startswith(("streamer/", "subscribers/")):
            return
        calls = self._open[threading.get_ident()]
        if what == "call":
            self._called(frame, path, calls)
        elif calls and calls[-1].frame == id(frame):
            self._returned(frame, calls)

    def _called(self, frame: FrameType, path: str, calls: list[_Call]) -> None:
        # Two functions with the same text have equal code objects.
        function = f"{path}:{frame.f_code.co_firstlineno} {frame.f_code.co_qualname}"
        task = _task()
        call = _Call(frame=id(frame), step=Step(path=path, function=function, task=task))
        if calls:
            calls[-1].within += 1
        calls.append(call)
        if self.is_noting and (not task or task != self._own):
            self._noted.append(call)

    def _returned(self, frame: FrameType, calls: list[_Call]) -> None:
        """Forget the resumption of a coroutine that only resumed its awaitable."""
        call = calls.pop()
        is_suspended = frame.f_code.co_code[frame.f_lasti] == _YIELD
        before = self._suspended_at.pop(id(frame), None)
        if is_suspended:
            self._suspended_at[id(frame)] = frame.f_lasti
        if calls:
            calls[-1].is_suspended_within = is_suspended
        # A coroutine that continued, and awaits at the same line again, has made another call.
        has_awaited_alone = call.within == 1 and call.is_suspended_within
        call.has_handed_on = has_awaited_alone and before == frame.f_lasti


def _task() -> str:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return ""
    return task.get_name() if task else ""


async def trace() -> Way:
    """Return the files that one event passes through a daemon."""
    org, pubsub = free_ports(2)
    arrived = asyncio.Event()
    tracer = Tracer()
    async with _sandbox(org, pubsub), _target(arrived) as target, aiohttp.ClientSession() as http:
        tracer.install()
        try:
            async with _daemon(org=org, pubsub=pubsub, target=target):
                url = f"http://127.0.0.1:{org}/sandbox/changes"
                await _change(http, url, arrived)
                await asyncio.sleep(_SETTLED_S)
                idle = {step.function for step in await tracer.during(_IDLE_S)}
                runs = []
                for _ in range(_EVENTS):
                    tracer.taken()
                    await _change(http, url, arrived)
                    await asyncio.sleep(_SETTLED_S)
                    runs.append(tracer.taken())
        finally:
            tracer.remove()
    return way_of(runs, idle)


async def _change(http: aiohttp.ClientSession, url: str, arrived: asyncio.Event) -> None:
    arrived.clear()
    async with http.post(url, json={"entity": "Account", "count": 1}) as answer:
        answer.raise_for_status()
    async with asyncio.timeout(_DEADLINE_S):
        await arrived.wait()


@asynccontextmanager
async def _sandbox(org: int, pubsub: int) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streamer", "sandbox", "--host", "127.0.0.1"),
        *("--port", str(org), "--pubsub-port", str(pubsub)),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_DEADLINE_S):
            await _listening(org)
        yield
    finally:
        process.terminate()
        await process.wait()


async def _listening(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return


@asynccontextmanager
async def _target(arrived: asyncio.Event) -> AsyncIterator[int]:
    async def answer(_: web.BaseRequest) -> web.Response:
        arrived.set()
        return web.Response(status=204)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _daemon(**ports: int) -> AsyncIterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        app = _app(Path(folder), **ports)
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group, asyncio.timeout(_DEADLINE_S):
            group.create_task(app.run(stopping), name="daemon")
            try:
                while not app.status.is_complete or app.status.waits:  # noqa: ASYNC110 - the daemon has no event for it
                    await asyncio.sleep(0.1)
                yield
            finally:
                stopping.set()


def _app(folder: Path, **ports: int) -> App:
    file = folder / "streamer.yaml"
    file.write_text(_CONFIGURATION.format(folder=folder, **ports), encoding="utf-8")
    clock = SystemClock()
    return App.of(plan(load_document([file], os.environ), clock), clock)
