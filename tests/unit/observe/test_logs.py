"""Contents of a log line, and the values that it never shows."""

import errno
import io
import logging
from collections.abc import Iterator

import orjson
import pytest
import structlog

from streamer.observe import logs

SESSION_ID = "00D000000000001!AQ4AQFx.invented_session"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def stream() -> io.StringIO:
    """Where JSON lines are written."""
    stream = io.StringIO()
    logs.configure("auto", "info", stream)
    return stream


def line(stream: io.StringIO) -> dict[str, object]:
    """The only line that was written."""
    parsed: dict[str, object] = orjson.loads(stream.getvalue())
    return parsed


def raised(message: str) -> Exception:
    """An exception that has a traceback."""
    try:
        raise ValueError(message)  # noqa: TRY301 - it is wanted with a traceback
    except ValueError as error:
        return error


def test_away_from_a_terminal_a_line_is_json(stream: io.StringIO) -> None:
    """Level, event, fields and a UTC timestamp are there by name."""
    structlog.get_logger().info("checkpoint.saved", channel="/data/ChangeEvents", events=3)

    written = line(stream)
    assert str(written.pop("timestamp")).endswith("Z")
    assert written == {
        "event": "checkpoint.saved",
        "level": "info",
        "channel": "/data/ChangeEvents",
        "events": 3,
    }


def test_standard_library_logs_take_the_same_way(stream: io.StringIO) -> None:
    """A library's log line has the same form and is masked too."""
    logging.getLogger("aiohttp.client").warning("refused for %s", SESSION_ID)

    written = line(stream)
    assert (written["logger"], written["level"]) == ("aiohttp.client", "warning")
    assert written["event"] == "refused for ***"


def test_lines_below_the_level_are_not_written(stream: io.StringIO) -> None:
    """Both sources obey the configured level."""
    structlog.get_logger().debug("event.read")
    logging.getLogger("x").debug("detail")

    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    "key",
    ["access_token", "password", "client_secret", "Authorization", "assertion", "Set-Cookie", "api_key"],
)
def test_value_of_a_secret_key_is_masked_however_deep(stream: io.StringIO, key: str) -> None:
    """A key that names a secret keeps its name and loses its value."""
    structlog.get_logger().info("target.asked", request={"headers": [{key: "invented"}]})

    assert line(stream)["request"] == {"headers": [{key: "***"}]}


@pytest.mark.parametrize(
    "text",
    [
        SESSION_ID,
        "xoxb-123456-invented",
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJpbnZlbnRlZCJ9.c2lnbmF0dXJl",
        "-----BEGIN RSA PRIVATE KEY-----\ninvented\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_secret_inside_a_text_is_masked(stream: io.StringIO, text: str) -> None:
    """Text in the form of a secret is masked wherever it stands."""
    structlog.get_logger().info("target.answered", answer=f"got {text} back")

    assert line(stream)["answer"] == "got *** back"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("https://hooks.slack.com/services/T0/B0/abc", "https://hooks.slack.com/services/***"),
        ("http://user:word@erp:8080/x", "http://***@erp:8080/x"),
    ],
)
def test_masking_keeps_what_an_operator_needs(stream: io.StringIO, text: str, shown: str) -> None:
    """Only the secret part of a text is masked."""
    structlog.get_logger().info("target.asked", request=text)

    assert line(stream)["request"] == shown


def test_secret_in_an_exception_is_masked(stream: io.StringIO) -> None:
    """A traceback shows where, and neither the token nor local variables."""
    structlog.get_logger().error("session.failed", exc_info=raised(f"refused {SESSION_ID}"))

    assert "refused ***" in str(line(stream)["exception"])
    assert "AQ4AQFx" not in stream.getvalue()


def test_exception_is_bounded_and_keeps_both_ends(stream: io.StringIO) -> None:
    """A message of a megabyte does not flood the log."""
    long = "x" * 1_000_000 + " at the end"
    structlog.get_logger().error("session.failed", exc_info=raised(long))

    exception = str(line(stream)["exception"])
    assert len(exception) < 13_000
    assert exception.startswith("Traceback")
    assert exception.endswith("at the end")


def test_value_that_can_not_be_shown_does_not_lose_the_line(stream: io.StringIO) -> None:
    """A foreign object whose text fails is named by its type."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    structlog.get_logger().info("event.read", value=Broken(), raw=b"\xff{}")

    assert line(stream)["value"] == "<Broken>"


def test_full_disk_stops_nobody() -> None:
    """A line that can't be written is dropped; the caller continues."""

    class Full(io.StringIO):
        def write(self, _text: str, /) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    logs.configure("json", "info", Full())
    structlog.get_logger().error("event.set_aside")


def test_terminal_shows_readable_colours_unless_told_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR is honoured."""
    monkeypatch.setenv("TERM", "xterm")
    for no_color, coloured in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", no_color)
        terminal = Terminal()
        logs.configure("auto", "info", terminal)
        structlog.get_logger().info("checkpoint.saved", token="invented")

        assert "checkpoint.saved" in terminal.getvalue()
        assert "invented" not in terminal.getvalue()
        assert ("\x1b[" in terminal.getvalue()) is coloured
