"""The core loop: one channel's events, from Salesforce into the log."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal, Protocol

import structlog

from streamer.clock import Clock
from streamer.errors import EventsRefused, ReplayIdRefused, UnreadableEvent
from streamer.events import (
    Batch,
    Channel,
    Checkpoint,
    ContinuityRecord,
    DeadLetter,
    Event,
    HoleCause,
    Start,
)
from streamer.ingest.position import advanced, without_appended
from streamer.ingest.quarantine import Quarantine
from streamer.normalise import Normaliser
from streamer.ports import Append, EventLog, Source

OnRefused = Literal["earliest", "latest", "fail"]

_log = structlog.get_logger()


class IngestObserver(Protocol):
    """Is told what was appended."""

    def appended(self, batch: Batch, append: Append, seconds: float) -> None:
        """`append`, made of `batch`, is in the log after `seconds` of waiting for it."""
        ...


@dataclass(slots=True, kw_only=True)
class Ingest:
    """Carries one channel's events from Salesforce into the log.

    A batch's replay id is committed together with its events, so a crash
    repeats nothing and skips nothing. May be cancelled at any moment. While it
    waits for the log, `busy_since` tells since when, in monotonic seconds.
    """

    channel: Channel
    source: Source
    log: EventLog
    normalise: Normaliser
    quarantine: Quarantine
    clock: Clock
    observer: IngestObserver
    start: Start = Start.LATEST
    on_refused: OnRefused = "earliest"
    busy_since: float | None = field(default=None, init=False)
    _hole: ContinuityRecord | None = field(default=None, init=False)

    async def run(self) -> None:
        """Relay batches until the source ends.

        Raises what the source and the log raise, but for refused events, which
        are set aside, and a refused replay id, which the policy decides on.
        """
        checkpoint = await self._checkpoint()
        after: Checkpoint | Start = checkpoint or self.start
        while True:
            try:
                await self._relay(checkpoint, after)
            except ReplayIdRefused as refused:
                after = self._resume(refused, await self._checkpoint())
                checkpoint = None
            else:
                return

    async def _relay(self, checkpoint: Checkpoint | None, after: Checkpoint | Start) -> None:
        async with aclosing(self.source.batches(self.channel, after=after)) as batches:
            async for batch in batches:
                append = self._digest(batch, checkpoint)
                # Asking for the next batch tells the source that this one is
                # safe: nothing may come between the append and the next turn.
                checkpoint = await self._append(batch, append)

    async def _checkpoint(self) -> Checkpoint | None:
        self.busy_since = self.clock.monotonic()
        checkpoint = await self.log.checkpoint(self.channel)
        self.busy_since = None
        return checkpoint

    def _digest(self, batch: Batch, checkpoint: Checkpoint | None) -> Append:
        # Where an unreadable piece stood among the messages is not known; put
        # first, it can't make the checkpoint pass a message.
        read: list[Event | DeadLetter] = [
            self.quarantine.unreadable(piece, batch) for piece in batch.unreadable
        ]
        set_aside = len(read)
        for message in batch.messages:
            try:
                read.extend(self.normalise(message))
            except UnreadableEvent as error:
                read.append(self.quarantine.unreadable_message(message, error, batch))
                set_aside += 1
        self.quarantine.judge(read=len(batch.messages) + len(batch.unreadable), unreadable=set_aside)

        if checkpoint is not None and checkpoint.appended:
            read = without_appended(read, checkpoint)
        events = [item for item in read if type(item) is Event]
        return Append(
            checkpoint=advanced(checkpoint, read, batch),
            events=events,
            set_aside=[item for item in read if type(item) is DeadLetter] if set_aside else (),
            continuity=self._holes(events, batch),
        )

    async def _append(self, batch: Batch, append: Append) -> Checkpoint:
        began = self.busy_since = self.clock.monotonic()
        while True:
            try:
                await self.log.append(append)
            except EventsRefused as refused:
                append = self.quarantine.without_refused(append, refused)
            else:
                break
        self._hole = self.busy_since = None
        self.observer.appended(batch, append, self.clock.monotonic() - began)
        return append.checkpoint

    def _holes(self, events: Sequence[Event], batch: Batch) -> list[ContinuityRecord]:
        return ([self._hole] if self._hole else []) + [
            ContinuityRecord(
                channel=self.channel,
                cause=HoleCause.GAP_EVENT if event.data["change"] != "GAP_OVERFLOW" else HoleCause.OVERFLOW,
                detail=f"{event.data['change']} of {event.data['entity']} {event.subject}",
                recorded_at=batch.read_at,
                after=event.replay_id,
            )
            for event in events
            if event.type.endswith(".gap")
        ]

    def _resume(self, refused: ReplayIdRefused, checkpoint: Checkpoint | None) -> Start:
        if self.on_refused == "fail":
            raise refused
        # Written with the first batch that follows, so that the record and the
        # position it explains are in the log together.
        self._hole = ContinuityRecord(
            channel=self.channel,
            cause=HoleCause.REPLAY_ID_REFUSED,
            detail=f"Salesforce refused the replay id; reading goes on at {self.on_refused}",
            recorded_at=self.clock.now(),
            after=checkpoint.replay_id if checkpoint else None,
            verified_at=checkpoint.verified_at if checkpoint else None,
        )
        _log.error(
            "replay_id.refused",
            channel=str(self.channel),
            resumes_at=self.on_refused,
            verified_at=checkpoint.verified_at if checkpoint else None,
            answer=str(refused),
        )
        return Start(self.on_refused)
