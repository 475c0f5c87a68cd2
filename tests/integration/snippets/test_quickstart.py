"""docs/quickstart.md leads to the events that it promises."""

import re
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import ClientSession
from yarl import URL

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from tests.in_process import running
from tests.integration.snippets.blocks import ROOT, blocks_of, commands
from tests.integration.snippets.screen import Screen
from tests.integration.snippets.shell import request_of
from tests.waiting import until

PAGE = "docs/quickstart.md"
CONFIGURATION = next(block.text for block in blocks_of(ROOT / PAGE) if block.language == "yaml")
[CURL] = [each for each in commands() if each.program == "curl" and each.block.page == PAGE]
# Other daemons of this machine have the ports of the page.
PORTS = "observe: {port: 0}\nadmin: null\n"
RECORD = r"salesforce\.cdc\.Account\.created +(\w+)$"


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
                await until(lambda: len(records(screen)) >= count)  # noqa: B023 - it ends with the round

    assert len(records(screen)) == len(set(records(screen))) == 6


def records(screen: Screen) -> list[str]:
    """Return the ids of the records of the events, in their order."""
    return re.findall(RECORD, screen.text, flags=re.MULTILINE)
