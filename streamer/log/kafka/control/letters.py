"""Index of the dead letters in their topic, and the reader of their content."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Collection, Generator, Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple, cast

from confluent_kafka import Message

from streamer.errors import ForeignRecord, LogMisconfigured
from streamer.events import DeadLetter, LetterHead
from streamer.log.foreign_records import ForeignRecords
from streamer.log.kafka.cluster.bounded_reader import BoundedReader
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import Headers, set_aside
from streamer.log.kafka.cluster.threads import iterate_in_thread
from streamer.log.kafka.records.dead_letters import chunk_count, encoded_id, head_of, letter_chunk
from streamer.log.kafka.records.events import ChunkOffsets, is_complete, with_chunk, without_chunk
from streamer.log.kafka.topics.admin import KafkaAdmin
from streamer.log.records import decode_dead_letter, decode_letter_head, letter_head


class LetterIndex:
    """Offsets of each dead letter's newest version, and the heads that `take_heads` has not yielded yet.

    After `take_heads`, the index holds only ids and offsets in memory.
    """

    def __init__(self, foreign_records: ForeignRecords | None = None) -> None:
        self._foreign = foreign_records or ForeignRecords()
        self._offsets: dict[bytes, ChunkOffsets] = {}
        self._heads: dict[bytes, bytes] = {}
        # Dead letters that earlier Streamer versions wrote have no head, so the index builds it
        # from their content.
        self._headless: dict[bytes, list[bytes]] = {}

    def apply(self, messages: Iterable[Message]) -> None:
        """Apply records in their order; a foreign record is logged and skipped."""
        for message in messages:
            try:
                self._apply_one(message)
            except (LookupError, ValueError) as exc:
                set_aside(self._foreign, message, exc)

    def chunks(self, id_: bytes) -> int:
        """Return the number of chunks of a dead letter; 0 if it does not exist."""
        return len(self._offsets.get(id_, ()))

    def complete(self, ids: Collection[bytes]) -> Mapping[bytes, ChunkOffsets]:
        """Return the offsets of the dead letters in `ids` whose chunks are all present."""
        found = ((id_, self._offsets.get(id_, ())) for id_ in ids)
        return {id_: offsets for id_, offsets in found if offsets and is_complete(offsets)}

    def take_heads(self) -> Iterator[LetterHead]:
        """Yield and forget the heads of the complete dead letters that were added since the last call."""
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
        # The first chunk begins a new version of the dead letter.
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


_AT_ONCE = 32
_HEADS_AT_ONCE = 500
_POLL_S = 0.5
# Within this time, a new topic, or a topic whose broker has died, gets a leader.
_LEADER_WITHIN_S = 5.0
_THREAD = "kafka-dead-letters"
# Opening another reader costs as much as reading this many small records.
_WORTH_READING_OVER = 500


class _Run(NamedTuple):
    """Range of offsets, and the dead letters in it."""

    begin: int
    end: int
    letters: dict[bytes, ChunkOffsets]


class LetterReader:
    """Reads the topic of dead letters; blocking, for one thread at a time.

    The reader reads the whole topic once to build the index, and later only the new
    records. A dead letter is then read at the offsets in the index. Its methods raise
    `LogUnavailable`.
    """

    def __init__(self, clients: Clients, admin: KafkaAdmin) -> None:
        self._clients = clients
        self._admin = admin
        self._topic = Names.of(clients.settings).dead_letters
        self._errors = KafkaErrors(clients.settings)
        self._index = LetterIndex(clients.foreign)
        self._through = 0

    def heads(self) -> Generator[list[LetterHead], None, None]:
        """Yield lists of the heads of all dead letters that were added since the last call."""
        heads = self.index().take_heads()
        while some := list(islice(heads, _HEADS_AT_ONCE)):
            yield some

    def kept(self, ids: Collection[bytes]) -> Collection[bytes]:
        """Return the ids of the given dead letters that exist."""
        return self.index().complete(ids).keys()

    def letters(self, ids: Collection[bytes]) -> Generator[list[DeadLetter], None, None]:
        """Yield each of these dead letters that exists, as a list of one; skip foreign records."""
        for run in _runs(self.index().complete(ids)):
            for value, last in self._collected(run):
                try:
                    yield [decode_dead_letter(value)]
                except ForeignRecord as exc:
                    set_aside(self._clients.foreign, last, exc)

    def index(self) -> LetterIndex:
        """Return the index of all dead letters that exist now."""
        with self._errors.explained(doing="reading", subject=f"topic {self._topic}"):
            retry = self._clients.retry(_LEADER_WITHIN_S)
            [(begin, end)] = retry.call(self._admin.bounds, self._topic, [0]).values()
        if end < self._through:
            # The topic was deleted and created again.
            self._index, self._through = LetterIndex(self._clients.foreign), 0
        for messages in self._read(max(begin, self._through), end):
            self._index.apply(messages)
            self._through = (messages[-1].offset() or 0) + 1
        self._through = max(self._through, end)
        return self._index

    def _collected(self, run: _Run) -> Iterator[tuple[bytes, Message]]:
        """Yield the value of each dead letter of a run, and the last record of the dead letter."""
        chunks: dict[bytes, list[bytes]] = defaultdict(list)
        for messages in self._read(run.begin, run.end):
            for message in messages:
                if (place := _chunk_in(run.letters, message)) is None:
                    continue
                id_, is_last = place
                # Chunks were written in order, and compaction keeps the order.
                chunks[id_].append(message.value() or b"")
                if is_last:
                    yield b"".join(chunks.pop(id_)), message

    def _read(self, begin: int, end: int) -> Iterator[list[Message]]:
        if begin >= end:
            return
        with (
            self._errors.explained(doing="reading", subject=f"topic {self._topic}"),
            BoundedReader(
                self._clients, self._errors, self._topic, {0: (begin, end)}, over_holes=True
            ) as reader,
        ):
            while not reader.is_over:
                if messages := reader.read(_AT_ONCE, _POLL_S):
                    yield messages


def _runs(letters: Mapping[bytes, ChunkOffsets]) -> Iterator[_Run]:
    """Group dead letters that are close to each other into runs, because one reader can read a whole run."""
    run: _Run | None = None
    for id_, offsets in sorted(letters.items(), key=lambda each: each[1]):
        if run is not None and offsets[0] <= run.end + _WORTH_READING_OVER:
            run.letters[id_] = offsets
            run = run._replace(end=max(run.end, offsets[-1] + 1))
        else:
            if run is not None:
                yield run
            run = _Run(offsets[0], offsets[-1] + 1, {id_: offsets})
    if run is not None:
        yield run


def _chunk_in(letters: Mapping[bytes, ChunkOffsets], message: Message) -> tuple[bytes, bool] | None:
    """Return the dead letter whose chunk a record holds, and whether the chunk is its last."""
    try:
        id_, chunk = letter_chunk(message.key())
    except ValueError:
        # The index has logged this record already.
        return None
    offsets = letters.get(id_, ())
    if message.value() is None or chunk >= len(offsets) or offsets[chunk] != message.offset():
        return None
    return id_, chunk + 1 == len(offsets)


class KafkaLetterCursor:
    """Runs the methods of a `LetterReader` in threads."""

    def __init__(self, reader: LetterReader) -> None:
        self._reader = reader

    def heads(self) -> AsyncGenerator[LetterHead, None]:
        """Yield the heads of the dead letters that were added since the last call."""
        return iterate_in_thread(self._reader.heads(), thread=_THREAD)

    async def kept(self, ids: Collection[str]) -> frozenset[str]:
        """Return the ids of the given dead letters that exist."""
        named = {encoded_id(id_): id_ for id_ in ids}
        kept = await asyncio.to_thread(self._reader.kept, named.keys())
        return frozenset(named[id_] for id_ in kept)

    def letters(self, ids: Collection[str]) -> AsyncGenerator[DeadLetter, None]:
        """Yield the given dead letters that exist."""
        return iterate_in_thread(self._reader.letters([*map(encoded_id, ids)]), thread=_THREAD)
