"""TLS of a port that anybody can reach."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from streamer.errors import ConfigurationError
from streamer.sandbox.certificates import certificates
from streamer.web import guard, tls
from streamer.web.listener import listening
from streamer.web.tls import TlsFiles
from tests.waiting import until


def files(folder: Path, *, client_ca: Path | None = None) -> TlsFiles:
    """Return the files of a certificate that is made in `folder`."""
    server = certificates(folder, ()).server
    return TlsFiles(
        section="outbound.tls", certificate_file=server, key_file=server, client_ca_file=client_ca
    )


def trusting(folder: Path) -> ssl.SSLContext:
    """Return what a client needs that trusts the authority in `folder`."""
    return ssl.create_default_context(cafile=folder / "ca.pem")


@asynccontextmanager
async def port(used: TlsFiles) -> AsyncIterator[int]:
    """Serve one resource that reads the body."""

    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app = web.Application()
    app.router.add_post("/", echo)
    async with listening(app, host="localhost", port=0, section="outbound", tls=used) as found:
        yield found


async def answer(found: int, context: ssl.SSLContext) -> int:
    """Return the status of a request in good order."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"https://localhost:{found}/", data=b"x" * 100_000, ssl=context) as response,
    ):
        return response.status


async def test_request_over_tls_is_served(tmp_path: Path) -> None:
    """With a certificate that the client trusts."""
    async with port(files(tmp_path)) as found:
        assert await answer(found, trusting(tmp_path)) == 200


async def test_client_without_a_certificate_is_cut_off(tmp_path: Path) -> None:
    """Before it has said anything."""
    own, other = tmp_path / "own", tmp_path / "other"
    used = files(own, client_ca=certificates(other, ()).authority)
    async with port(used) as found:
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await answer(found, trusting(own))


async def test_renewed_certificate_is_used_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a pair that does not fit leaves the previous certificate in use."""
    monkeypatch.setattr(tls, "_LOOK_S", 0.02)
    own, next_ = tmp_path / "own", tmp_path / "next"
    used = files(own)
    certificates(next_, ())
    with capture_logs() as lines:
        async with port(used) as found:

            async def logged() -> bool:
                return len([line for line in lines if line["event"].startswith("certificate.")]) > 0

            used.key_file.write_text("no key")
            await until(logged)
            assert await answer(found, trusting(own)) == 200
            lines.clear()
            used.certificate_file.write_bytes((next_ / "server.pem").read_bytes())
            await until(logged)
            assert await answer(found, trusting(next_)) == 200

    assert [line["event"] for line in lines] == ["certificate.renewed"]


async def test_handshakes_that_never_end_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They get no descriptors that others need, and the port works again without them."""
    monkeypatch.setattr("streamer.web.listener.HANDSHAKE_S", 1.0)
    monkeypatch.setattr(guard, "MOST_CONNECTIONS", 3)
    with capture_logs() as lines:
        async with port(files(tmp_path)) as found:
            crowd = [await asyncio.open_connection("localhost", found) for _ in range(6)]

            async def is_served() -> bool:
                with suppress(aiohttp.ClientError, ConnectionError):
                    return await answer(found, trusting(tmp_path)) == 200
                return False

            assert await is_served()
            for _, writer in crowd:
                writer.close()

    assert [line["event"] for line in lines] == ["connections.evicted"]


async def test_handshake_that_is_over_leaves_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many clients, one after the other, are within the bound of those at a time."""
    monkeypatch.setattr(guard, "MOST_CONNECTIONS", 3)
    async with port(files(tmp_path)) as found:
        assert [await answer(found, trusting(tmp_path)) for _ in range(6)] == [200] * 6


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), ("no PEM", "not a certificate in PEM"), ("é", "not PEM")],
)
def test_file_that_is_no_certificate_is_named(tmp_path: Path, content: str | None, said: str) -> None:
    """With its key in the configuration."""
    file = tmp_path / "cert.pem"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    used = TlsFiles(section="outbound.tls", certificate_file=file, key_file=file)
    with pytest.raises(ConfigurationError, match=rf"outbound\.tls\.certificate_file: .*{said}"):
        used.context()


def test_client_authorities_are_checked(tmp_path: Path) -> None:
    """At the start, and not at the first client."""
    (tmp_path / "ca.txt").write_text("no PEM")
    with pytest.raises(ConfigurationError, match=r"outbound\.tls\.client_ca_file: .*no certificates"):
        files(tmp_path, client_ca=tmp_path / "ca.txt").context()
