"""A topic with one partition in memory, for a consumer to read."""

from collections.abc import Sequence

from confluent_kafka import Message

from streamer.log.kafka.cluster.bounded_reader import BoundedReader
from streamer.log.kafka.cluster.producer import ProducerRecord, Tombstone


def as_read(records: Sequence[ProducerRecord | Tombstone]) -> list[Message]:
    """Return `records` as a consumer reads them, the first at offset zero."""
    return [_message(record, offset) for offset, record in enumerate(records)]


def compacted(messages: Sequence[Message]) -> list[Message]:
    """Return what a broker can keep of `messages`: the last of each key, at its offset."""
    latest = {message.key(): message.offset() for message in messages}
    return [message for message in messages if latest[message.key()] == message.offset()]


class Tape(BoundedReader):
    """A reader that returns given messages."""

    def __init__(self, messages: Sequence[Message]) -> None:
        """Hold `messages`."""
        self._left = list(messages)

    @property
    def is_over(self) -> bool:
        """True when all messages were returned."""
        return not self._left

    def read(self, count: int, timeout_s: float) -> list[Message]:
        """Return the next messages."""
        del timeout_s
        taken, self._left = self._left[:count], self._left[count:]
        return taken

    def close(self) -> None:
        """Do nothing."""


def _message(record: ProducerRecord | Tombstone, offset: int) -> Message:
    value, headers = (record.value, record.headers) if isinstance(record, ProducerRecord) else (None, {})
    return Message(
        topic=record.topic,
        partition=record.partition,
        offset=offset,
        key=record.key,
        value=value,
        headers=[
            (name, each.encode() if isinstance(each, str) else each or b"") for name, each in headers.items()
        ],
    )
