"""docs/quickstart.md leads to the events that it promises."""

import re
from pathlib import Path

import pytest
from aiohttp import ClientSession
from yarl import URL

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from tests.in_process import running, until
from tests.integration.snippets.blocks import ROOT, blocks_of, commands
from tests.integration.snippets.shell import request_of

PAGE = "docs/quickstart.md"
CONFIGURATION = next(block.text for block in blocks_of(ROOT / PAGE) if block.language == "yaml")
[CURL] = [each for each in commands() if each.program == "curl" and each.block.page == PAGE]
# Other daemons of this machine have the ports of the page.
PORTS = "observe: {port: 0}\nadmin: null\n"


class Screen:
    """What the daemon has shown so far."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured
        self._text = ""

    @property
    def records(self) -> list[str]:
        """The ids of the records of the events, in their order."""
        self._text += self._captured.readouterr().out
        return re.findall(r"salesforce\.cdc\.Account\.created +(\w+)$", self._text, flags=re.MULTILINE)


async def test_three_events_appear_and_none_comes_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the page's configuration and its request; a second run goes on where the first was."""
    monkeypatch.chdir(tmp_path)
    files, screen, request = (
        [Path("streamer.yaml"), Path("ports.yaml")],
        Screen(capfd),
        request_of(CURL.words[1:]),
    )
    async with Sandbox(SystemClock(), pubsub_port=0) as sandbox, ClientSession() as http:
        text = CONFIGURATION.replace("http://localhost:8808", sandbox.url)
        files[0].write_text(text.replace("http://localhost:7443", f"http://{sandbox.pubsub_address}"))
        files[1].write_text(PORTS)
        for count in (3, 6):
            async with running(*files):
                url = URL(request.url).with_port(URL(sandbox.url).port)
                await http.request(request.method, url, data=request.body)
                await until(lambda: len(screen.records) >= count)  # noqa: B023 - it ends with the round

    assert len(screen.records) == len(set(screen.records)) == 6
