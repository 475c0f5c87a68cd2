"""The requests and the schema that docs/sandbox.md shows work as they stand there."""

import re

import pytest
import yaml
from aiohttp import ClientSession

from streamer.clock import SystemClock
from streamer.sandbox import OrgSettings, Sandbox, SandboxSettings, parse_schema
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


async def test_schema_is_taken() -> None:
    """And its events can be published."""
    shown = page("docs/sandbox.md").partition("## Schema")[2]
    schema = parse_schema(yaml.safe_load(shown.partition("```yaml\n")[2].partition("```")[0]))
    settings = SandboxSettings(org=OrgSettings(schema=schema))
    async with Sandbox(SystemClock(), settings=settings) as sandbox:
        sandbox.org.publish_platform_event("Order_Placed__e", {"Order_No__c": "A-17"})
        assert len(sandbox.bus.after("/event/Orders__chn", 0)) == 1
