"""All requests to Salesforce go through the configured proxy."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from streamer.clock import SystemClock, TurnedClock
from streamer.errors import SalesforceUnavailable
from streamer.events import Start
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.cometd.source import CometdSource
from streamer.salesforce.rest import Rest
from streamer.sandbox.certificates import certificates
from streamer.sandbox.server import Sandbox, SandboxSettings
from streamer.web.proxy import _proxy_of
from tests.configuration import sandbox_configuration, written
from tests.daemon import Daemon
from tests.forward_proxy import ForwardProxy
from tests.streaming import CHANGES, Losses, Reader, org_at
from tests.waiting import turned, until
from tools.ports import free_ports

LOGIN = "/services/oauth2/token"
NETRC = "machine localhost login ann password from-netrc\n"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An environment without proxies, whose `.netrc` has a password for every address of the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    (tmp_path / ".netrc").write_text(NETRC)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    _proxy_of.cache_clear()
    yield
    _proxy_of.cache_clear()


@asynccontextmanager
async def proxied(
    sandbox: Sandbox, *, credentials: str | None = None, refusal: int | None = None
) -> AsyncIterator[tuple[str, ForwardProxy]]:
    """Yield an address at which nothing listens, and a proxy that reaches `sandbox` by it."""
    port = int(sandbox.url.rsplit(":", 1)[1])
    async with ForwardProxy(server_port=port, credentials=credentials, refusal=refusal) as proxy:
        yield f"{sandbox.url.split(':')[0]}://localhost:{free_ports(1)[0]}", proxy


async def subscribed(daemon: Daemon) -> None:
    """Wait until the daemon has logged in and both channels are subscribed."""
    await daemon.started()

    async def are_subscribed() -> bool:
        return len(daemon.logged("channel.subscribed")) == 2

    await until(are_subscribed)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_daemon_goes_through_the_proxy_alone(tmp_path: Path, scheme: str) -> None:
    """The setting counts more than the environment; the login and the channels use the same proxy."""
    files = certificates(tmp_path / "tls", ())
    settings = SandboxSettings(tls=files.context() if scheme == "https" else None)
    elsewhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), f"http://localhost:{free_ports(1)[0]}")
    async with (
        Sandbox(SystemClock(), settings=settings) as sandbox,
        proxied(sandbox, credentials="ann:s3same") as (url, proxy),
    ):
        environ = {"SSL_CERT_FILE": str(files.authority), "NO_PROXY": "*", **elsewhere}
        configuration = sandbox_configuration(url, log={"sqlite": {"path": str(tmp_path / "log.db")}})
        configuration["org"]["proxy"] = "http://ann:${PASSWORD}@" + proxy.address
        path = written(tmp_path, configuration)
        async with Daemon.running(path, environ={**environ, "PASSWORD": "s3same"}) as daemon:
            await subscribed(daemon)
            assert await daemon.stop() == 0
        assert "s3same" not in daemon.output

    # A request that went around the proxy would have found nothing.
    assert len(sandbox.tokens) == 1
    # The org's limits can have been read by then, with GET.
    assert {each.method for each in proxy.asked} - {"GET"} == ({"CONNECT"} if scheme == "https" else {"POST"})
    if scheme == "http":
        addresses = {each.address.removeprefix(url) for each in proxy.asked}
        assert addresses - {"/services/data/v64.0/limits"} == {LOGIN, "/cometd/64.0"}
    assert not any("Basic" in each.headers.get("authorization", "") for each in proxy.asked)


async def test_proxy_of_a_tunnel_sees_no_credentials(tmp_path: Path) -> None:
    """Neither the access token, which the tunnel hides, nor a password of `.netrc`."""
    files = certificates(tmp_path / "tls", ())
    settings = SandboxSettings(tls=files.context())
    async with Sandbox(SystemClock(), settings=settings) as sandbox, proxied(sandbox) as (url, proxy):
        environ = {"SSL_CERT_FILE": str(files.authority), "HTTPS_PROXY": f"http://{proxy.address}"}
        configuration = sandbox_configuration(url, log={"sqlite": {"path": str(tmp_path / "log.db")}})
        async with Daemon.running(written(tmp_path, configuration), environ=environ) as daemon:
            await subscribed(daemon)
    assert len(proxy.asked) >= 2
    assert not any({"authorization", "proxy-authorization"} & each.headers.keys() for each in proxy.asked)


@asynccontextmanager
async def tokens_at(url: str, *, proxy: str | None) -> AsyncIterator[Tokens]:
    """Yield the tokens of an org that is configured with `proxy`."""
    org = org_at(url).model_copy(update={"proxy": SecretStr(proxy) if proxy else None})
    async with aiohttp.ClientSession() as http:
        yield Tokens(http, org, TurnedClock())


async def test_rest_goes_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the login does."""
    async with (
        Sandbox(TurnedClock()) as sandbox,
        proxied(sandbox) as (url, proxy),
        tokens_at(url, proxy=None) as tokens,
        aiohttp.ClientSession() as http,
    ):
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
        assert await Rest(http, tokens, TurnedClock()).limits()
    assert [each.address.removeprefix(url) for each in proxy.asked] == [LOGIN, "/services/data/v64.0/limits"]
    assert not any("proxy-authorization" in each.headers for each in proxy.asked)


async def test_direct_setting_uses_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the one of the environment."""
    monkeypatch.setenv("HTTP_PROXY", f"http://localhost:{free_ports(1)[0]}")
    async with Sandbox(TurnedClock()) as sandbox, tokens_at(sandbox.url, proxy="direct") as tokens:
        assert (await tokens.token()).org == sandbox.org.settings.org_id


@pytest.mark.parametrize(
    ("scheme", "user", "refusal", "said"),
    [
        ("http", "", None, "requires a user and password (HTTP 407): check user and password in org.proxy"),
        ("https", "", None, "requires a user and password (HTTP 407): check user and password in org.proxy"),
        (
            "http",
            "ann:wr0ng@",
            None,
            "refused the configured user and password (HTTP 407): check user and password in org.proxy",
        ),
        (
            "https",
            "ann:wr0ng@",
            None,
            "refused the configured user and password (HTTP 407): check user and password in org.proxy",
        ),
        # In plain HTTP, such an answer can be the server's own.
        ("https", "ann:s3same@", 403, "did not connect to localhost (HTTP 403): check that the proxy allows"),
    ],
)
async def test_proxy_that_refuses_is_named(scheme: str, user: str, refusal: int | None, said: str) -> None:
    """With what to check, without its credentials; an operator can mend it while Streamer tries again."""
    async with (
        Sandbox(TurnedClock()) as sandbox,
        proxied(sandbox, credentials="ann:s3same", refusal=refusal) as (url, proxy),
    ):
        address = url.replace("http:", f"{scheme}:")
        async with tokens_at(address, proxy=f"http://{user}{proxy.address}") as tokens:
            with pytest.raises(SalesforceUnavailable) as refused:
                await tokens.token()
    assert f"the proxy {proxy.address} {said}" in str(refused.value)
    assert "wr0ng" not in str(refused.value)
    assert "s3same" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxy_that_does_not_answer_is_named(scheme: str) -> None:
    """By its address, without its credentials."""
    nowhere = f"localhost:{free_ports(1)[0]}"
    async with tokens_at(f"{scheme}://localhost:1", proxy=f"http://ann:s3same@{nowhere}") as tokens:
        with pytest.raises(SalesforceUnavailable, match=f"the proxy {nowhere} can't be reached") as refused:
            await tokens.token()
    assert "check that the proxy runs, and the proxy's address in org.proxy" in str(refused.value)
    assert "s3same" not in str(refused.value)


async def test_session_names_the_proxy_that_ended_it() -> None:
    """The log line says what to check; the session comes back when the proxy does."""
    losses, reader = Losses(), Reader(path=CHANGES)
    reader.gate.set()
    async with (
        Sandbox(clock := TurnedClock()) as sandbox,
        proxied(sandbox) as (url, proxy),
        tokens_at(url, proxy=f"http://{proxy.address}") as tokens,
    ):
        org = (await tokens.token()).org
        proxy.refusal = 407
        with capture_logs() as logs:
            async with CometdSource(tokens, clock, observer=losses, random=lambda: 0.5) as source:
                reading = asyncio.create_task(reader.read(source, org, Start.EARLIEST))
                await turned(clock, lambda: losses.reasons)
                proxy.refusal = None
                await turned(clock, lambda: losses.handshakes)
                reading.cancel()
    assert set(losses.reasons) == {"proxy_failed"}
    assert f"the proxy {proxy.address} requires a user and password (HTTP 407)" in logs[0]["detail"]
