"""The daemon under test, with an org and a target that answer with drawn input."""

import asyncio
import base64
import itertools
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Coroutine, Iterable, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, closing, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import orjson

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox, SandboxSettings
from tests.acceptance.fuzz.grammar import CANARY
from tests.acceptance.fuzz.watch import cpu_s
from tests.configuration import ORDERS, sandbox_configuration, written
from tests.daemon import Daemon
from tests.waiting import LIMIT_S, until

_T = TypeVar("_T")

_LENGTH = b"content-length:"
_WITHIN_S = 3 * LIMIT_S
_LOOK_S = 0.002
_LATER_S = 60.0
_PULSE_S = 0.25
_KEPT_S = 60.0
_GOOD = 2
_TRACEBACK = "Traceback (most recent call last)"
_SHOWN_LINES = 30
_SHOWN_CHARACTERS = 5_000
# Most CPU time of the daemon between a probe and its answer.
STANDSTILL_S = 2.0
MOST_MB = 400


class Patient:
    """One `streamer run` for all cases of a run: it never ends, and never stands still.

    Its parts live on an event loop of their own thread, so that tests which
    draw their cases can call from outside.
    """

    def __init__(self, directory: Path) -> None:
        """Use `treated`, which also ends it."""
        self._log = directory / "log.db"
        self.longest_pulse_s = 0.0
        self.has_pulse = False
        self._directory = directory
        self._answers: list[bytes] = []
        self._loop = asyncio.new_event_loop()
        self._ready: Future[None] = Future()
        self._over = asyncio.Event()
        self._numbers = itertools.count(1)
        self._seen: dict[str, int] = defaultdict(int)

    @classmethod
    @contextmanager
    def treated(cls, directory: Path) -> Iterator["Patient"]:
        """Run it inside the context."""
        patient = cls(directory)
        thread = threading.Thread(target=patient._loop.run_until_complete, args=(patient._live(),))
        thread.start()
        try:
            patient._ready.result(_WITHIN_S)
            yield patient
        finally:
            patient._loop.call_soon_threadsafe(patient._over.set)
            thread.join()
            patient._loop.close()

    def call(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Return the result of `work` on the loop of the parts."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_WITHIN_S)

    @property
    def output(self) -> str:
        """Everything that the daemon has written."""
        return self.daemon.output

    @property
    def tracebacks(self) -> list[str]:
        """The beginnings of log lines, and of other output, that hold a traceback."""
        lines = self.output.splitlines()
        found = [number for number, line in enumerate(lines) if _TRACEBACK in line]
        return ["\n".join(lines[number : number + _SHOWN_LINES])[:_SHOWN_CHARACTERS] for number in found]

    @property
    def peak_mb(self) -> float:
        """The most memory that the daemon has held, in MB."""
        status = Path(f"/proc/{self.daemon.pid}/status").read_text(encoding="ascii")
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) / 1024

    def publish(self, path: str, messages: Iterable[bytes]) -> list[str]:
        """Publish messages with `%d` for the replay id; return the marks of those that left no trace.

        A message leaves its event or its dead letter, at the latest a moment
        after the event that is published after all of them.
        """
        return self.call(self._publish(path, list(messages)))

    def answer_with(self, answers: Iterable[bytes]) -> None:
        """Let the target give these answers, and then again that it took the event; place as many orders."""
        self.call(self._deliver(list(answers)))

    def send(self, port: int, request: bytes) -> None:
        """Send bytes to a port of the daemon, and read what comes back for a moment."""
        self.call(_sent(port, request))

    def asked(self, port: int, path: str) -> int:
        """Return the status of a request in good order."""
        return self.call(_status(f"http://localhost:{port}/{path}"))

    async def _live(self) -> None:
        async with AsyncExitStack() as stack:
            # A process that grows stands still while its garbage is collected, and the pulse with it.
            kept = SandboxSettings(retention_s=_KEPT_S)
            self.sandbox = await stack.enter_async_context(Sandbox(SystemClock(), settings=kept))
            with self.sandbox.org.transaction() as transaction:
                self._account = transaction.create("Account", {"Name": "good"})
            target = await asyncio.start_server(self._serve, "localhost", 0)
            stack.callback(target.close)
            port = target.sockets[0].getsockname()[1]
            running = Daemon.running(self._config(port), reads_nonsense=True)
            self.daemon = await stack.enter_async_context(running)
            await self.daemon.ready()
            self.ports = [self.daemon.logged(f"{each}.listening")[0]["port"] for each in ("observe", "admin")]
            pulse = asyncio.create_task(self._feel_pulse())
            self._ready.set_result(None)
            await self._over.wait()
            self.has_pulse = not pulse.done()
            pulse.cancel()
            await asyncio.wait([pulse])

    def _config(self, port: int) -> Path:
        subscriber = {
            "uses": "erp",
            "on": "salesforce.event.*",
            "start": "earliest",
            "body": {"order": "data.fields.Order_No__c"},
            "retry": {"first_delay_s": 0.01, "max_delay_s": 0.01, "give_up_after_s": 0.1},
            "breaker": {"minimum": 10_000, "window": 10_000},
            "guard": {"consecutive": 1_000_000, "minimum": 100_000},
            "deliver_timeout_s": 2,
            "settings": {
                "url": f"http://localhost:{port}/api",
                "external_id": "data.fields.Order_No__c",
                "max_hold_s": 0.1,
                # A refusal of the credentials would hold all deliveries for a minute, and a 429 that
                # has lost its Retry-After for ten seconds.
                "outcomes": {"4xx": "retry", 401: "retry", 403: "retry", 429: "retry"},
                "auth": {"kind": "api_key", "key": CANARY},
            },
        }
        configuration = sandbox_configuration(
            self.sandbox.url,
            log={"sqlite": {"path": str(self._log)}},
            subscribers={"erp": subscriber},
            # Those of accounts alone: the other events pass as they do without rules.
            protect=[
                {"entity": "Account", "fields": "BillingCity", "how": "hash"},
                {"entity": "Account", "fields": ["Name", "gap"], "how": "mask", "keep_last": 4},
                {"entity": "Account", "fields": "LastModifiedDate", "how": "keep"},
                {"entity": "Account", "fields": "*", "how": "drop"},
            ],
            # Marks are looked for in the bytes of what can't be read.
            protection={"key": "an-invented-key-of-32-characters", "unreadable": "keep"},
            grace_period_s=5,
        )
        return written(self._directory, configuration)

    async def _publish(self, path: str, messages: list[bytes]) -> list[str]:
        marks: dict[str, str] = {}
        for message in messages:
            mark = f"mark-{next(self._numbers)}-"

            def encode(replay_id: int, message: bytes = message, mark: str = mark) -> bytes:
                return message.replace(b"%d", b"%d" % replay_id).replace(b"%mark", mark.encode())

            # A channel most of whose messages can't be read is stopped, and rightly so.
            for _ in range(_GOOD):
                self._publish_good(path)
            marks[mark] = str(self.sandbox.bus.publish_raw([path], encode))
        self._publish_good(path)
        last = str(self.sandbox.bus.newest_replay_id(path))
        replay_ids: set[str] = set()
        raw = ""

        def missing() -> list[str]:
            nonlocal raw
            events, letters = self._new("events"), self._new("dead_letters")
            replay_ids.update(row["replay_id"] for row in [*events, *letters])
            raw += "".join(base64.b64decode(row["raw"]).decode("utf-8", "replace") for row in letters)
            return [
                mark for mark, replay_id in marks.items() if replay_id not in replay_ids and mark not in raw
            ]

        async def arrived() -> bool:
            assert self.daemon.runs, self.output[-3_000:]
            missing()
            return last in replay_ids

        async def complete() -> bool:
            return not missing()

        await until(arrived, every_s=_LOOK_S)
        # A torn piece that names no channel is another channel's letter, in another transaction.
        with suppress(AssertionError):
            await until(complete, limit_s=_LATER_S, every_s=_LOOK_S)
        return missing()

    def _publish_good(self, path: str) -> None:
        name = f"good-{next(self._numbers)}"
        if path == ORDERS:
            self.sandbox.org.publish_platform_event("Order_Placed__e", {"Order_No__c": name})
        else:
            with self.sandbox.org.transaction() as transaction:
                transaction.update("Account", self._account, {"Name": name})

    def _new(self, table: str) -> list[dict[str, Any]]:
        """Return what was added to a table of the log since the last call."""
        query = f"SELECT seq, body FROM {table} WHERE seq > ? ORDER BY seq"  # noqa: S608 - names of ours
        with closing(sqlite3.connect(f"file:{self._log}?mode=ro", uri=True)) as connection:
            rows = connection.execute(query, (self._seen[table],)).fetchall()
        if rows:
            self._seen[table] = rows[-1][0]
        return [orjson.loads(body) for _, body in rows]

    async def _deliver(self, answers: list[bytes]) -> None:
        self._answers += answers
        for _ in answers:
            self._publish_good(ORDERS)

        async def given() -> bool:
            assert self.daemon.runs, self.output[-3_000:]
            return not self._answers

        await until(given, every_s=_LOOK_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (line[15:] for line in head.lower().split(b"\r\n") if line.startswith(_LENGTH)), b"0"
            )
            await reader.readexactly(int(length))
            good = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
            writer.write(self._answers.pop() if self._answers else good)
            await writer.drain()
        writer.close()

    async def _feel_pulse(self) -> None:
        # The CPU time that the process spends before it answers: a slow machine makes no difference.
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LIMIT_S)) as http:
            while True:
                began = cpu_s(self.daemon.pid)
                async with http.get(f"http://localhost:{self.ports[0]}/healthz") as response:
                    assert response.status == HTTPStatus.OK, await response.text()
                self.longest_pulse_s = max(self.longest_pulse_s, cpu_s(self.daemon.pid) - began)
                await asyncio.sleep(_PULSE_S)


async def _status(url: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        return response.status


async def _sent(port: int, request: bytes) -> None:
    with suppress(OSError):
        reader, writer = await asyncio.open_connection("localhost", port)
        try:
            writer.write(request)
            writer.write_eof()
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await reader.read(100_000)
        finally:
            writer.close()
