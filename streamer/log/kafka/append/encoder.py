"""Appends as records, made before their transaction begins."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import orjson

from streamer.errors import EventsRefused
from streamer.events import Channel, Event, EventId
from streamer.log.kafka.append.checkpoints import Checkpoints
from streamer.log.kafka.append.transactions import Content, content
from streamer.log.kafka.cluster.clients import MAX_MESSAGE_BYTES
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.record import ANY_PARTITION, Record
from streamer.log.kafka.records.dead_letters import dead_letter_records
from streamer.log.kafka.records.events import EventEncoder
from streamer.log.records import encode_continuity
from streamer.ports import Append
from streamer.settings import KafkaLogSettings

# What Kafka and the headers add to a value.
_OVERHEAD_BYTES = 4 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedAppend:
    """All bytes of one append; `events` are in the order of the append's own."""

    append: Append
    events: Sequence[Record]
    beside: Sequence[Record]
    size: int

    @property
    def channel(self) -> Channel:
        """Whose append this is."""
        return self.append.checkpoint.channel

    @property
    def topics(self) -> set[str]:
        """The event topics that must exist."""
        return {record.topic for record in self.events}

    def among(self, refused: Collection[Content]) -> list[EventId]:
        """Return the ids of the events whose records are in `refused`."""
        return [
            event.id
            for event, record in zip(self.append.events, self.events, strict=True)
            if content(record) in refused
        ]


class AppendEncoder:
    """Makes the records of appends and of the groups that they form."""

    def __init__(self, settings: KafkaLogSettings, checkpoints: Checkpoints) -> None:
        self._names = Names.of(settings)
        self._checkpoints = checkpoints
        self._encode = EventEncoder(self._names, settings.content_mode).encode
        limit = int(settings.options.get("message.max.bytes", MAX_MESSAGE_BYTES))
        self._largest = limit - _OVERHEAD_BYTES

    def encode(self, append: Append) -> EncodedAppend:
        """Return the records of `append`; raises `EventsRefused` for what JSON or Kafka can't hold."""
        try:
            events = [self._encode(event) for event in append.events]
        except (TypeError, ValueError) as exc:
            raise self._refused(append.events) from exc
        size = sum(len(record.value) for record in events)
        if size > self._largest and any(self._is_too_large(record) for record in events):
            raise self._refused(append.events)
        beside = list(self._beside(append))
        size += sum(len(record.value) for record in beside)
        return EncodedAppend(append=append, events=events, beside=beside, size=size)

    def group(self, appends: Sequence[EncodedAppend]) -> list[Record]:
        """Return the records of all `appends` in order, and one checkpoint for each channel."""
        records: list[Record] = []
        for append in appends:
            records += append.events
            records += append.beside
        newest = {append.channel: append.append.checkpoint for append in appends}
        records += map(self._checkpoints.record, newest.values())
        return records

    def _beside(self, append: Append) -> Iterator[Record]:
        for letter in append.set_aside:
            yield from dead_letter_records(letter, self._names.dead_letters)
        key = str(append.checkpoint.channel).encode()
        for hole in append.continuity:
            value = encode_continuity(hole)
            yield Record(
                self._names.continuity, value, key, ANY_PARTITION, {"content-type": b"application/json"}
            )

    def _refused(self, events: Sequence[Event]) -> EventsRefused:
        reasons = {event.id: reason for event in events if (reason := self._reason(event))}
        return EventsRefused(
            f"{len(reasons)} events can't be kept in Kafka: {next(iter(reasons.values()))}", ids=list(reasons)
        )

    def _reason(self, event: Event) -> str | None:
        try:
            record = self._encode(event)
        except orjson.JSONEncodeError:
            return "its data are no JSON"
        except ValueError:
            return "its attributes are no Unicode text, or its time is none"
        if self._is_too_large(record):
            return f"it has {len(record.value)} bytes, and at most {self._largest} are taken"
        return None

    def _is_too_large(self, record: Record) -> bool:
        return len(record.value) + len(record.key) > self._largest
