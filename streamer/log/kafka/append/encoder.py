"""Encoder of appends into records; an append is complete before its transaction begins."""

import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import orjson

from streamer.errors import EventsRefused
from streamer.events import Channel, Checkpoint, ContinuityRecord, DeadLetter, Event
from streamer.log.kafka.append.checkpoints import Checkpoints
from streamer.log.kafka.append.transactions import Content, content
from streamer.log.kafka.cluster.clients import largest_record
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.record import ProducerRecord, Tombstone
from streamer.log.kafka.records.continuity import continuity_message
from streamer.log.kafka.records.dead_letters import dead_letter_records, removed_letters
from streamer.log.kafka.records.events import EventEncoder, Traceparent, decode
from streamer.settings import KafkaLogSettings

# Bytes that Kafka and the headers add to a value.
_OVERHEAD_BYTES = 4 * 1024


@dataclass(slots=True, kw_only=True, eq=False)
class EncodedAppend:
    """Complete append: the records of its `events` in order, and those `beside` them; `size` in bytes.

    The letters of `removed` are removed before others are written.
    """

    checkpoint: Checkpoint
    events: list[ProducerRecord]
    beside: Sequence[ProducerRecord]
    size: int
    removed: Sequence[Tombstone] = ()

    @property
    def channel(self) -> Channel:
        """Channel of this append."""
        return self.checkpoint.channel

    @property
    def topics(self) -> set[str]:
        """Event topics that must exist."""
        return {record.topic for record in self.events}

    def drop(self, refused: Collection[Content]) -> list[Event]:
        """Remove the events whose records are in `refused`, and return them."""
        out = [record for record in self.events if content(record) in refused]
        if out:
            self.events[:] = [record for record in self.events if content(record) not in refused]
        return [decode(record.key, record.value, record.read_headers) for record in out]


class AppendEncoder:
    """Encodes appends, and groups of appends."""

    def __init__(
        self, settings: KafkaLogSettings, checkpoints: Checkpoints, traceparent: Traceparent | None = None
    ) -> None:
        self._names = Names.of(settings)
        self._checkpoints = checkpoints
        self.event = EventEncoder(self._names, settings.content_mode, traceparent).encode
        self.largest = largest_record(settings) - _OVERHEAD_BYTES

    def complete(
        self,
        events: list[ProducerRecord],
        size: int,
        checkpoint: Checkpoint,
        set_aside: Sequence[DeadLetter],
        continuity: Sequence[ContinuityRecord],
    ) -> EncodedAppend:
        """Return the append of `events`, which take `size` bytes, and of the records beside them."""
        beside = list(self._beside(set_aside, continuity))
        size += sum(len(record.value) for record in beside)
        return EncodedAppend(checkpoint=checkpoint, events=events, beside=beside, size=size)

    def removals(self, letters: Iterable[str]) -> list[Tombstone]:
        """Return the tombstones of dead letters, by their ids."""
        return list(removed_letters(letters, self._names.dead_letters))

    def group(self, appends: Sequence[EncodedAppend]) -> list[ProducerRecord | Tombstone]:
        """Return the records of all `appends` in order, and one checkpoint for each channel."""
        records: list[ProducerRecord | Tombstone] = []
        for append in appends:
            records += append.events
            # Before the others: a redriven event can be set aside again under the same id.
            records += append.removed
            records += append.beside
        newest = {append.channel: append.checkpoint for append in appends}
        records += map(self._checkpoints.record, newest.values())
        return records

    def _beside(
        self,
        set_aside: Sequence[DeadLetter],
        continuity: Sequence[ContinuityRecord],
    ) -> Iterator[ProducerRecord]:
        for letter in set_aside:
            yield from dead_letter_records(letter, self._names.dead_letters)
        for hole in continuity:
            yield continuity_message(hole, self._names.continuity)


Write = Callable[[EncodedAppend], Awaitable[None]]
"""Commits an append; raises as `Append.commit` does."""


class KafkaAppend:
    """One growing append: records of its events, until they are committed."""

    def __init__(self, encoder: AppendEncoder, write: Write) -> None:
        """Encode with `encoder`, and commit with `write`."""
        self._encoder = encoder
        self._write = write
        self._records: list[ProducerRecord] = []
        self.size = 0

    def add(self, events: Sequence[Event], /) -> None:
        """Encode `events`; raises `EventsRefused` for events that JSON or Kafka cannot represent."""
        encode, largest, records = self._encoder.event, self._encoder.largest, self._records
        refused: list[tuple[Event, str]] = []
        now_ms = round(time.time() * 1000)
        size = self.size
        for event in events:
            try:
                record = encode(event, now_ms)
            except (TypeError, ValueError) as exc:
                refused.append((event, _reason(exc)))
                continue
            length = len(record.value)
            if length + len(record.key) > largest:
                refused.append((event, f"it has {length} bytes, and at most {largest} are taken"))
                continue
            size += length
            records.append(record)
        self.size = size
        if refused:
            sentence = f"{len(refused)} events can't be kept in Kafka: {refused[0][1]}"
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
        append = self._encoder.complete(self._records, self.size, checkpoint, set_aside, continuity)
        append.removed = self._encoder.removals(redriven)
        await self._write(append)


def _reason(error: Exception) -> str:
    if isinstance(error, orjson.JSONEncodeError):
        return "its data are no JSON"
    return "an attribute is not valid Unicode, or the time is invalid"
