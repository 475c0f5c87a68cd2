"""One append, which grows until it is committed, and the wait for the schemas of its events."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

import orjson

from streamer.errors import EventsRefused, LogUnavailable
from streamer.events import Channel, Checkpoint, ContinuityRecord, DeadLetter, Event
from streamer.exact_json import exact_default
from streamer.log.kafka.append.encoder import AppendEncoder, AppendRequest
from streamer.log.kafka.cluster.producer import ProducerRecord
from streamer.log.kafka.schemas.avro_values import InexactNumber
from streamer.log.kafka.schemas.event_schemas import EntitySchemas
from streamer.log.kafka.schemas.subjects import SchemaMissing


class SchemaWaits:
    """Order of the commits of each channel while one of them waits for a schema.

    If a commit fails, the commits fail that were called before their caller knew of the
    failure. Otherwise, they would move the checkpoint past the missing events.
    """

    def __init__(self) -> None:
        self._waiting: dict[Channel, asyncio.Future[None]] = {}

    async def resolved(self, channel: Channel, resolve: Awaitable[None] | None) -> None:
        """Wait for the channel's earlier commits, and then for `resolve`; raises the error of either."""
        earlier = self._waiting.get(channel)
        if earlier is None and resolve is None:
            return
        done = self._waiting[channel] = asyncio.get_running_loop().create_future()
        # Without a later commit, nobody asks for the failure.
        done.add_done_callback(lambda each: each.cancelled() or each.exception())
        try:
            if earlier is not None:
                await asyncio.shield(earlier)
            if resolve is not None:
                await resolve
        except BaseException:
            done.set_exception(LogUnavailable(f"an earlier append to the channel {channel} failed"))
            raise
        else:
            done.set_result(None)
        finally:
            if self._waiting.get(channel) is done:
                del self._waiting[channel]


Write = Callable[[AppendRequest], Awaitable[None]]
"""Commits an append; raises the errors of `Append.commit`."""


class KafkaAppend:
    """One append that grows: it collects the records of its events until `commit`.

    From the first event on whose schema is not known yet, the append keeps the events
    themselves, and `commit` waits for their schemas.
    """

    def __init__(self, encoder: AppendEncoder, write: Write, waits: SchemaWaits) -> None:
        """Encode with `encoder`, and commit with `write`; `waits` orders the commits of all appends."""
        self._encoder = encoder
        self._waits = waits
        self._write = write
        self._records: list[ProducerRecord] = []
        self._without_schema: list[Event] = []
        self.size = 0

    def add(self, events: Sequence[Event], /) -> None:
        """Encode `events`; raises `EventsRefused` for events that the format or Kafka cannot represent."""
        if self._without_schema:
            self._keep(events)
            return
        encode, largest, records = self._encoder.event, self._encoder.largest, self._records
        refused: list[tuple[Event, str]] = []
        now_ms = round(self._encoder.clock.now() * 1000)
        size = self.size
        for number, event in enumerate(events):
            try:
                record = encode(event, now_ms)
            except SchemaMissing:
                self.size = size
                self._keep(events[number:])
                size = self.size
                break
            except (TypeError, ValueError) as exc:
                refused.append((event, _reason(exc)))
                continue
            length = len(record.value)
            if length + len(record.key) > largest:
                refused.append(
                    (event, f"the event has {length} bytes, but the log accepts at most {largest}")
                )
                continue
            size += length
            records.append(record)
        self.size = size
        if refused:
            sentence = f"{len(refused)} events can't be written to Kafka: {refused[0][1]}"
            raise EventsRefused(sentence, events=[event for event, _ in refused])

    async def commit(
        self,
        checkpoint: Checkpoint,
        /,
        *,
        set_aside: Sequence[DeadLetter] = (),
        continuity: Sequence[ContinuityRecord] = (),
        redriven: Collection[str] = (),
    ) -> None:
        """Commit events, dead letters, continuity records and the checkpoint in one transaction."""
        if self._encoder.schemas is not None:
            await self._resolve(self._encoder.schemas, checkpoint.channel)
        append = self._encoder.complete(self._records, self.size, checkpoint, set_aside, continuity)
        append.removed = self._encoder.removals(redriven)
        await self._write(append)

    def _keep(self, events: Sequence[Event]) -> None:
        self._without_schema += events
        # The records are about as large as JSON, or smaller.
        self.size += sum(_json_bytes(event) for event in events)

    async def _resolve(self, schemas: EntitySchemas, channel: Channel) -> None:
        """Encode the events that wait for a schema; raises `EventsRefused` as `add` does."""
        waiting = self._without_schema
        await self._waits.resolved(channel, self._resolve_all(schemas) if waiting else None)

    async def _resolve_all(self, schemas: EntitySchemas) -> None:
        refused: list[EventsRefused] = []
        while waiting := self._without_schema:
            await schemas.resolve(waiting[0])
            self._without_schema = []
            self.size = sum(len(record.value) for record in self._records)
            try:
                self.add(waiting)
            except EventsRefused as error:
                refused.append(error)
        if refused:
            raise EventsRefused(str(refused[0]), events=[each for error in refused for each in error.events])


def _json_bytes(event: Event) -> int:
    try:
        return len(orjson.dumps(event.data, default=exact_default))
    except TypeError:
        return 0


def _reason(error: Exception) -> str:
    if isinstance(error, InexactNumber):
        return str(error)
    if isinstance(error, orjson.JSONEncodeError):
        return "the event's data can't be written as JSON"
    return "an attribute of the event is not valid Unicode, or the event's time is invalid"
