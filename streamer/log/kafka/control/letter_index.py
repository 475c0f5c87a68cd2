"""Index of the dead letters: their ids and offsets, without bodies."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import cast

from confluent_kafka import Message

from streamer.errors import LogMisconfigured
from streamer.events import LetterHead
from streamer.log.foreign_records import ForeignRecords
from streamer.log.kafka.cluster.record import Headers, set_aside
from streamer.log.kafka.records.chunks import ChunkOffsets, is_complete, with_chunk, without_chunk
from streamer.log.kafka.records.dead_letters import chunk_count, head_of, letter_chunk
from streamer.log.records import decode_letter_head, letter_head


class LetterIndex:
    """Offsets of the last version of each dead letter, and the heads that no one has taken yet.

    Once the heads are taken, memory holds ids and offsets alone.
    """

    def __init__(self, foreign_records: ForeignRecords | None = None) -> None:
        self._foreign = foreign_records or ForeignRecords()
        self._offsets: dict[bytes, ChunkOffsets] = {}
        self._heads: dict[bytes, bytes] = {}
        # Those that earlier versions wrote have no head, so it is made of the letter.
        self._headless: dict[bytes, list[bytes]] = {}

    def apply(self, messages: Iterable[Message]) -> None:
        """Apply records in their order; a foreign one is set aside."""
        for message in messages:
            try:
                self._apply_one(message)
            except (LookupError, ValueError) as exc:
                set_aside(self._foreign, message, exc)

    def chunks(self, id_: bytes) -> int:
        """Return the number of a letter's chunks, 0 if nothing is left of it."""
        return len(self._offsets.get(id_, ()))

    def complete(self, ids: Collection[bytes]) -> Mapping[bytes, ChunkOffsets]:
        """Return the offsets of those of the letters whose chunks are all there."""
        found = ((id_, self._offsets.get(id_, ())) for id_ in ids)
        return {id_: offsets for id_, offsets in found if offsets and is_complete(offsets)}

    def take_heads(self) -> Iterator[LetterHead]:
        """Yield the heads of the complete letters that have come since, and forget them."""
        for id_ in [*self.complete(self._heads)]:
            try:
                yield decode_letter_head(self._heads.pop(id_))
            except LogMisconfigured as exc:
                place = (
                    f"offset {self._offsets.pop(id_)[0]}, letter {id_.decode('utf-8', 'backslashreplace')!r}"
                )
                self._foreign.set_aside("dead-letters", f"topic of dead letters, {place}", exc)

    def _apply_one(self, message: Message) -> None:
        id_, chunk = letter_chunk(message.key())
        value = message.value()
        if value is None:
            self._keep(id_, without_chunk(self._offsets.get(id_, ()), chunk))
            return
        headers = cast("Headers | None", message.headers())
        chunks = chunk_count(headers)
        # The first chunk begins another version, whose chunks follow it.
        known = self._offsets.get(id_, ()) if chunk else ()
        self._keep(id_, with_chunk(known, chunk, message.offset() or 0, chunks=chunks))
        if chunk == 0 and (head := head_of(headers)) is not None:
            self._headless.pop(id_, None)
            self._heads[id_] = head
        elif chunk == 0 or id_ in self._headless:
            self._collect(id_, chunk, value, is_last=chunk + 1 == chunks)

    def _collect(self, id_: bytes, chunk: int, value: bytes, *, is_last: bool) -> None:
        if chunk == 0:
            self._headless[id_] = []
        self._headless[id_].append(value)
        if is_last:
            self._heads[id_] = letter_head(b"".join(self._headless.pop(id_)))

    def _keep(self, id_: bytes, offsets: ChunkOffsets) -> None:
        if offsets:
            self._offsets[id_] = offsets
        else:
            self._offsets.pop(id_, None)
            self._heads.pop(id_, None)
            self._headless.pop(id_, None)
