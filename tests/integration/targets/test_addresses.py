"""Nothing reaches a target's server at an address that the settings do not allow."""

import socket
from collections.abc import Mapping
from typing import Any

import pytest
from yarl import URL

from streamer.clock import TurnedClock
from streamer.events import FailureClass, Hold, Outcome, Reject
from streamer.sandbox.targets import ErpReceiver
from streamer.web.proxy import _proxy_of
from subscribers.erp import Erp
from subscribers.http.connection import ConnectionPool, Exchange, ForbiddenAddress
from subscribers.http.redaction import Redaction
from subscribers.http.settings import HttpSettings
from subscribers.mqtt import Mqtt
from tests.deliveries import context, delivery
from tests.fixed_resolver import FixedResolver
from tests.forward_proxy import ForwardProxy


async def status_of(settings: Mapping[str, Any], url: str, *addresses: str) -> int:
    """Return the status of a request to `url`, whose host has `addresses`."""
    read = HttpSettings.model_validate(settings)
    connection = await ConnectionPool(read, TurnedClock(), resolver=FixedResolver(*addresses)).open()
    exchange = Exchange(method="GET", url=URL(url), headers={}, content=b"", redaction=Redaction())
    try:
        return (await connection.exchange(exchange)).status
    finally:
        await connection.close()


@pytest.mark.parametrize("allow_private", [True, ["127.0.0.0/8"]])
async def test_name_in_ones_own_network_needs_permission(erp: ErpReceiver, allow_private: object) -> None:
    """A name of the outside that leads inside connects to nothing without it."""
    url = f"{erp.url}/".replace("localhost", "erp.acme.example")
    with pytest.raises(ForbiddenAddress, match=r"^erp\.acme\.example is at 127\.0\.0\.1, a loopback address"):
        await status_of({}, url, "127.0.0.1")
    assert len(erp.journal) == 0

    assert await status_of({"allow_private": allow_private}, url, "127.0.0.1") == 404


async def test_name_is_judged_by_the_address_that_is_connected_to(erp: ErpReceiver) -> None:
    """When a name's address changes between two requests, the new address is checked too."""
    url = f"{erp.url}/".replace("localhost", "erp.acme.example")
    with pytest.raises(ForbiddenAddress, match="a cloud's metadata service"):
        await status_of({"allow_private": True}, url, "169.254.169.254")


async def test_address_in_the_url_is_refused_without_a_resolver() -> None:
    """Such as one that a plugin takes from an event."""
    for host in ("10.0.0.1", "[fd12::1]", "[::ffff:169.254.169.254]", "169.254.169.254"):
        with pytest.raises(ForbiddenAddress):
            await status_of({}, f"http://{host}:1/")


async def outcome(url: str, **settings: Any) -> Outcome:
    """Return the outcome of a delivery to `url`."""
    read = Erp.Settings.model_validate({"url": url, **settings})
    async with Erp(read, context(TurnedClock())) as plugin:
        return await plugin.deliver(delivery())


async def test_forbidden_address_holds_the_target_until_an_operator_acts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No event spends an attempt, and none becomes a dead letter."""
    monkeypatch.setattr(
        "subscribers.http.connection.aiohttp.DefaultResolver", lambda: FixedResolver("10.0.0.1")
    )
    found = await outcome("https://erp.acme.example/api")

    assert isinstance(found, Hold)
    assert found.alert
    assert found.failure is FailureClass.CONNECTION
    assert found.reason.startswith("erp.acme.example is at 10.0.0.1, a private address: set allow_private")


async def test_token_endpoint_is_held_to_the_same_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's secret does not go there either."""
    monkeypatch.setattr(
        "subscribers.http.connection.aiohttp.DefaultResolver", lambda: FixedResolver("192.168.0.9")
    )
    auth = {"kind": "oauth2", "token_url": "https://id.acme.example", "client_id": "c", "client_secret": "s"}
    found = await outcome("https://erp.acme.example/api", auth=auth)

    assert isinstance(found, Hold)
    assert found.alert
    assert "id.acme.example is at 192.168.0.9" in found.reason


async def test_broker_is_held_to_the_same_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection is made, over whatever protocol."""
    found = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 8883))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: [found])
    settings = {"url": "mqtts://broker.acme.example", "topic": "t"}
    async with Mqtt(Mqtt.Settings.model_validate(settings), context(TurnedClock())) as plugin:
        outcome = await plugin.deliver(delivery())

    assert isinstance(outcome, Hold)
    assert outcome.alert
    assert outcome.reason.startswith("broker.acme.example is at 10.0.0.1, a private address: set")
    with pytest.raises(ValueError, match="url names a private address"):
        Mqtt.Settings.model_validate({**settings, "url": "mqtts://10.0.0.1"})


async def test_redirect_into_ones_own_network_is_not_followed(erp: ErpReceiver) -> None:
    """Neither there nor anywhere."""
    erp.faults.fail_keys, erp.faults.fail_status = ".", 307
    found = await outcome(f"{erp.url}/api/invoices")

    assert isinstance(found, Reject)
    assert len(erp.journal) == 1


async def test_proxy_resolves_the_names_of_targets(erp: ErpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands in one's own network, and its own rules decide; an address in the URL is still refused."""
    async with ForwardProxy(server_port=int(erp.url.rpartition(":")[2])) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
        _proxy_of.cache_clear()
        assert await status_of({}, "http://erp.acme.example/", "10.0.0.1") == 404
        with pytest.raises(ForbiddenAddress, match=r"^10\.0\.0\.1 is a private address"):
            await status_of({}, "http://10.0.0.1/")

    assert [each.address for each in proxy.asked] == ["http://erp.acme.example/"]
    _proxy_of.cache_clear()
