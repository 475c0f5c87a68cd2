"""An operator at a terminal: `streamer …` as a process, against a daemon that runs."""

from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from tests import commands
from tests.commands import AnyProcess
from tests.daemon import Daemon
from tests.waiting import awaited, until


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A command's output, and its exit status."""

    status: int
    output: str
    error: str

    @property
    def json(self) -> Any:
        """The output of a command that was asked for JSON."""
        assert self.status == 0, self.error
        return orjson.loads(self.output)


async def admin_url(daemon: Daemon) -> str:
    """Return where a daemon's admin API listens, as its log tells."""
    await daemon.started()
    return f"http://127.0.0.1:{daemon.logged('admin.listening')[0]['port']}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Somebody who calls commands with `environ`."""

    environ: Mapping[str, str]

    @classmethod
    async def of(cls, daemon: Daemon, **environ: str) -> "Operator":
        """Return the operator of `daemon`, once it listens."""
        return cls(environ={"STREAMER_ADMIN_URL": await admin_url(daemon), **environ})

    async def call(self, *arguments: str, typed: str = "") -> Said:
        """Call a command and wait for its end; `typed` is what it is answered."""
        process = await self.begin(*arguments, answers=bool(typed))
        output, error = await awaited(process.communicate(typed.encode() or None), f"`streamer {arguments}`")
        return Said(status=process.returncode or 0, output=output.decode(), error=error.decode())

    async def begin(self, *arguments: str, answers: bool = False) -> AnyProcess:
        """Call a command, which goes on."""
        return await commands.start(
            *arguments,
            stdin=PIPE if answers else DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            environ={"NO_COLOR": "1", **self.environ},
        )

    async def dead_letters(self, count: int) -> list[dict[str, Any]]:
        """Wait until there are `count` dead letters and return them."""

        async def there() -> list[dict[str, Any]] | None:
            said = await self.call("deadletters", "list", "--json")
            # The daemon may be busy for a moment.
            return said.json["letters"] if said.status == 0 and said.json["total"] == count else None

        found: list[dict[str, Any]] = await until(there)
        return found

    async def parked(self, count: int) -> list[dict[str, Any]] | None:
        """Return the parked keys if there are `count` of them."""
        said = await self.call("parked", "list", "--json")
        return said.json["parked"] if said.status == 0 and said.json["total"] == count else None
