"""Structured logs: lines for machines or people; the last lines are also kept in memory."""

import logging
import os
import sys
import traceback
from collections import deque
from contextlib import suppress
from typing import Any, Literal, Protocol, TextIO

import orjson
import structlog
from structlog.typing import EventDict, ExcInfo, Processor

from streamer.observe.redaction import redact

Format = Literal["auto", "json", "console"]
Level = Literal["debug", "info", "warning", "error"]


class Stream(Protocol):
    """Destination of log lines."""

    def write(self, text: str, /) -> object:
        """Write a line."""
        ...

    def flush(self) -> None:
        """Write buffered text."""
        ...

    def isatty(self) -> bool:
        """Return true if the stream is a terminal."""
        ...


def configure(format: Format = "auto", level: Level = "info", stream: Stream | None = None) -> None:  # noqa: A002 - the word of the configuration
    """Send structlog's and the standard library's logs to `stream`; the default is standard error.

    `auto` means `console` on a terminal and `json` elsewhere. JSON has one object
    per line with `timestamp` (UTC, ISO 8601), `level`, `event` and the event's
    fields. Both formats mask secrets and bound tracebacks.
    """
    stream = stream or sys.stderr
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(_bounded_traceback),
        redact,
    ]
    render = _renderer(format, stream)
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_arguments: _Lines(stream),
        cache_logger_on_first_use=False,
    )
    _route_standard_library(shared, render, threshold, stream)


def are_json(format: Format, stream: Stream | None = None) -> bool:  # noqa: A002 - the word of the configuration
    """Return true if `configure` writes JSON to `stream`; the default is standard error."""
    return format == "json" or (format == "auto" and not (stream or sys.stderr).isatty())


class _Lines:
    """Writer of lines. Drops a line that can't be written, because logging must not stop events."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = info = warning = error = critical = msg


def _bounded_traceback(exc_info: ExcInfo) -> str:
    # Both ends of a long traceback are kept. Local variables are never shown, because
    # they can hold tokens.
    return "".join(traceback.format_exception(exc_info[1], limit=40)).rstrip()


def _renderer(format: Format, stream: Stream) -> Processor:  # noqa: A002 - the word of the configuration
    if are_json(format, stream):
        return structlog.processors.JSONRenderer(serializer=_json)
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
        exception_formatter=structlog.dev.plain_traceback,
    )


def _json(event: EventDict, **_options: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _route_standard_library(
    shared: list[Processor], render: Processor, threshold: int, stream: Stream
) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    logging.captureWarnings(capture=True)


MOST_LINES = 1_000
_LONGEST_LINE = 4_096


class RecentLines:
    """Stream that keeps the last 1,000 lines, each cut to 4,096 characters, and passes lines on to `stream`.

    Secrets are masked before a line gets here.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: deque[str] = deque(maxlen=MOST_LINES)

    @property
    def lines(self) -> list[str]:
        """Kept lines, the oldest first."""
        return list(self._lines)

    def write(self, text: str) -> int:
        """Keep a line, and write it."""
        self._lines.extend(line[:_LONGEST_LINE] for line in text.splitlines() if line)
        return self._stream.write(text)

    def flush(self) -> None:
        """Write the stream's buffered text."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Return true if the stream is a terminal."""
        return self._stream.isatty()
