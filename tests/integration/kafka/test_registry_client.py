"""The client of the schema registry, against servers that refuse, redirect, stall and answer too much."""

import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from streamer.clock import SystemClock
from streamer.errors import ConfigurationError, CredentialsRefused, LogMisconfigured, StreamerError
from streamer.log.kafka.schemas.registry import HttpRegistry, RegistryUnavailable, SchemaText
from streamer.settings import SchemaRegistrySettings
from tools.kafka.certificate import write_certificate

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Answer every request with `handler`; give the address of the server."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    server = TestServer(application, host="localhost", scheme="https" if context else "http")
    await server.start_server(ssl=context)
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


def client(url: str, **settings: Any) -> HttpRegistry:
    """Return a client with these settings."""
    return HttpRegistry(SchemaRegistrySettings.model_validate({"url": url, **settings}), SystemClock())


def answering(status: int, body: bytes = b'{"message": "so it is"}', **headers: str) -> Handler:
    """Return a handler with one answer."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers=headers)

    return answer


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ({"username": "me", "password": "sesame"}, f"Basic {base64.b64encode(b'me:sesame').decode()}"),
        ({"token": "secret-token"}, "Bearer secret-token"),
        (None, None),
    ],
)
async def test_credentials_are_in_each_request(auth: dict[str, str] | None, expected: str | None) -> None:
    """In the form that the settings name, and nowhere else."""
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.json_response({"schema": "{}"})

    async with serving(answer) as url:
        await client(url, **({"auth": auth} if auth else {})).schema(1)

    assert seen == [expected]


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        (401, CredentialsRefused, "check log.kafka.schema_registry.auth"),
        (403, CredentialsRefused, "check log.kafka.schema_registry.auth"),
        (422, LogMisconfigured, "so it is"),
        (302, LogMisconfigured, "HTTP 302"),
        (429, RegistryUnavailable, "so it is"),
        (500, RegistryUnavailable, "so it is"),
    ],
)
async def test_refusal_is_told_from_an_outage(status: int, error: type[StreamerError], told: str) -> None:
    """An outage is retried; a refusal needs an operator."""
    async with serving(answering(status, Location="http://localhost:1/")) as url:
        with pytest.raises(error, match=told):
            await client(url, auth={"token": "secret-token"}).schema(1)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"text"', b" " * (8 * 1024 * 1024 + 1)])
async def test_answer_of_another_server_is_an_outage(body: bytes) -> None:
    """A page of a proxy, or an answer without end, takes neither memory nor the channel."""
    async with serving(answering(200, body)) as url:
        with pytest.raises(RegistryUnavailable):
            await client(url).schema(1)


@pytest.mark.parametrize("body", [b"{}", b'{"id": "1"}', b'{"id": -1}', b'{"id": true}', b'{"schema": 1}'])
async def test_answer_without_an_id_is_a_mistake(body: bytes) -> None:
    """A record with a wrong id could not be read."""
    async with serving(answering(200, body)) as url:
        with pytest.raises(LogMisconfigured):
            await client(url).schema(1)
        with pytest.raises(LogMisconfigured):
            await client(url).register("a", SchemaText("AVRO", "{}"))


async def test_certificate_is_checked(tmp_path: Path) -> None:
    """Only a registry whose authority is trusted gets the credentials."""
    trusted, server = write_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    async with serving(answering(200, b'{"schema": "{}"}'), context) as url:
        assert await client(url, ca_file=trusted).schema(1) is not None
        with pytest.raises(RegistryUnavailable, match="certificate"):
            await client(url).schema(1)
    with pytest.raises(ConfigurationError, match="ca_file"):
        await client(url, ca_file=tmp_path / "missing.pem").schema(1)


async def test_silent_registry_is_an_outage() -> None:
    """The time-out is the settings' own."""

    async def silent(request: web.Request) -> web.Response:
        await request.content.read()
        await SystemClock().sleep(60)
        return web.Response()

    async with serving(silent) as url:
        with pytest.raises(RegistryUnavailable, match=r"no answer within 0\.2 s"):
            await client(url, timeout_s=0.2).schema(1)
