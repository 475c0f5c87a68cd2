"""The connection to the Pub/Sub API: TLS, proxies, and a network that loses all data."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs
from yarl import URL

from streamer.errors import ConfigurationError
from streamer.salesforce.pubsub.options import PubSubOptions
from streamer.sandbox.certificates import Certificates, certificates
from streamer.settings import OrgSettings, PubSubSettings
from streamer.web.proxy import _proxy_of
from tests.forward_proxy import ForwardProxy
from tests.pubsub import World, pubsub_world
from tests.pubsub_server import serving
from tests.streaming import org_at
from tools.ports import free_ports


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment that names no proxy and no certificates."""
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"):
        monkeypatch.delenv(name, raising=False)
    _proxy_of.cache_clear()
    yield
    _proxy_of.cache_clear()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority, and the certificate of a server on loopback that it signed."""
    return certificates(tmp_path_factory.mktemp("tls"), ())


def served_with(files: Certificates) -> grpc.ServerCredentials:
    """Return the server's side of TLS."""
    return grpc.ssl_server_credentials([(files.private_key(), files.chain())])


def org(endpoint: str, *, ca_file: Path | None = None, proxy: str | None = None) -> OrgSettings:
    """Return the settings of an org with the Pub/Sub API at `endpoint`."""
    pubsub = PubSubSettings(endpoint=endpoint, ca_file=ca_file)
    update = {"pubsub": pubsub, "proxy": SecretStr(proxy) if proxy else None}
    return org_at("https://acme.my.salesforce.com").model_copy(update=update)


async def reads(world: World) -> None:
    """Fail unless an event comes through."""
    world.publish(1)
    world.read()
    await world.all_read()


async def lost(world: World) -> str:
    """Return the detail of the first loss."""
    world.publish(1)
    with capture_logs() as lines:
        world.read()
        await world.until(lambda: world.losses.reasons)
    return next(str(line["detail"]) for line in lines if line["event"] == "session.lost")


async def test_authority_of_the_configuration_vouches_for_the_server(files: Certificates) -> None:
    """The certificate is checked against it."""
    async with pubsub_world(
        lambda port: org(f"localhost:{port}", ca_file=files.authority), served_with(files)
    ) as world:
        await reads(world)


async def test_authorities_of_the_system_vouch_for_the_server(
    files: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection trusts the same authorities as all others, not gRPC's own."""
    monkeypatch.setenv("SSL_CERT_FILE", str(files.authority))
    async with pubsub_world(lambda port: org(f"localhost:{port}"), served_with(files)) as world:
        await reads(world)


async def test_server_that_nobody_vouches_for_gets_no_token(files: Certificates, tmp_path: Path) -> None:
    """Whoever answers in Salesforce's place."""

    def distrustful(port: int) -> OrgSettings:
        return org(f"localhost:{port}", ca_file=certificates(tmp_path, ()).authority)

    async with pubsub_world(distrustful, served_with(files)) as world:
        assert "certificate" in (await lost(world)).lower()
        assert world.server.streams == []


async def test_server_with_a_certificate_of_another_host_gets_no_token(files: Certificates) -> None:
    """The authority alone is not enough."""
    async with serving(served_with(files)) as server, ForwardProxy(server_port=server.port) as proxy:
        endpoint, address = "api.pubsub.salesforce.com:7443", f"http://{proxy.address}"
        settings = org(endpoint, ca_file=files.authority, proxy=address)
        async with pubsub_world(lambda _: settings) as world:
            assert "UNAVAILABLE" in await lost(world)

        assert [each.address for each in proxy.asked[:1]] == [endpoint]
        assert server.streams == []


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file or directory"), ("no PEM", "the file contains no certificates in PEM")],
)
def test_file_without_authorities_is_refused(tmp_path: Path, content: str | None, said: str) -> None:
    """By the key that names it."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ConfigurationError, match=r"^org\.pubsub\.ca_file: .*" + said):
        PubSubOptions.of(org("localhost:7443", ca_file=file))


def test_plain_address_outside_of_loopback_is_refused() -> None:
    """Anybody on the way could read the token."""
    with pytest.raises(ConfigurationError, match=r"org\.pubsub\.endpoint is http://pubsub\.acme\.com"):
        PubSubOptions.of(org("http://pubsub.acme.com:7443"))


def test_endpoint_of_salesforce_gets_no_token_of_a_local_org() -> None:
    """Whoever tries the sandbox learns what to set."""
    with pytest.raises(ConfigurationError, match=r"set org\.pubsub\.endpoint .* http://localhost:7443"):
        PubSubOptions.of(org_at("http://localhost:8808"))


@asynccontextmanager
async def proxied(
    proxy_of: Callable[[ForwardProxy], str | None], credentials: str | None = None
) -> AsyncIterator[tuple[World, ForwardProxy, str]]:
    """Yield a world, a proxy that reaches its server, and an endpoint that nothing else reaches."""
    endpoint = f"127.0.0.1:{free_ports(1)[0]}"
    async with (
        serving() as server,
        ForwardProxy(server_port=server.port, credentials=credentials) as proxy,
    ):
        settings = org(f"http://{endpoint}", proxy=proxy_of(proxy))
        async with pubsub_world(lambda _: settings) as world:
            world.server = server
            yield world, proxy, endpoint


async def test_proxy_of_the_configuration_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its credentials, whatever the environment says."""
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.setenv(name, "*")

    def named(proxy: ForwardProxy) -> str:
        return f"http://ann:s3same@{proxy.address}"

    async with proxied(named, "ann:s3same") as (world, proxy, endpoint):
        await reads(world)

    assert [(each.method, each.address) for each in proxy.asked] == [("CONNECT", endpoint)]


async def test_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the rule of all other connections."""

    def named(proxy: ForwardProxy) -> None:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")

    async with proxied(named) as (world, proxy, _):
        await reads(world)

    assert "proxy-authorization" not in proxy.asked[0].headers


async def test_direct_setting_uses_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even one that gRPC would find by itself."""
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_ports(1)[0]}")
    async with pubsub_world(lambda port: org(f"http://127.0.0.1:{port}", proxy="direct")) as world:
        await reads(world)


async def test_proxy_that_refuses_is_named() -> None:
    """With what to check, and without its password."""

    def named(proxy: ForwardProxy) -> str:
        return f"http://ann:wr0ng@{proxy.address}"

    async with proxied(named, "ann:s3same") as (world, proxy, _):
        detail = await lost(world)

    assert f"the proxy {proxy.address} refused the configured user and password (HTTP 407)" in detail
    assert "wr0ng" not in detail
    assert set(world.losses.reasons) == {"proxy_failed"}


async def test_proxy_that_does_not_answer_is_named() -> None:
    """By its address."""
    [nowhere] = free_ports(1)
    async with pubsub_world(
        lambda port: org(f"http://127.0.0.1:{port}", proxy=f"http://localhost:{nowhere}")
    ) as world:
        assert f"through the proxy localhost:{nowhere}" in await lost(world)


def test_https_proxy_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """GRPC can't speak with one."""
    monkeypatch.setenv("HTTPS_PROXY", "https://proxy.acme.com:3128")

    with pytest.raises(ConfigurationError, match=r"^HTTPS_PROXY: .* set a proxy with http://"):
        PubSubOptions.of(org("api.pubsub.salesforce.com:7443"))


async def test_network_that_swallows_everything_is_noticed_by_its_pings() -> None:
    """Long before the deadline of the stream."""
    swallows = asyncio.Event()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", world.server.port)
        await asyncio.gather(_passed(reader, back, swallows), _passed(there, writer, swallows))

    tunnel = await asyncio.start_server(relay, "127.0.0.1", 0)
    endpoint = URL(f"http://127.0.0.1:{tunnel.sockets[0].getsockname()[1]}")
    options = PubSubOptions(endpoint=endpoint, ping_every_s=1, ping_timeout_s=1)
    async with tunnel, pubsub_world(lambda _: options) as world:
        await reads(world)
        swallows.set()
        world.publish(1)
        # gRPC's pings follow the machine's time.
        await world.until(lambda: world.losses.reasons, turning=0)
        swallows.clear()
        await world.all_read()

    assert set(world.losses.reasons) == {"unavailable"}


async def _passed(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, swallows: asyncio.Event
) -> None:
    try:
        while piece := await reader.read(65_536):
            if not swallows.is_set():
                writer.write(piece)
    except (ConnectionError, asyncio.CancelledError):
        # The test is over, and so is the network.
        return
    finally:
        writer.close()
