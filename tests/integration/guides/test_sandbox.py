"""The requests that docs/sandbox.md shows work as they stand there."""

import re

import pytest
from aiohttp import ClientSession

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from tests.integration.guides.pages import page

REQUESTS = re.findall(
    r"^\$ curl -X (\w+) localhost:8808(\S+) -d '(.+)'$", page("docs/sandbox.md"), flags=re.MULTILINE
)


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
async def test_request_is_taken(method: str, path: str, body: str) -> None:
    """As curl sends it, whose content type is that of a form."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with Sandbox(SystemClock()) as sandbox, ClientSession() as http:
        answer = await http.request(method, f"{sandbox.url}{path}", data=body, headers=form)

    assert answer.status == 200
    assert len(REQUESTS) == 2
