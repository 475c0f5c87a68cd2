"""Implementation of the file plugin."""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

from streamer.events import Delivered, Delivery, Outcome, Reject
from streamer.ports import PluginContext, Preview, TargetReport
from subscribers.file.line_file import FilePolicy, LineFile
from subscribers.file.settings import DIRECTIVE, FileSettings
from subscribers.lines import failure, line
from subscribers.placeholders import Template, Unfilled

_MOST_OPEN = 32

# `quote` never changes letters, digits and _.-~; a space is common in names.
_SAFE = " "


@dataclass(slots=True)
class _Open:
    file: LineFile
    users: int = 0


class File:
    """Appends each event to a file as one line; renames full files and removes old files.

    After a crash, events whose delivery was not recorded are written again. A
    reader recognises a repetition by the event's id.
    """

    Settings = FileSettings
    takes_text: Final = False

    def __init__(self, settings: FileSettings, context: PluginContext) -> None:
        self._settings = settings
        self._clock = context.clock
        self._policy = FilePolicy(
            mode=int(settings.mode, 8),
            max_bytes=settings.max_bytes,
            keep=settings.keep,
            fsync_every_s=_every_s(settings),
            folder=_fixed_folder(settings.path),
        )
        self._lock = threading.Lock()
        self._text = ""
        self._template = Template("")
        self._open: OrderedDict[Path, _Open] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._close_unused(most=0)

    def deliver(self, delivery: Delivery, /) -> Outcome:
        """Append the event, and return the outcome."""
        planned = self._planned(delivery)
        if not isinstance(planned, tuple):
            return planned
        path, content = planned
        try:
            with self._borrowed(path) as file:
                file.append(content)
        except OSError as error:
            return failure(error, str(path))
        return Delivered(answer={"path": str(path), "bytes": len(content)})

    def examine_target(self) -> TargetReport:
        """Check the folder in the settings, and write nothing."""
        folder = self._policy.folder
        if not folder.is_dir():
            remedy = "create the folder, or correct path"
            return TargetReport(is_well=False, found=f"the folder {folder} does not exist", remedy=remedy)
        if not os.access(folder, os.W_OK | os.X_OK):
            remedy = "let the daemon's user write in this folder"
            return TargetReport(is_well=False, found=f"the folder {folder} is not writable", remedy=remedy)
        return TargetReport(is_well=True, found=f"the folder {folder} is writable")

    def preview(self, delivery: Delivery, /) -> Preview | Outcome:
        """Return the line and its file, or the outcome if there is no line."""
        planned = self._planned(delivery)
        if not isinstance(planned, tuple):
            return planned
        path, content = planned
        return Preview(request=f"APPEND {path}", content=content)

    def _planned(self, delivery: Delivery) -> tuple[Path, bytes] | Outcome:
        content = line(delivery, self._settings.format)
        if not isinstance(content, bytes):
            return content
        try:
            return self._path(delivery), content
        except Unfilled as missing:
            return Reject(
                reason=f"path: {missing}",
                hint="use only placeholders in path that every event of this subscriber has",
                sent=False,
            )

    def _path(self, delivery: Delivery) -> Path:
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        text = DIRECTIVE.sub(lambda found: now.strftime(found[0]), self._settings.path)
        with self._lock:
            if text != self._text:
                # The files of the previous hour or day are finished.
                self._close_unused(most=0)
                self._text, self._template = text, Template(text)
            template = self._template
        return Path(template.filled(delivery, _quoted))

    @contextmanager
    def _borrowed(self, path: Path) -> Iterator[LineFile]:
        with self._lock:
            opened = self._open.get(path)
            if opened is None:
                opened = self._open[path] = _Open(LineFile(path, self._policy, self._clock.monotonic))
            self._open.move_to_end(path)
            opened.users += 1
            self._close_unused(most=_MOST_OPEN)
        try:
            yield opened.file
        finally:
            with self._lock:
                opened.users -= 1

    def _close_unused(self, *, most: int) -> None:
        """Close the least recently used files until at most `most` files are open."""
        for path in [path for path, opened in self._open.items() if not opened.users]:
            if len(self._open) <= most:
                return
            self._open.pop(path).file.close()


def _every_s(settings: FileSettings) -> float | None:
    match settings.fsync:
        case "always":
            return 0.0
        case "interval":
            return settings.fsync_interval_s
        case "never":
            return None


def _fixed_folder(text: str) -> Path:
    """Return the first folders of a path, up to the first placeholder or time directive."""
    fixed = DIRECTIVE.split(text.partition("{")[0])[0]
    return Path(f"{fixed}name").parent


def _quoted(value: str) -> str:
    return quote(value, safe=_SAFE, errors="replace")
