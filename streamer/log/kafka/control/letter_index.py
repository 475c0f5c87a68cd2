"""Which dead letters there are, and where, without their bodies."""

from collections.abc import Iterable, Mapping
from typing import cast

from confluent_kafka import Message

from streamer.errors import LogMisconfigured
from streamer.log.kafka.cluster.record import Headers
from streamer.log.kafka.records.chunks import ChunkOffsets, is_complete, with_chunk, without_chunk
from streamer.log.kafka.records.dead_letters import chunk_count, letter_chunk


class LetterIndex:
    """Where the last version of each dead letter lies; memory holds ids and offsets."""

    def __init__(self) -> None:
        self._offsets: dict[bytes, ChunkOffsets] = {}

    def apply(self, messages: Iterable[Message]) -> None:
        """Take in records, in their order. Raises `LogMisconfigured`."""
        for message in messages:
            try:
                self._apply_one(message)
            except (LookupError, ValueError) as exc:
                raise LogMisconfigured(
                    f"topic {message.topic()} holds a record that is no dead letter: use topics that only "
                    "Streamer writes"
                ) from exc

    def chunks(self, id_: bytes) -> int:
        """Return how many parts a letter has, as far as there is anything of it."""
        return len(self._offsets.get(id_, ()))

    def complete(self) -> Mapping[bytes, ChunkOffsets]:
        """Return where each letter lies, of those that are there as a whole."""
        return {id_: offsets for id_, offsets in self._offsets.items() if is_complete(offsets)}

    def _apply_one(self, message: Message) -> None:
        id_, chunk = letter_chunk(message.key())
        known = self._offsets.get(id_, ())
        if message.value() is None:
            offsets = without_chunk(known, chunk)
        else:
            chunks = chunk_count(cast("Headers | None", message.headers()))
            offsets = with_chunk(known, chunk, message.offset() or 0, chunks=chunks)
        if offsets:
            self._offsets[id_] = offsets
        else:
            self._offsets.pop(id_, None)
