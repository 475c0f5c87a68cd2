"""Admission to the control API: pages of other sites are refused."""

import pytest

from streamer.clock import TurnedClock
from streamer.sandbox import Sandbox, SandboxSettings
from tests.integration.sandbox.conftest import Client

REFUSED = {
    "a page's own name for this machine": {"Host": "evil.example:8808"},
    "no host name": {"Host": ""},
    "no readable host name": {"Host": "a b"},
    "a form of another site": {"Origin": "https://evil.example"},
    "a form of another port": {"Origin": "http://localhost:1"},
    "a form of a sandboxed frame": {"Origin": "null"},
    "a form whose origin is hidden": {"Sec-Fetch-Site": "cross-site"},
}


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED.keys())
async def test_a_page_of_another_site_is_refused(client: Client, headers: dict[str, str]) -> None:
    """It changes nothing: no fault is armed and no record made."""
    status, answer = await client("POST", "/sandbox/changes", {"count": 1}, headers=headers)
    assert (status, answer["code"], client.sandbox.org.published) == (403, "FORBIDDEN", 0)


async def test_the_state_is_hidden_from_a_rebound_name(client: Client) -> None:
    """Reading is refused too, since such a page could read the answer."""
    status, answer = await client("GET", "/sandbox/state", headers={"Host": "evil.example"})
    assert (status, list(answer)) == (403, ["error", "code"])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8808", "[::1]:8808", "192.0.2.7"])
async def test_addresses_and_loopback_are_admitted(client: Client, host: str) -> None:
    """A name can be rebound; an address can't."""
    assert (await client("GET", "/sandbox/state", headers={"Host": host}))[0] == 200


async def test_a_page_of_the_sandbox_itself_is_admitted(client: Client) -> None:
    """Its origin is the host that it asks."""
    headers = {"Origin": client.sandbox.url, "Sec-Fetch-Site": "same-origin"}
    assert (await client("POST", "/sandbox/changes", {"count": 1}, headers=headers))[0] == 200


async def test_a_given_name_is_admitted(client: Client, clock: TurnedClock) -> None:
    """As the name of a container is, by which others reach it."""
    async with Sandbox(clock, settings=SandboxSettings(names=("Salesforce",))) as other:
        for host, expected in (("salesforce:8808", 200), ("other", 403)):
            status, _ = await client("GET", f"{other.url}/sandbox/state", headers={"Host": host})
            assert status == expected
