"""Structured logs: JSON for machines, readable lines for a person at a terminal."""

import logging
import os
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Literal, TextIO

import orjson
import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

Format = Literal["auto", "json", "console"]
Level = Literal["debug", "info", "warning", "error"]

MASK = "***"

_MAX_DEPTH = 6
_MAX_TEXT = 4_000
_MAX_TRACEBACK = 12_000

_SECRET_KEY = re.compile(
    r"token|passw|passphrase|secret|authorization|assertion|cookie|credential"
    r"|api_?key|private_?key|session_?id|webhook_?url",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"""
      00D[0-9A-Za-z]{12,15}!\S+                            # Salesforce session id
    | xox[a-z]-[0-9A-Za-z-]+ | xapp-[0-9A-Za-z-]+          # Slack tokens
    | (?<=/services/)T[0-9A-Za-z]+/B[0-9A-Za-z]+/\w+       # Slack webhook, the part that is secret
    | eyJ[\w-]{8,}\.[\w-]+\.[\w-]*                         # JSON Web Token
    | (?<=://)[^\s/@:]+:[^\s/@]+(?=@)                      # user and password in a URL
    | -----BEGIN[ A-Z]*PRIVATE\ KEY-----.*?(?:-----END[ A-Z]*PRIVATE\ KEY-----|\Z)
    | (?<=\bBearer\ )[^\s"',]+ | (?<=\bBasic\ )[^\s"',]+
    """,
    re.VERBOSE | re.DOTALL,
)


def configure(format: Format = "auto", level: Level = "info", stream: TextIO | None = None) -> None:  # noqa: A002 - the word of the configuration
    """Send structlog's and the standard library's logs to `stream`, by default the standard error.

    `auto` is `console` on a terminal and `json` elsewhere: one object a line
    with `timestamp` (UTC, ISO 8601), `level`, `event` and the event's fields.
    Secrets are masked, tracebacks bounded, in both forms and for both sources.
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


def redact(_logger: WrappedLogger | None, _method: str, event: EventDict) -> EventDict:
    """Mask what looks like a secret, by its key or by its form; a structlog processor.

    Keys keep their names, numbers and booleans their values; long texts are
    cut, deep structures too.
    """
    return {key: _redacted(key, value, 0) for key, value in event.items()}


def masked(text: str, limit: int = _MAX_TEXT) -> str:
    """Return `text` as a log line holds it: without what has the form of a secret, and cut in the middle."""
    # Cut after masking: half a secret would not be recognised.
    return _cut(_SECRET_TEXT.sub(MASK, text), limit)


class _Lines:
    """Writes lines; one that can't be written is dropped, since events matter more than lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = info = warning = error = critical = msg


def _redacted(key: str, value: object, depth: int) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if _SECRET_KEY.search(key):
        return MASK
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _redacted_items(key, value, depth) if depth < _MAX_DEPTH else "…"
    return masked(_text(value), _MAX_TRACEBACK if key == "exception" else _MAX_TEXT)


def _redacted_items(key: str, value: Mapping[Any, Any] | Iterable[Any], depth: int) -> object:
    if isinstance(value, Mapping):
        return {str(name): _redacted(str(name), item, depth + 1) for name, item in value.items()}
    return [_redacted(key, item, depth + 1) for item in value]


def _text(value: object) -> str:
    # Bytes, exceptions and our own values come here; a repr must not keep a
    # line from being logged.
    try:
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    except Exception:  # noqa: BLE001 - whatever a foreign __str__ raises
        return f"<{type(value).__name__}>"


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}… {len(text) - limit} characters left out …{text[-half:]}"


def _bounded_traceback(exc_info: ExcInfo) -> str:
    # Both ends matter: where it was noticed and where it happened. Local
    # variables are never shown, since they hold tokens.
    return "".join(traceback.format_exception(exc_info[1], limit=40)).rstrip()


def _renderer(format: Format, stream: TextIO) -> Processor:  # noqa: A002 - the word of the configuration
    terminal = stream.isatty()
    if format == "json" or (format == "auto" and not terminal):
        return structlog.processors.JSONRenderer(serializer=_json)
    return structlog.dev.ConsoleRenderer(
        colors=terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
        exception_formatter=structlog.dev.plain_traceback,
    )


def _json(event: EventDict, **_options: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _route_standard_library(
    shared: list[Processor], render: Processor, threshold: int, stream: TextIO
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
