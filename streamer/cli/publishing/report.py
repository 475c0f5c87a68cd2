"""Report of a publication: what became of each event, on the terminal or as lines of JSON."""

import sys
from types import TracebackType
from typing import Self

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from streamer.cli.output import counted, plain
from streamer.events import JsonObject
from streamer.ports import Published, Unpublished
from streamer.replay_ids import replay_id_to_text


class PublishReport:
    """Counts events, and shows each that was not published, on standard error.

    With `as_json`, each event has a line of JSON on standard output. On a
    terminal a bar shows the part of the input's `size` that is done.
    """

    def __init__(self, *, size: int | None, as_json: bool) -> None:
        self._as_json = as_json
        self.published = 0
        self.refused = 0
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        columns = (
            TextColumn("publishing"),
            BarColumn(),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty())
        self._task = self._progress.add_task("", total=size, told="")

    def __enter__(self) -> Self:
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the bar."""
        self._progress.stop()

    def advance(self, size: int) -> None:
        """Note that `size` more bytes of the input are done."""
        told = f"{self.published:,} published" + (f", {self.refused:,} refused" if self.refused else "")
        self._progress.update(self._task, advance=size, told=told)

    def accepted(self, line: int, event_id: str, result: Published) -> None:
        """Count an event that is published."""
        self.published += 1
        about: JsonObject = {"outcome": "published", "event_uuid": result.event_uuid}
        if result.replay_id:
            about["replay_id"] = replay_id_to_text(result.replay_id)
        self._tell(line, event_id, about)

    def denied(self, line: int, event_id: str, result: Unpublished) -> None:
        """Count an event that is not published, and show the reason."""
        self.refused += 1
        self._tell(line, event_id, {"outcome": "refused", "code": result.code, "reason": result.reason})
        self.note(f"line {line}: {result.reason}")

    def unanswered(self, line: int, event_id: str, reason: str) -> None:
        """Show an event that was perhaps published."""
        self._tell(line, event_id, {"outcome": "unanswered", "reason": reason})

    def note(self, sentence: str) -> None:
        """Show `sentence` on standard error."""
        self._progress.console.print(plain(sentence))

    def total(self, topic: str) -> None:
        """Show the counts."""
        refused = f", {self.refused:,} refused" if self.refused else ""
        sentence = f"{counted(self.published, 'event')} published to {topic}{refused}."
        if self._as_json:
            self.note(sentence)
        else:
            typer.echo(sentence)

    def _tell(self, line: int, event_id: str, about: JsonObject) -> None:
        if self._as_json:
            typer.echo(orjson.dumps({"line": line, "id": event_id, **about}).decode())
