"""Incremental parser for events in JSON: objects in lines, in a list, or one after the other."""

import asyncio
import codecs
import io
import json
import os
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

from streamer.errors import ConfigurationError, Stop
from streamer.events import JsonObject

# Salesforce accepts an event of 1 MB; JSON escapes can make its text longer.
_LONGEST = 8 * 1024 * 1024
_SPACE = " \t\r\n"


class InputRefused(Stop):
    """The rest of the input can't be read; the message names the line and the mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Event that begins in `line` of the input, with its fields, or with the `mistake` in its text."""

    line: int
    fields: JsonObject | None = None
    mistake: str = ""


class EventParser:
    """Turns the bytes of an input into events. The parser buffers at most one incomplete event.

    If the first line is a complete object, the input has an object in each line,
    and the parser continues after a line with a mistake. In any other input, a
    mistake ends the parsing. Numbers are exact.
    """

    def __init__(self) -> None:
        self._held = b""
        self._form: _Lines | _Values | None = None

    def fed(self, chunk: bytes) -> Iterator[Read]:
        """Yield the events that `chunk` completes.

        At a mistake, raises `InputRefused` after the good events.
        """
        if self._form is None:
            self._held += chunk
            self._form = _form_of(self._held, is_whole=False)
            if self._form is None:
                _check_length(self._held, 1)
                return
            chunk, self._held = self._held, b""
        yield from self._form.fed(chunk)

    def ended(self) -> Iterator[Read]:
        """Yield the event that only the end of the input completes; raises `InputRefused`."""
        form = self._form or _form_of(self._held, is_whole=True)
        if form is not None:
            yield from form.fed(self._held)
            yield from form.ended()


class _Lines:
    """Input with an object in each line."""

    def __init__(self) -> None:
        self._held = b""
        self._line = 0

    def fed(self, chunk: bytes) -> Iterator[Read]:
        *lines, self._held = (self._held + chunk).split(b"\n")
        for line in lines:
            yield from self._read(line)
        _check_length(self._held, self._line + 1)

    def ended(self) -> Iterator[Read]:
        yield from self._read(self._held)

    def _read(self, line: bytes) -> Iterator[Read]:
        self._line += 1
        if not line.strip():
            return
        try:
            yield _event(self._line, _DECODER.decode(line.decode("utf-8-sig")))
        except (ValueError, RecursionError) as error:
            yield Read(line=self._line, mistake=_mistake(error))


class _Values:
    """Input whose objects can span several lines; the objects are in a list or follow each other."""

    def __init__(self, *, is_list: bool) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self._held = ""
        self._line = 1
        self._is_list = is_list
        # Between two members of a list.
        self._expects = "[" if is_list else ""
        self._is_over = False

    def fed(self, chunk: bytes) -> Iterator[Read]:
        self._held += self._text(chunk)
        yield from self._complete()
        _check_length(self._held, self._line)

    def ended(self) -> Iterator[Read]:
        self._held += self._text(b"", final=True)
        yield from self._complete()
        self._skip()
        if self._held:
            try:
                _DECODER.raw_decode(self._held)
            except (ValueError, RecursionError) as error:
                # The column counts in the line of the mistake, not in the event's first line.
                if isinstance(error, json.JSONDecodeError):
                    self._line += error.lineno - 1
                self._refuse(_mistake(error))
        if self._is_list and not self._is_over:
            self._refuse("the list is not closed: ] is missing at the end")

    def _complete(self) -> Iterator[Read]:
        """Yield each complete event."""
        while self._advance():
            try:
                value, end = _DECODER.raw_decode(self._held)
            except json.JSONDecodeError:
                # The rest can still arrive. If it does not, the end of the input raises the error.
                return
            except (ValueError, RecursionError) as error:
                self._refuse(_mistake(error))
            yield _event(self._line, value)
            self._drop(end)
            self._expects = "," if self._is_list else ""

    def _advance(self) -> bool:
        """Drop the characters before the next event; return false when the event has not arrived yet."""
        while True:
            self._skip()
            if not self._held:
                return False
            if self._is_over:
                self._refuse("there is text after the end of the list")
            if self._is_list and self._held[0] == "]" and self._expects != "[":
                self._is_over = True
                self._drop(1)
            elif self._expects:
                if self._held[0] != self._expects:
                    self._refuse(f"{self._expects} is missing")
                self._drop(1)
                self._expects = ""
            else:
                return True

    def _skip(self) -> None:
        self._drop(len(self._held) - len(self._held.lstrip(_SPACE)))

    def _drop(self, characters: int) -> None:
        self._line += self._held.count("\n", 0, characters)
        self._held = self._held[characters:]

    def _text(self, chunk: bytes, *, final: bool = False) -> str:
        try:
            return self._decode.decode(chunk, final)
        except UnicodeDecodeError as error:
            self._refuse(_mistake(error))

    def _refuse(self, mistake: str) -> NoReturn:
        raise InputRefused(f"line {self._line}: {mistake}; the command did not read the rest of the input")


def _form_of(begin: bytes, *, is_whole: bool) -> _Lines | _Values | None:
    """Return the form of an input that begins with these bytes, or `None` if more bytes are needed."""
    text = begin.removeprefix(codecs.BOM_UTF8).lstrip()
    if not text or (codecs.BOM_UTF8.startswith(text) and not is_whole):
        return None
    if text[:1] == b"[":
        return _Values(is_list=True)
    if text[:1] != b"{":
        line = 1 + begin[: len(begin) - len(text)].count(b"\n")
        raise InputRefused(
            f"line {line}: must begin with {{ or [: write one object per line, or one list of objects"
        )
    first, newline, _ = text.partition(b"\n")
    if not (newline or is_whole):
        return None
    try:
        _DECODER.decode(first.decode())
    except json.JSONDecodeError:
        return _Values(is_list=False)
    except (ValueError, RecursionError):
        pass
    return _Lines()


def _event(line: int, value: Any) -> Read:
    if not isinstance(value, dict):
        return Read(line=line, mistake="is not a JSON object with the fields of an event")
    return Read(line=line, fields=value)


def _mistake(error: Exception) -> str:
    match error:
        case json.JSONDecodeError():
            return f"is not JSON: {error.msg[:1].lower()}{error.msg[1:]} at column {error.colno}"
        case UnicodeDecodeError():
            return "is not UTF-8 text"
        case RecursionError():
            return "is nested too deeply"
        case _:
            return str(error)[:200]


def _check_length(held: Sequence[Any], line: int) -> None:
    if len(held) > _LONGEST:
        raise InputRefused(
            f"line {line}: is not an event: its JSON does not end within {_LONGEST:,} characters"
        )


def _without_repetition(pairs: Sequence[tuple[str, Any]]) -> JsonObject:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"has the name {twice[:80]} twice")
    return fields


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"has {name}, which is not JSON")


def _exact(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError as error:
        raise ValueError("has a number that is too large") from error


_DECODER = json.JSONDecoder(
    object_pairs_hook=_without_repetition, parse_float=_exact, parse_constant=_no_constant
)


_CHUNK = 1024 * 1024
STDIN = Path("-")
"""Stands for the standard input."""


class Input:
    """Input that is read in chunks; `size` is in bytes, or `None` if it is unknown, as for a pipe."""

    def __init__(
        self, read: Callable[[int], bytes], *, name: str, size: int | None = None, is_terminal: bool = False
    ) -> None:
        self._read = read
        self.name = name
        self.size = size
        self.is_terminal = is_terminal

    async def chunks(self, stopping: asyncio.Event) -> AsyncGenerator[bytes, None]:
        """Yield the bytes as they arrive, to the end or until `stopping`; raises `ConfigurationError`."""
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
        """Start a daemon thread that reads, because a read from a terminal can wait for ever."""
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
            # The event loop can have closed during the read.
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
        # A caller within this process has replaced the standard input.
        return sys.stdin.buffer.read
    # Python's own buffer would wait until it is full.
    return lambda most: os.read(number, most)
