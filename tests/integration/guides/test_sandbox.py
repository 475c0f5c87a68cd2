"""The requests, parameters and schema on the sandbox's pages work unchanged."""

import inspect
import re

import pytest
import yaml
from aiohttp import ClientSession

from streamer.clock import SystemClock
from streamer.sandbox import OrgSetup, Sandbox, SandboxSettings, parse_schema
from streamer.sandbox.faults.catalogue import Faults
from tests.integration.guides.pages import page

GUIDE = page("docs/sandbox-control.md")
REQUESTS = re.findall(r"^\| `(POST) (/sandbox/[a-z]+)` `(\{.+?\})` \|", GUIDE, flags=re.MULTILINE)
FAULTS, PARAMETERS = GUIDE.partition("## Faults")[2].split("Some faults have parameters.")
COMMON = {"self", "times", "after_events"}


async def test_every_request_of_the_table_is_taken() -> None:
    """Each request is sent as curl does, with the content type of a form."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with Sandbox(SystemClock()) as sandbox, ClientSession() as http:
        for method, path, body in REQUESTS:
            answer = await http.request(method, f"{sandbox.url}{path}", data=body, headers=form)
            # The machine's clock can't be turned.
            taken = {409} if path == "/sandbox/clock" else {200, 204}
            assert answer.status in taken, await answer.text()

    assert {path for _, path, _ in REQUESTS} >= {
        f"/sandbox/{name}" for name in ("transactions", "gaps", "overflows")
    }


def test_table_names_every_fault_but_the_one_of_oauth() -> None:
    """Its first column has the names that the API takes."""
    rows = re.findall(r"^\| (`.+?) \|", FAULTS, flags=re.MULTILINE)

    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} - Faults.NAMES == {"revoke_tokens"}


@pytest.mark.parametrize("name", sorted(Faults.NAMES))
def test_parameters_are_those_of_the_fault(name: str) -> None:
    """All of its own, and those in bold are needed."""
    found = re.search(rf"^\| `{name}` \| (.+) \|$", PARAMETERS, flags=re.MULTILINE)
    shown = found[1] if found else ""
    own = inspect.signature(getattr(Faults, name)).parameters
    needed = {each.name for each in own.values() if each.default is each.empty} - COMMON

    assert set(re.findall(r"\*\*`(\w+)`\*\*", shown)) == needed
    assert set(re.findall(r"(?:^|; )\*{0,2}`(\w+)`", shown)) == set(own) - COMMON


async def test_schema_is_taken() -> None:
    """And its events can be published."""
    shown = page("docs/sandbox.md").partition("## Schema")[2]
    schema = parse_schema(yaml.safe_load(shown.partition("```yaml\n")[2].partition("```")[0]))
    settings = SandboxSettings(org=OrgSetup(schema=schema))
    async with Sandbox(SystemClock(), settings=settings) as sandbox:
        sandbox.org.publish_platform_event("Order_Placed__e", {"Order_No__c": "A-17"})
        assert len(sandbox.bus.after("/event/Orders__chn", 0)) == 1
