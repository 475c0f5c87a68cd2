"""HTTP proxy for tests: sends every request to one server, and records the requests."""

import asyncio
from base64 import b64encode
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Self

from tools.ports import free_ports

_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request: its method, the address that the client wants to reach, its headers and its body."""

    method: str
    address: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True, kw_only=True)
class ForwardProxy:
    """Forwards plain requests and tunnels to `server_port`, whatever address they ask for.

    So only this proxy reaches an address at which nothing listens. An async
    context. With `credentials` (`user:password`), others get HTTP 407; with
    `refusal`, every request gets that status.
    """

    server_port: int
    credentials: str | None = None
    refusal: int | None = None
    asked: list[Asked] = field(default_factory=list)
    port: int = field(default_factory=lambda: free_ports(1)[0])
    _server: asyncio.Server = field(init=False)

    @property
    def address(self) -> str:
        """Address of the proxy, as `host:port`."""
        return f"localhost:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "localhost", self.port)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError), closing(writer):
            request = await self._read(reader)
            if status := self._refused(request):
                writer.write(
                    f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
                )
                await writer.drain()
                return
            upstream_reader, upstream = await asyncio.open_connection("localhost", self.server_port)
            with closing(upstream):
                answers = asyncio.create_task(_copy(upstream_reader, writer), name="proxy answers")
                try:
                    if request.method == "CONNECT":
                        writer.write(_ESTABLISHED)
                        await _copy(reader, upstream)
                    while request.method != "CONNECT":
                        await self._forward(request, upstream)
                        request = await self._read(reader)
                finally:
                    answers.cancel()

    async def _read(self, reader: asyncio.StreamReader) -> Asked:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        method, address, _ = first.split(" ")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.asked.append(Asked(method=method, address=address, headers=headers, body=body))
        return self.asked[-1]

    def _refused(self, request: Asked) -> int | None:
        given = request.headers.get("proxy-authorization")
        wanted = self.credentials and f"Basic {b64encode(self.credentials.encode()).decode()}"
        return self.refusal or (407 if wanted is not None and given != wanted else None)

    async def _forward(self, request: Asked, upstream: asyncio.StreamWriter) -> None:
        path = "/" + request.address.split("/", 3)[3]
        lines = [f"{request.method} {path} HTTP/1.1", *(": ".join(each) for each in request.headers.items())]
        upstream.write("\r\n".join([*lines, "", ""]).encode("latin-1") + request.body)
        await upstream.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError), closing(writer):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
