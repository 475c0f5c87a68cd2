"""A process of `streamer …`, used as one of `asyncio.subprocess` is."""

import asyncio
import atexit
import os
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

import orjson

_READ_BY_IMPORTS = ("GRPC_", "PYTHON", "SSL_")


class CommandProcess:
    """One process: what it says where pipes were asked for, and how it ended."""

    def __init__(self, pid: int, ended: asyncio.StreamReader, pipes: Sequence[Any]) -> None:
        """Watch `ended`, which brings the status; `start` calls this."""
        self.pid = pid
        self.returncode: int | None = None
        self.stdin, self._output, self._error = pipes
        self._ending = asyncio.create_task(self._watch(ended), name=f"watch {pid}")

    async def _watch(self, ended: asyncio.StreamReader) -> int:
        # To its end, which closes it.
        self.returncode = status = int(await ended.read())
        return status

    async def wait(self) -> int:
        """Wait for the end, and return the exit status, or the negative number of a signal."""
        return await asyncio.shield(self._ending)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    async def communicate(self, typed: bytes | None = None) -> tuple[bytes, bytes]:
        """Type, wait for the end, and return the output and the errors."""
        if self.stdin is not None:
            with suppress(BrokenPipeError, ConnectionResetError):
                self.stdin.write(typed or b"")
                await self.stdin.drain()
            self.stdin.close()
        output, error, _ = await asyncio.gather(_all(self._output), _all(self._error), self.wait())
        return output, error


AnyProcess = CommandProcess | asyncio.subprocess.Process
"""They are used alike."""


async def start(
    *arguments: str,
    stdin: int = DEVNULL,
    stdout: int | IO[bytes] = DEVNULL,
    stderr: int | IO[bytes] = DEVNULL,
    environ: Mapping[str, str] | None = None,
) -> AnyProcess:
    """Start `streamer` with `arguments`, and `environ` beside the environment of the tests.

    Each stream is `PIPE`, `DEVNULL`, a descriptor or a file. A process whose
    `environ` is read while modules are imported is not forked.
    """
    whole = {**os.environ, **(environ or {})}
    if any(name.startswith(_READ_BY_IMPORTS) for name in environ or {}):
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "streamer", *arguments,
            stdin=stdin, stdout=stdout, stderr=stderr, env=whole,
        )  # fmt: skip
    with ExitStack() as given:
        ends = [_ends(each, given, index) for index, each in enumerate((stdin, stdout, stderr))]
        ended, report = os.pipe()
        given.callback(os.close, report)
        request = orjson.dumps({"arguments": arguments, "environ": whole, "folder": str(Path.cwd())})
        socket.send_fds(_server(), [request], [*(theirs for _, theirs in ends), report])
    status = await _reader(ended)
    pid = int(await status.readline())
    (typed, _), *said = ends
    pipes: list[Any] = [typed and await _writer(typed)]
    pipes += [ours and await _reader(ours) for ours, _ in said]
    return CommandProcess(pid, status, pipes)


@cache
def _server() -> socket.socket:
    """Start the process from which the others are forked; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.commands.server", str(theirs.fileno())],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
        )  # fmt: skip
    atexit.register(server.wait)
    atexit.register(ours.close)
    return ours


def _ends(stream: int | IO[bytes], given: ExitStack, index: int) -> tuple[int | None, int]:
    """Return our end of a stream, if it is a pipe, and the other one."""
    if stream == PIPE:
        reading, writing = os.pipe()
        ours, theirs = (writing, reading) if index == 0 else (reading, writing)
        given.callback(os.close, theirs)
        return ours, theirs
    if stream == DEVNULL:
        nothing = os.open(os.devnull, os.O_RDWR)
        given.callback(os.close, nothing)
        return None, nothing
    return None, stream if isinstance(stream, int) else stream.fileno()


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    file = os.fdopen(descriptor, "rb", 0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
    return reader


async def _writer(descriptor: int) -> asyncio.StreamWriter:
    loop, file = asyncio.get_running_loop(), os.fdopen(descriptor, "wb", 0)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, file)
    return asyncio.StreamWriter(transport, protocol, None, loop)


async def _all(reader: asyncio.StreamReader | None) -> bytes:
    return b"" if reader is None else await reader.read()
