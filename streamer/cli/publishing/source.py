"""Bytes of a file or of the standard input, read without holding up the event loop."""

import asyncio
import io
import os
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from streamer.errors import ConfigurationError

_CHUNK = 1024 * 1024
STDIN = Path("-")
"""Stands for the standard input."""


class Input:
    """Input of `size` bytes; `None` for an unknown number, such as that of a pipe."""

    def __init__(
        self, read: Callable[[int], bytes], *, name: str, size: int | None = None, is_terminal: bool = False
    ) -> None:
        self._read = read
        self.name = name
        self.size = size
        self.is_terminal = is_terminal

    async def chunks(self, stopping: asyncio.Event) -> AsyncGenerator[bytes, None]:
        """Yield the bytes as they come, to their end or until `stopping`; raises `ConfigurationError`."""
        stop = asyncio.ensure_future(stopping.wait())
        try:
            while not stopping.is_set():
                reading = self._begin()
                waiting: set[asyncio.Future[Any]] = {reading, stop}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if not reading.done() or stopping.is_set():
                    return
                try:
                    chunk = reading.result()
                except OSError as error:
                    raise ConfigurationError(f"{self.name}: can't be read: {error.strerror}") from error
                if not chunk:
                    return
                yield chunk
        finally:
            stop.cancel()

    def _begin(self) -> "asyncio.Future[bytes]":
        """Begin to read, on a thread that does not keep the process alive: a terminal can give nothing."""
        loop = asyncio.get_running_loop()
        reading: asyncio.Future[bytes] = loop.create_future()

        def settle(chunk: bytes, error: Exception | None) -> None:
            if reading.done():
                return
            if error is None:
                reading.set_result(chunk)
            else:
                reading.set_exception(error)

        def read() -> None:
            chunk, failure = b"", None
            try:
                chunk = self._read(_CHUNK)
            except Exception as error:  # noqa: BLE001 - who waits for the chunk raises it
                failure = error
            # The loop can have ended meanwhile.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, chunk, failure)

        threading.Thread(target=read, name="input", daemon=True).start()
        return reading


@contextmanager
def opened(path: Path) -> Iterator[Input]:
    """Open the file `path`, or the standard input for `-`; raises `ConfigurationError`."""
    if path == STDIN:
        yield Input(_stdin(), name="standard input", is_terminal=sys.stdin.isatty())
        return
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {error.strerror}") from error
    with file:
        about = os.fstat(file.fileno())
        yield Input(lambda most: file.read(most) or b"", name=str(path), size=about.st_size or None)


def _stdin() -> Callable[[int], bytes]:
    try:
        number = sys.stdin.fileno()
    except (io.UnsupportedOperation, AttributeError):
        # A caller within this process has replaced it.
        return sys.stdin.buffer.read
    # Python's own buffer would wait for more than there is.
    return lambda most: os.read(number, most)
