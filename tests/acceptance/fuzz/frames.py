"""HTTP/2 as bytes: frames of a gRPC server, valid or not (RFC 9113, RFC 7541)."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
ACK = END_STREAM = 1
END_HEADERS = 4
LARGEST = 16_384

_WINDOW = 65_535
_INITIAL_WINDOW_SIZE = 4
_STATUS_200 = b"\x88"
_HEAD_BYTES = 9
_SETTING_BYTES = 6
_LENGTH_PREFIX = 127


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def header_field(name: bytes, value: bytes, *, is_indexed: bool = False) -> bytes:
    """Return a field in HPACK, with a name of its own; an indexed one enters the reader's table."""
    return (b"\x40" if is_indexed else b"\0") + _text(name) + _text(value)


def headers(stream: int, *fields: bytes, flags: int = 0) -> bytes:
    """Return a block of fields, in as many frames as it needs."""
    block = b"".join(fields)
    parts = [block[at : at + LARGEST] for at in range(0, len(block), LARGEST)] or [b""]
    sent = b""
    for number, part in enumerate(parts):
        kind = CONTINUATION if number else HEADERS
        end = END_HEADERS if number == len(parts) - 1 else 0
        sent += frame(kind, end | (0 if number else flags), stream, part)
    return sent


def beginning(stream: int, *fields: bytes) -> bytes:
    """Return the headers of a gRPC answer."""
    return headers(stream, _STATUS_200, header_field(b"content-type", b"application/grpc"), *fields)


def trailers(stream: int, *fields: bytes) -> bytes:
    """Return the end of a gRPC call."""
    return headers(stream, header_field(b"grpc-status", b"0"), *fields, flags=END_STREAM)


def message(content: bytes, *, is_compressed: bool = False) -> bytes:
    """Return a gRPC message, which DATA frames carry."""
    return bytes((is_compressed,)) + len(content).to_bytes(4, "big") + content


@dataclass(kw_only=True)
class FrameConnection:
    """Connection of a client; `calls` brings the streams that it opens."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    calls: asyncio.Queue[int] = field(default_factory=asyncio.Queue)
    _windows: dict[int, int] = field(default_factory=dict)
    _initial: int = _WINDOW
    _reset: set[int] = field(default_factory=set)
    _widened: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, frames: bytes) -> None:
        """Send frames that need no room at the client."""
        self.writer.write(frames)
        await self.writer.drain()

    async def send_data(self, stream: int, content: bytes) -> None:
        """Send DATA frames, as fast as the client makes room, until it ends the call."""
        at = 0
        while at < len(content) and stream not in self._reset:
            room = min(self._room(0), self._room(stream), LARGEST)
            if room <= 0:
                self._widened.clear()
                await self._widened.wait()
                continue
            part = content[at : at + room]
            at += len(part)
            for each in (0, stream):
                self._windows[each] = self._room(each) - len(part)
            await self.send(frame(DATA, 0, stream, part))

    async def read(self) -> None:
        """Read what the client sends, and answer its settings and pings, until it leaves."""
        await self.reader.readexactly(len(PREFACE))
        await self.send(frame(SETTINGS, 0, 0))
        while True:
            head = await self.reader.readexactly(_HEAD_BYTES)
            payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
            self._take(head[3], head[4], int.from_bytes(head[5:], "big"), payload)

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == HEADERS:
            self.calls.put_nowait(stream)
        elif kind == RST_STREAM:
            self._reset.add(stream)
            self._widened.set()
        elif kind == WINDOW_UPDATE:
            self._windows[stream] = self._room(stream) + int.from_bytes(payload, "big")
            self._widened.set()
        elif kind in {SETTINGS, PING} and not flags & ACK:
            for name, value in _settings(payload) if kind == SETTINGS else ():
                if name == _INITIAL_WINDOW_SIZE:
                    self._initial = value
            self.writer.write(frame(kind, ACK, 0, payload if kind == PING else b""))

    def _room(self, stream: int) -> int:
        return self._windows.get(stream, self._initial if stream else _WINDOW)


def _settings(payload: bytes) -> Iterator[tuple[int, int]]:
    for at in range(0, len(payload), _SETTING_BYTES):
        yield int.from_bytes(payload[at : at + 2], "big"), int.from_bytes(payload[at + 2 : at + 6], "big")


def _text(text: bytes) -> bytes:
    return _length(len(text)) + text


def _length(length: int) -> bytes:
    if length < _LENGTH_PREFIX:
        return bytes((length,))
    rest, encoded = length - _LENGTH_PREFIX, bytes((_LENGTH_PREFIX,))
    while rest >= 0x80:
        encoded += bytes((rest & 0x7F | 0x80,))
        rest >>= 7
    return encoded + bytes((rest,))
