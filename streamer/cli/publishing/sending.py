"""Sends the events of an input in order and in batches, and reports each event."""

import asyncio
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from streamer.backoff import Backoff, Delays
from streamer.cli.output import counted, plain
from streamer.cli.publishing.parser import EventParser, Input, InputRefused, Read
from streamer.clock import Clock
from streamer.errors import RetryLater, Stop
from streamer.events import JsonObject, replay_id_to_text
from streamer.ports import EventPublisher, OutgoingEvent, Published, PublishResult, Unanswered, Unpublished


class PublishReport:
    """Counts events, and prints each event that was not published, on standard error.

    With `as_json`, each event gets a line of JSON on standard output. On a terminal, a
    bar shows how many of the input's `size` bytes are done.
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
        """Record that `size` more bytes of the input are done."""
        told = f"{self.published:,} published" + (f", {self.refused:,} refused" if self.refused else "")
        self._progress.update(self._task, advance=size, told=told)

    def accepted(self, line: int, event_id: str, result: Published) -> None:
        """Count a published event."""
        self.published += 1
        about: JsonObject = {"outcome": "published", "event_uuid": result.event_uuid}
        if result.replay_id:
            about["replay_id"] = replay_id_to_text(result.replay_id)
        self._tell(line, event_id, about)

    def denied(self, line: int, event_id: str, result: Unpublished) -> None:
        """Count an event that was not published, and print the reason."""
        self.refused += 1
        self._tell(line, event_id, {"outcome": "refused", "code": result.code, "reason": result.reason})
        self.note(f"line {line}: {result.reason}")

    def unanswered(self, line: int, event_id: str, reason: str) -> None:
        """Print an event that was possibly published."""
        self._tell(line, event_id, {"outcome": "unanswered", "reason": reason})

    def note(self, sentence: str) -> None:
        """Print `sentence` on standard error."""
        self._progress.console.print(plain(sentence))

    def total(self, topic: str) -> None:
        """Print the counts."""
        refused = f", {self.refused:,} refused" if self.refused else ""
        sentence = f"{counted(self.published, 'event')} published to {topic}{refused}."
        if self._as_json:
            self.note(sentence)
        else:
            typer.echo(sentence)

    def _tell(self, line: int, event_id: str, about: JsonObject) -> None:
        if self._as_json:
            typer.echo(orjson.dumps({"line": line, "id": event_id, **about}).decode())


_BATCH = 200
_BACKOFF = Backoff(first_s=0.5, limit_s=10.0)
_NAMESPACE = uuid.UUID("b5d7c1de-2f5c-5c0e-8c5b-2d6c3f0a7e11")


class SendingStopped(Stop):
    """Salesforce did not accept events in time; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """Event of the input: its number (from 1), its line, and the event to send or the `mistake`."""

    number: int
    line: int
    event: OutgoingEvent
    mistake: str = ""


_Open = tuple[_Item, PublishResult]


@dataclass(slots=True, kw_only=True)
class EventNumbers:
    """Numbers the events of one input, and derives event ids from the numbers.

    An event's id depends only on `run_id` and the event's number, so another run
    with the same `run_id` gives the same ids. The event's field `id_field` also
    gets the id.
    """

    run_id: str
    id_field: str | None = None
    count: int = field(default=0, init=False)

    def item(self, read: Read) -> _Item:
        """Return the next event of the input."""
        self.count += 1
        event_id = str(uuid.uuid5(_NAMESPACE, f"{self.run_id}:{self.count}"))
        fields = {**(read.fields or {}), **({self.id_field: event_id} if self.id_field else {})}
        event = OutgoingEvent(id=event_id, fields=fields)
        return _Item(number=self.count, line=read.line, event=event, mistake=read.mistake)


@dataclass(slots=True, kw_only=True)
class Sending:
    """Publishes the events of one input to `topic`, with ids from `numbers`.

    The first `skip` events are not sent. `done` is the number of events before the
    first event without a known result. `is_complete` is true when `done` counts every
    event.
    """

    topic: str
    report: PublishReport
    clock: Clock
    numbers: EventNumbers
    skip: int = 0
    retry_for_s: float = 120.0
    done: int = field(default=0, init=False)
    is_complete: bool = field(default=False, init=False)

    async def run(self, publisher: EventPublisher, source: Input, stopping: asyncio.Event) -> None:
        """Publish until the end of the input or until `stopping`, and finish the request under way.

        Raises `InputRefused`, `SendingStopped` or another `Stop`.
        """
        parser = EventParser()
        async with aclosing(source.chunks(stopping)) as chunks:
            async for chunk in chunks:
                await self._send_all(publisher, parser.fed(chunk), stopping)
                self.report.advance(len(chunk))
        if not stopping.is_set():
            await self._send_all(publisher, parser.ended(), stopping)
            self.is_complete = self.done == self.numbers.count

    async def _send_all(
        self, publisher: EventPublisher, reads: Iterator[Read], stopping: asyncio.Event
    ) -> None:
        batch: list[_Item] = []
        try:
            for read in reads:
                batch.append(self.numbers.item(read))
                if len(batch) == _BATCH:
                    await self._send(publisher, batch, stopping)
                    batch = []
                if stopping.is_set():
                    return
        except InputRefused:
            # The events before the mistake are sent first.
            await self._send(publisher, batch, stopping)
            raise
        await self._send(publisher, batch, stopping)

    async def _send(self, publisher: EventPublisher, batch: Sequence[_Item], stopping: asyncio.Event) -> None:
        """Publish a batch, and retry events with transient failures."""
        wanted = [item for item in batch if item.number > self.skip]
        for item in wanted:
            if item.mistake:
                self.report.denied(
                    item.line, "", Unpublished(code="unreadable", reason=item.mistake, sent=False)
                )
        pending = [item for item in wanted if not item.mistake]
        delays = Delays(_BACKOFF)
        ends_at = self.clock.monotonic() + self.retry_for_s
        while pending:
            events = [item.event for item in pending]
            results = await publisher.publish(self.topic, events)
            left = self._settle(list(zip(pending, results, strict=True)))
            pending = [item for item, _ in left]
            if pending and not await self._paused(delays, left, ends_at, stopping):
                self._leave(left)
                if stopping.is_set():
                    return
                raise SendingStopped(
                    f"{_reason(left[0][1])}; the command gave up after {self.retry_for_s:g} s"
                )
        if batch:
            self.done = batch[-1].number

    def _settle(self, results: Sequence[_Open]) -> list[_Open]:
        """Report the final results, and return the events to retry; raises an error that no retry fixes."""
        left: list[_Open] = []
        for item, result in results:
            match result:
                case Published():
                    self.report.accepted(item.line, item.event.id, result)
                case Unpublished() if not result.is_transient:
                    self.report.denied(item.line, item.event.id, result)
                case _:
                    left.append((item, result))
        for _, result in left:
            if isinstance(result, Unanswered) and not isinstance(result.error, RetryLater):
                self._leave(left)
                raise result.error
        return left

    async def _paused(
        self, delays: Delays, left: Sequence[_Open], ends_at: float, stopping: asyncio.Event
    ) -> bool:
        """Wait before the next retry; return false if no time is left or the command stops."""
        pause_s = max(delays.next_s(), *(_asked_s(result) for _, result in left))
        if stopping.is_set() or self.clock.monotonic() + pause_s > ends_at:
            return False
        self.report.note(f"{_reason(left[0][1])}; the next attempt is in {pause_s:g} s")
        with suppress(TimeoutError):
            async with self.clock.timeout(pause_s):
                await stopping.wait()
        return not stopping.is_set()

    def _leave(self, left: Sequence[_Open]) -> None:
        """Report the events whose results stay unknown."""
        self.done = min(item.number for item, _ in left) - 1
        for item, result in left:
            self.report.unanswered(item.line, item.event.id, _reason(result))


def _reason(result: PublishResult) -> str:
    match result:
        case Unanswered():
            return str(result.error)
        case Unpublished():
            return result.reason
        case _:
            return ""


def _asked_s(result: PublishResult) -> float:
    """Return the pause in seconds that Salesforce asked for, or 0."""
    if isinstance(result, Unanswered) and isinstance(result.error, RetryLater):
        return result.error.after_s or 0.0
    return 0.0
