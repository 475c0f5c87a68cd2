"""The daemon as operators run it: a separate process, started from a YAML file."""

import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from prometheus_client.parser import text_string_to_metric_families

from tests import commands
from tests.commands import AnyProcess
from tests.schemas import checked_log
from tests.waiting import awaited, until


class Daemon:
    """One `streamer run`: its logs, its probes, its metrics, and how it ends."""

    def __init__(self, process: AnyProcess, output: Path) -> None:
        """Use `running`, which also ends it."""
        self._process = process
        self._output = output
        self._port = 0

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        config: Path,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        reads_nonsense: bool = False,
    ) -> AsyncIterator["Daemon"]:
        """Start `streamer run -c config`; a daemon that still runs at the end is killed.

        Its records in an embedded log must keep the published schemas, unless its
        org sends values that no Salesforce would.
        """
        number = len(list(config.parent.glob("*.output")))
        output = config.parent / f"{number}.output"
        with output.open("wb") as file:
            process = await commands.start(
                "run", "-c", str(config), *arguments, stdout=file, stderr=file, environ=environ
            )
        daemon = cls(process, output)
        try:
            yield daemon
        finally:
            if daemon.runs:
                process.kill()
                await process.wait()
        mistakes = [] if reads_nonsense else checked_log(config).mistakes
        assert not mistakes, mistakes[:10]

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def output(self) -> str:
        """Everything that it has written to the standard output and error."""
        # The end may be half a character: it is still being written.
        return self._output.read_text(encoding="utf-8", errors="replace")

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the fields of every log line of that event."""
        whole = self.output.rpartition("\n")[0].splitlines()
        lines = [line for line in whole if line.startswith("{") and line.endswith("}")]
        return [fields for line in lines if (fields := orjson.loads(line)).get("event") == event]

    @property
    def runs(self) -> bool:
        """True while it has not ended."""
        return self._process.returncode is None

    @property
    def listens(self) -> bool:
        """True once it has named its probes' port, while it runs."""
        if self.runs and not self._port and (lines := self.logged("daemon.started")):
            self._port = lines[0]["port"]
        return self.runs and bool(self._port)

    async def started(self) -> None:
        """Wait until it listens; fail when it ends instead."""

        async def listening() -> bool:
            assert self.runs, self.output
            return self.listens

        await until(listening)

    async def ready(self) -> None:
        """Wait until `/readyz` says that every channel is subscribed."""
        await self.started()

        async def is_ready() -> bool:
            status, _ = await self.probe("readyz")
            return status == 200

        await until(is_ready)

    async def probe(self, name: str) -> tuple[int, dict[str, Any]]:
        """Return the status and the body of `/healthz` or `/readyz`."""
        status, body = await self._get(name)
        return status, orjson.loads(body)

    async def metrics_page(self) -> str:
        """Return `/metrics` as it is."""
        return (await self._get("metrics"))[1].decode()

    async def metric(self, name: str, **labels: str) -> float:
        """Return the sum of all samples of `name` that carry `labels`."""
        families = text_string_to_metric_families(await self.metrics_page())
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    async def kill(self) -> None:
        """End it as a power cut would."""
        assert self.runs, self.output
        self._process.kill()
        await self._process.wait()

    def freeze(self) -> None:
        """Let it stand still with its connections open, as a paused machine does."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def hang_up(self) -> None:
        """Send SIGHUP."""
        self._process.send_signal(signal.SIGHUP)

    async def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        self._process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        """Wait until it has ended and return the exit status."""
        return await awaited(self._process.wait(), "the end of the daemon")

    async def _get(self, path: str) -> tuple[int, bytes]:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http,
            http.get(f"http://localhost:{self._port}/{path}") as response,
        ):
            return response.status, await response.read()
