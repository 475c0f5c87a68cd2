"""docs/quickstart.md leads to the events that it promises."""

import os
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession
from yarl import URL

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from tests.in_process import running
from tests.integration.snippets.blocks import ROOT, blocks_of, commands
from tests.integration.snippets.shell import request_of
from tests.waiting import until

PAGE = "docs/quickstart.md"
CONFIGURATION = next(block.text for block in blocks_of(ROOT / PAGE) if block.language == "yaml")
[CURL] = [each for each in commands() if each.program == "curl" and each.block.page == PAGE]
# Other daemons of this machine have the ports of the page.
PORTS = "observe: {port: 0}\nadmin: null\n"


_STDOUT = 1


class Screen:
    """The daemon's output so far; pytest's own capture loses text that is written while it reads."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def showing(self) -> Iterator["Screen"]:
        """Show here what this process writes inside the context."""
        former = os.dup(_STDOUT)
        with self._path.open("ab") as shown:
            os.dup2(shown.fileno(), _STDOUT)
        try:
            yield self
        finally:
            os.dup2(former, _STDOUT)
            os.close(former)

    @property
    def records(self) -> list[str]:
        """The ids of the records of the events, in their order."""
        text = self._path.read_text(encoding="utf-8")
        return re.findall(r"salesforce\.cdc\.Account\.created +(\w+)$", text, flags=re.MULTILINE)


async def test_three_events_appear_and_none_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's configuration and request are used; a second run continues where the first ended."""
    monkeypatch.chdir(tmp_path)
    files, request = [Path("streamer.yaml"), Path("ports.yaml")], request_of(CURL.words[1:])
    async with AsyncExitStack() as stack:
        screen = stack.enter_context(Screen(tmp_path / "screen").showing())
        sandbox = await stack.enter_async_context(Sandbox(SystemClock(), pubsub_port=0))
        http = await stack.enter_async_context(ClientSession())
        text = CONFIGURATION.replace("http://localhost:8808", sandbox.url)
        files[0].write_text(text.replace("http://localhost:7443", f"http://{sandbox.pubsub_address}"))
        files[1].write_text(PORTS)
        for count in (3, 6):
            async with running(*files):
                url = URL(request.url).with_port(URL(sandbox.url).port)
                await http.request(request.method, url, data=request.body)
                await until(lambda: len(screen.records) >= count)  # noqa: B023 - it ends with the round

    assert len(screen.records) == len(set(screen.records)) == 6
