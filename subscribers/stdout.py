"""Standard output plugin, which shows each event, for first trials and for pipes."""

import threading
import unicodedata
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from streamer.cloud_events import data_of, nothing_to_send, written
from streamer.events import Delivered, Delivery, Outcome, Reject, Skip
from streamer.ports import PluginContext, Preview, TargetReport
from subscribers.lines import PartWritten, failure, line, write_whole

_STDOUT = 1


class StdoutSettings(BaseModel):
    """Format of the output."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    format: Literal["structured", "body", "pretty", "text"] = Field(
        default="structured",
        description="format of the output; structured: one line for each event, with a CloudEvent that has "
        "body as its data; body: one line with only body; pretty: indented JSON for people; text: the "
        "subscriber's text",
    )


class _Output:
    """Standard output of the process; the lines of different threads do not mix."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_torn = False

    def write(self, content: bytes) -> None:
        """Write lines; if the output ends within a line, begin a new line. Raises `OSError`."""
        with self._lock:
            try:
                write_whole(_STDOUT, b"\n" + content if self._is_torn else content)
            except PartWritten:
                self._is_torn = True
                raise
            self._is_torn = False


class Stdout:
    """Writes each event to the standard output; the daemon's own log goes to the standard error.

    Without a reader, such as after the end of `head`, the target is held, and the
    events stay in the log.
    """

    Settings = StdoutSettings

    # All subscribers of a process share the output.
    _output: ClassVar[_Output] = _Output()

    def __init__(self, settings: StdoutSettings, _context: PluginContext) -> None:
        self._settings = settings

    def deliver(self, delivery: Delivery, /) -> Outcome:
        """Write the event, and return the outcome."""
        content = self._content(delivery)
        if not isinstance(content, bytes):
            return content
        try:
            self._output.write(content)
        except OSError as error:
            return failure(error, "the standard output")
        return Delivered(answer={"bytes": len(content)})

    def examine_target(self) -> TargetReport:
        """Return a positive report; there is nothing to check."""
        return TargetReport(is_well=True, found="the subscriber writes to the daemon's standard output")

    def preview(self, delivery: Delivery, /) -> Preview | Outcome:
        """Return the output that would be written, or the outcome if there is no output."""
        content = self._content(delivery)
        return Preview(request="WRITE", content=content) if isinstance(content, bytes) else content

    def _content(self, delivery: Delivery) -> bytes | Reject | Skip:
        match self._settings.format:
            case "pretty":
                return _pretty(delivery)
            case "text":
                return _text(delivery)
            case content:
                return line(delivery, content)


def _text(delivery: Delivery) -> bytes | Reject | Skip:
    if delivery.text is None:
        return Reject(
            reason="format is text, but the subscriber has no text",
            hint=(
                "set text in the subscriber's configuration, or another format in the subscriber's settings"
            ),
            sent=False,
        )
    return (
        _shown(delivery.text)
        if delivery.text.strip()
        else Skip(reason="the subscriber's text is empty for this event", sent=False)
    )


def _pretty(delivery: Delivery) -> bytes | Reject | Skip:
    if delivery.body == {}:
        return nothing_to_send()
    data = written(data_of(delivery), indented=True)
    if isinstance(data, Reject):
        return data
    event = delivery.event
    title = "  ".join(part for part in (event.time, event.type, event.subject or event.id) if part)
    return _shown(title) + _shown(data.decode()) + b"\n"


def _shown(text: str) -> bytes:
    """Return `text` as lines, without control characters that could control a terminal."""
    safe = "".join("\N{REPLACEMENT CHARACTER}" if _drives(each) else each for each in text)
    return (safe.rstrip("\n") + "\n").encode(errors="replace")


def _drives(character: str) -> bool:
    return character not in "\n\t" and unicodedata.category(character) == "Cc"
