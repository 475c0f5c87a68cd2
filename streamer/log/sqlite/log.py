"""Embedded log in one local file, and its appends."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from functools import partial
from sqlite3 import Connection
from typing import Self

import structlog

from streamer.clock import Clock
from streamer.errors import EventsRefused, LogMisconfigured, LogUnavailable
from streamer.events import (
    Channel,
    Checkpoint,
    ContinuityRecord,
    DeadLetter,
    Entry,
    Event,
    OrgId,
    Partition,
    RecordState,
    SubscriberName,
)
from streamer.log.continuity import by_id, is_open_in
from streamer.log.sqlite.controls import SqliteControls
from streamer.log.sqlite.database.lock import check_local, locked
from streamer.log.sqlite.database.worker import Worker, used_bytes
from streamer.log.sqlite.feed import SqliteFeed, SqliteSettler, settled_events
from streamer.log.sqlite.history import SqliteHistory
from streamer.log.sqlite.retention import Retention
from streamer.log.sqlite.rows.appends import (
    AppendedEnd,
    AppendRows,
    EventRow,
    encode,
    end,
    event_row,
    milliseconds,
    read_checkpoint,
    read_orgs,
    read_stored,
    write,
)
from streamer.log.sqlite.rows.controls import read_by_ids, read_open
from streamer.log.sqlite.rows.offsets import PARTITION, count_appended
from streamer.log.sqlite.rows.parked import count_parked, letter_key
from streamer.log.sqlite.rows.states import read_origins, read_states
from streamer.log.sqlite.rows.subscribers import find_place, known_place, mark_absent
from streamer.observe.process import Pulses
from streamer.ports import Describer, LogRoom, StoredCheckpoint, Subscription
from streamer.settings import SqliteLogSettings

Write = Callable[[AppendRows], Awaitable[None]]
"""Function that commits an append; raises the errors of `Append.commit`."""
_log = structlog.get_logger()


class SqliteAppend:
    """One append that grows: it collects the rows of its events until `commit`."""

    def __init__(self, write: Write, clock: Clock) -> None:
        self._write = write
        self._clock = clock
        self._rows: list[EventRow] = []
        self.size = 0

    def add(self, events: Sequence[Event], /) -> None:
        """Encode `events`; raises `EventsRefused` for events that JSON cannot represent."""
        now = milliseconds(self._clock.now())
        refused: list[Event] = []
        for event in events:
            try:
                row = event_row(event, now)
            except TypeError:
                refused.append(event)
            else:
                self._rows.append(row)
                self.size += row[2]
        if refused:
            raise EventsRefused(
                f"{len(refused)} events have data that can't be written as JSON", events=refused
            )

    async def commit(
        self,
        checkpoint: Checkpoint,
        /,
        *,
        set_aside: Sequence[DeadLetter] = (),
        continuity: Sequence[ContinuityRecord] = (),
        redriven: Collection[str] = (),
    ) -> None:
        """Commit the rows together with other waiting appends; wait while the file is full."""
        rows = encode(self._rows, checkpoint, set_aside, continuity, now=self._clock.now())
        await self._write(replace(rows, redriven=[letter_key(id_) for id_ in redriven]))


class SqliteRecordStates:
    """States of records in the log's file."""

    def __init__(self, reader: Worker) -> None:
        """Read with `reader`."""
        self._reader = reader

    @property
    def rebuilds(self) -> tuple[()]:
        """Nothing: the log has no copies of states."""
        return ()

    async def origins(self, entities: Collection[str], /) -> Mapping[str, str]:
        """Return an id of each entity's states."""
        return await self._reader.submit(partial(read_origins, entities=entities))

    async def of(self, entity: str, record_ids: Collection[str], /) -> Mapping[str, RecordState]:
        """Return the states of these records, by record id."""
        return await self._reader.submit(partial(read_states, entity=entity, record_ids=record_ids))

    async def ends(self, entity: str, /) -> Mapping[Partition, int]:  # noqa: ARG002 - of the port
        """Return the end of the only partition."""
        return {PARTITION: await self._reader.submit(end)}

    async def settled(
        self,
        subscriber: SubscriberName,
        partitions: Collection[Partition],  # noqa: ARG002 - of the port
        /,
    ) -> Mapping[Partition, int]:
        """Return the offset below which a subscriber has settled all events."""
        place = await self._reader.submit(partial(known_place, name=subscriber))
        return {} if place is None else {PARTITION: place.progress.next_offset}


class SqliteLog:
    """EventLog, ControlledLog and Ownership on one SQLite file that this process owns.

    One thread makes all writes, and commits the writes in groups. A second thread reads
    for all subscribers, and a third thread reads for operators. A call that writes
    returns only when its commit is on the disk. So a process that was killed at any
    moment can start again without a repair.
    """

    def __init__(
        self, writer: Worker, reader: Worker, history: SqliteHistory, room: Retention, clock: Clock
    ) -> None:
        self.history = history
        self._writer = writer
        self._reader = reader
        self._room = room
        self._clock = clock
        self.controls = SqliteControls(writer, reader, clock, history.foreign, freed=self._freed)
        self.states = SqliteRecordStates(reader)
        self._end = 0
        self._turn = asyncio.Lock()
        self._feeds: dict[SubscriberName, SqliteFeed] = {}
        self._keeping: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: SqliteLogSettings, clock: Clock, pulses: Pulses | None = None
    ) -> AsyncIterator[Self]:
        """Open or create the file; leaving the context finishes pending writes and closes the file.

        Raises `LogMisconfigured` when another process owns the file, when the file
        is not a log of this version, or when its file system is unsuitable.
        """
        pulses = pulses or Pulses(clock)
        check_local(settings.path)
        async with AsyncExitStack() as stack:
            stack.enter_context(locked(settings.path))
            writer = await stack.enter_async_context(
                Worker.writing(settings.path, group_weight=settings.group_commit_events, pulses=pulses)
            )
            reader = await stack.enter_async_context(Worker.reading(settings.path, pulses=pulses))
            # Searches have their own thread, so that they do not delay the subscribers.
            searching = await stack.enter_async_context(Worker.searching(settings.path, pulses=pulses))
            history = SqliteHistory(searching, clock)
            log = cls(writer, reader, history, Retention(writer, settings, clock), clock)
            await stack.enter_async_context(log._running())
            yield log

    async def checkpoint(self, channel: Channel) -> Checkpoint | None:
        """Return the last committed checkpoint, after all appends that were requested before this call."""
        return await self._writer.submit(lambda connection: read_checkpoint(connection, channel))

    async def known_orgs(self) -> frozenset[OrgId]:
        """Return the orgs of the committed checkpoints."""
        return await self._reader.submit(partial(read_orgs, foreign=self.controls.foreign))

    async def stored_checkpoints(self) -> Sequence[StoredCheckpoint]:
        """Return the committed checkpoints; this process owns all channels."""
        owner = f"{socket.gethostname()}, process {os.getpid()}"
        return await self._reader.submit(partial(read_stored, owner=owner, foreign=self.controls.foreign))

    async def appended_since(self, patterns: Sequence[str], at: float, /) -> int:
        """Return how many events of these types were appended since `at`; the number can be too high."""
        return await self._reader.submit(partial(count_appended, at=at, patterns=patterns))

    async def open_holes(self, channel: Channel) -> Sequence[ContinuityRecord]:
        """Return the open continuity records of `channel`, after all appends requested before this call."""
        return list(
            filter(
                is_open_in(channel),
                await self._writer.submit(partial(read_open, foreign=self.controls.foreign)),
            )
        )

    async def holes(self, ids: Collection[str]) -> Mapping[str, ContinuityRecord]:
        """Return the last state of each continuity record in `ids`, after all appends requested before."""
        return by_id(await self._writer.submit(partial(read_by_ids, ids=ids, foreign=self.controls.foreign)))

    def begin(self, channel: Channel) -> SqliteAppend:  # noqa: ARG002 - every channel has the same file
        """Return a new append; its commit joins other waiting appends."""
        return SqliteAppend(self._write, self._clock)

    async def _write(self, append: AppendRows) -> None:
        # The lock keeps the calls in their order while the calls wait for room in the file.
        async with self._turn:
            await self._room.wait()
            self._check_open()
            written = self._writer.submit(
                partial(write, append=append), weight=1 + len(append.events), then=self._appended
            )
        await written

    @property
    def processes(self) -> None:
        """`None`: only one process can use this log."""
        return

    @property
    def storage(self) -> LogRoom:
        """Used size and maximum size of the file."""
        return self._room.present

    @property
    def foreign_records(self) -> Mapping[str, int]:
        """Number of foreign rows, by table."""
        return self.controls.foreign.counts

    @property
    def schema_outage(self) -> str:
        """Always empty: SQLite's log needs no schema registry."""
        return ""

    @property
    def schema_failures(self) -> int:
        """Zero: as above."""
        return 0

    def described_by(self, _describer: Describer, /) -> AbstractContextManager[None]:
        """Return a context that does nothing: events in this log have no schemas."""
        return nullcontext()

    @property
    def aborted_transactions(self) -> int:
        """Zero: SQLite undoes a transaction that can't be committed."""
        return 0

    @property
    def outage(self) -> str:
        """Reason why the log can't append at the moment; empty while it can."""
        return self._room.lack

    @property
    def is_member(self) -> bool:
        """Always true, because the process that owns the file owns all channels."""
        return True

    async def owned(self, channels: Sequence[Channel]) -> AsyncGenerator[frozenset[Channel], None]:
        """Yield all `channels` once, because the process that owns the file owns all channels."""
        yield frozenset(channels)
        await asyncio.Event().wait()

    @asynccontextmanager
    async def follow(self, subscription: Subscription) -> AsyncIterator[SqliteFeed]:
        """Open a subscriber's feed; raises `LogMisconfigured` if the subscriber has an open feed."""
        name = subscription.subscriber
        if name in self._feeds:
            raise LogMisconfigured(
                f"subscriber {name} has two feeds: configure each subscriber name only once"
            )
        place = await self._writer.submit(lambda connection: find_place(connection, subscription))
        if place.expired:
            _log.error("subscriber.events_expired", subscriber=name, offsets=place.expired)
        self._check_open()
        settler = SqliteSettler(
            self._writer, self._clock, place, appended=self._appended, freed=self._room.freed
        )
        feed = self._feeds[name] = SqliteFeed(self._reader, subscription, place, settler, end=self._end)
        try:
            yield feed
        finally:
            feed.close()
            del self._feeds[name]

    def settled_events(
        self, subscription: Subscription, begin: Mapping[Partition, int]
    ) -> AsyncGenerator[Entry, None]:
        """Yield the settled events of a subscriber, and end."""
        return settled_events(self._reader, subscription, begin)

    async def expect(self, subscribers: Collection[SubscriberName]) -> None:
        """Set the configured subscribers.

        The unsettled events of any other subscriber are kept for one more retention
        period and then deleted. The subscriber's position and parked events stay, in
        case the subscriber is configured again. Each start logs a warning about these
        parked events.
        """
        now = self._clock.now()
        absent = await self._writer.submit(lambda connection: mark_absent(connection, subscribers, now))
        for name in absent:
            _log.warning("subscriber.absent", subscriber=name)
        for name, events in (await self._reader.submit(count_parked)).items():
            if name not in subscribers:
                _log.warning(
                    "subscriber.parked_events_kept",
                    subscriber=name,
                    events=events,
                    hint=(
                        "this subscriber is no longer configured, and its parked events take space "
                        "in the log until their delivery: configure the subscriber again to deliver "
                        "these events"
                    ),
                )
        self._room.freed.set()

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        self._appended(await self._writer.submit(_state))
        await self.controls.look()
        self._keeping = asyncio.create_task(self._room.keep(), name="log.retention")
        self._keeping.add_done_callback(self._kept)
        try:
            yield
        finally:
            self._closed = True
            self._keeping.cancel()
            self._room.close()
            self._break_off(LogUnavailable("the log is closed"))
            await asyncio.wait([self._keeping])
            if not self._keeping.cancelled():
                self._keeping.result()

    def _appended(self, written: AppendedEnd) -> None:
        self._room.used(written.used_bytes)
        if written.end != self._end:
            self._end = written.end
            for feed in self._feeds.values():
                feed.appended(self._end)

    def _kept(self, keeping: asyncio.Task[None]) -> None:
        # A failure of this task must not stay unnoticed, because without the task the file
        # grows.
        if not keeping.cancelled() and (error := keeping.exception()) is not None:
            self._break_off(error)

    def _break_off(self, error: BaseException) -> None:
        for feed in self._feeds.values():
            feed.break_off(error)

    def _freed(self, _: None) -> None:
        self._room.freed.set()

    def _check_open(self) -> None:
        if self._closed:
            raise LogUnavailable("the log is closed")
        if self._keeping is not None and self._keeping.done():
            self._keeping.result()


def _state(connection: Connection) -> AppendedEnd:
    return AppendedEnd(end=end(connection), used_bytes=used_bytes(connection))
