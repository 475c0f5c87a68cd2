"""Reasons of failed connections."""

import asyncio

import aiohttp
import pytest

from streamer.web.reasons import connection_reason
from tools.ports import free_ports


async def _reason(url: str) -> str:
    async with aiohttp.ClientSession() as http:
        with pytest.raises((aiohttp.ClientError, OSError)) as failed:
            await http.get(url)
    return connection_reason(failed.value)


async def test_closed_port_is_told_without_tls() -> None:
    """An http address has none."""
    port = free_ports(1)[0]

    assert await _reason(f"http://localhost:{port}") == (
        f"can't connect to localhost:{port}: Connection refused"
    )


async def test_unknown_name_is_told() -> None:
    """With the name."""
    assert await _reason("http://nowhere.invalid") == "the name nowhere.invalid can't be resolved"


async def test_server_without_tls_is_told_apart_from_a_broken_one() -> None:
    """The address has the wrong scheme."""

    async def plain(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await _reason(f"https://127.0.0.1:{port}") == (
            f"127.0.0.1:{port} does not use TLS: use http:// instead of https:// in the address"
        )


async def test_connection_that_is_closed_is_told() -> None:
    """Without an answer."""

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Unread bytes would reset the connection.
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(closing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert "closed the connection" in await _reason(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("error", [OSError("broken pipe"), aiohttp.ClientPayloadError("half of it")])
def test_any_other_error_keeps_its_words(error: Exception) -> None:
    """They name what happened."""
    assert connection_reason(error) == str(error)
