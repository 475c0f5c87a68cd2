"""One trial: a snapshot while the org changes, with a kill, and a comparison of a replica with the org."""

import asyncio
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tests.configuration import sandbox_configuration, written
from tests.daemon import Daemon
from tests.operating import Operator
from tests.waiting import until

CHANNEL = "/data/AccountChangeEvent"
_LOOK_S = 1.0
_ENDS = frozenset({"full", "partial", "none"})

State = dict[str, tuple[str | None, str | None]]
"""Name and phone of each account, by its id."""


@dataclass(kw_only=True)
class Found:
    """Last state of the snapshot, its seconds, and the daemon's memory in MB over time."""

    snapshot: dict[str, Any]
    seconds: float
    memory_mb: list[float] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    changes: int = 0


class Org:
    """The org in its process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Use `running`."""
        self._process = process
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def running(cls, records: int) -> AsyncIterator["Org"]:
        """Start it, and wait until it has its records."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.acceptance.volume.org", "--records", str(records)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        org = cls(process)
        try:
            org.url = (await org._answer())["url"]
            yield org
        finally:
            process.kill()
            await process.wait()

    async def change(self) -> None:
        """Begin to change records."""
        await self._tell("change")

    async def rest(self) -> str:
        """End the changes, and return the id of a last record."""
        await self._tell("rest")
        return str((await self._answer())["last"])

    async def state(self, path: Path) -> State:
        """Return the records that there are; `path` is for their way here."""
        await self._tell(f"dump {path}")
        await self._answer()
        with path.open("rb") as file:
            return {each[0]: (each[1], each[2]) for each in map(orjson.loads, file)}

    async def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the org has ended"
        answer: dict[str, Any] = orjson.loads(line)
        return answer


async def trial(
    records: int, directory: Path, *, kills: bool, progress: Callable[[int], None] = lambda _: None
) -> Found:
    """Publish all records of an org that changes, through a kill if it `kills`.

    `progress` is called with the number of rows that were published.
    """
    log = directory / "log.db"
    async with Org.running(records) as org:
        config = written(
            directory,
            {
                **sandbox_configuration(org.url, log={"sqlite": {"path": str(log)}}),
                "channels": [{"path": CHANNEL}],
            },
        )
        memory: list[float] = []
        began = 0.0
        if kills:
            async with Daemon.running(config) as daemon:
                began = await _ordered(daemon, org)
                await _followed(daemon, memory, progress, lambda rows: rows >= records // 2)
                await daemon.kill()
        async with Daemon.running(config) as daemon:
            began = began or await _ordered(daemon, org)
            await daemon.ready()
            snapshot = await _followed(daemon, memory, progress, lambda _: False)
            seconds = time.monotonic() - began
            last = await org.rest()
            await until(lambda: _holds(log, last))
            assert await daemon.stop() == 0
        wanted = await org.state(directory / "org.jsonl")
    replica, changes = _replica(log)
    return Found(
        snapshot=snapshot,
        seconds=seconds,
        memory_mb=memory,
        differences=_differences(replica, wanted),
        changes=changes,
    )


async def _ordered(daemon: Daemon, org: Org) -> float:
    """Order the snapshot, and let the org change; return when, in monotonic seconds."""
    await daemon.ready()
    operator = await Operator.of(daemon)
    ordered = await operator.call("snapshot", "start", "Account", "--yes")
    assert ordered.status == 0, ordered.error
    await org.change()
    return time.monotonic()


async def _followed(
    daemon: Daemon,
    memory: list[float],
    progress: Callable[[int], None],
    is_enough: Callable[[int], bool],
) -> dict[str, Any]:
    """Return the snapshot once `is_enough` of its rows are published, or it has ended."""
    operator = await Operator.of(daemon)
    while True:
        await asyncio.sleep(_LOOK_S)
        memory.append(await daemon.metric("process_resident_memory_bytes") / 2**20)
        [snapshot] = (await operator.call("snapshot", "list", "--json")).json["snapshots"]
        progress(snapshot["published"])
        if snapshot["state"] in _ENDS or is_enough(snapshot["published"]):
            found: dict[str, Any] = snapshot
            return found


async def _holds(log: Path, record_id: str) -> bool:
    query = "SELECT body FROM events ORDER BY seq DESC LIMIT 200"
    with closing(sqlite3.connect(f"file:{log}?mode=ro", uri=True)) as connection:
        return any(orjson.loads(body)["key"] == record_id for (body,) in connection.execute(query))


def _replica(log: Path) -> tuple[State, int]:
    """Return what a consumer has who merges the fields of all events, and how many of them are changes."""
    found: dict[str, dict[str, str | None]] = {}
    changes = 0
    with closing(sqlite3.connect(f"file:{log}?mode=ro", uri=True)) as connection:
        for (body,) in connection.execute("SELECT body FROM events ORDER BY seq"):
            event = orjson.loads(body)
            kind = event["type"].rpartition(".")[2]
            changes += kind != "snapshot"
            if kind == "deleted":
                found.pop(event["key"], None)
            else:
                found.setdefault(event["key"], {}).update(event["data"]["fields"])
    return {key: (each.get("Name"), each.get("Phone")) for key, each in found.items()}, changes


def _differences(replica: State, org: State) -> list[str]:
    return [
        f"{key}: the replica has {replica.get(key)}, the org {org.get(key)}"
        for key in replica.keys() | org.keys()
        if replica.get(key) != org.get(key)
    ]
