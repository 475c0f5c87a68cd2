"""Index of the dead letters: their ids and offsets, without bodies."""

from collections.abc import Iterable, Mapping
from typing import cast

import structlog
from confluent_kafka import Message

from streamer.log.kafka.cluster.record import Headers, foreign
from streamer.log.kafka.records.chunks import ChunkOffsets, is_complete, with_chunk, without_chunk
from streamer.log.kafka.records.dead_letters import chunk_count, letter_chunk

_log = structlog.get_logger()


class LetterIndex:
    """Offsets of the last version of each dead letter; memory holds ids and offsets alone."""

    def __init__(self) -> None:
        self._offsets: dict[bytes, ChunkOffsets] = {}

    def apply(self, messages: Iterable[Message]) -> None:
        """Apply records in their order; one that is no letter is logged and left out."""
        for message in messages:
            try:
                self._apply_one(message)
            except (LookupError, ValueError) as exc:
                _log.error("record.ignored", reason=str(foreign(message, exc)))

    def chunks(self, id_: bytes) -> int:
        """Return the number of a letter's chunks, 0 if nothing is left of it."""
        return len(self._offsets.get(id_, ()))

    def complete(self) -> Mapping[bytes, ChunkOffsets]:
        """Return the offsets of each letter whose chunks are all there."""
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
