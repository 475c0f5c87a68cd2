"""Reader of the dead letters in their topic."""

from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping

from confluent_kafka import Message

from streamer.errors import ForeignRecord, LogUnavailable
from streamer.events import DeadLetter
from streamer.log.kafka.cluster.bounded_reader import BoundedReader
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.record import foreign
from streamer.log.kafka.control.letter_index import LetterIndex
from streamer.log.kafka.records.dead_letters import letter_chunk
from streamer.log.kafka.topics.admin import KafkaAdmin
from streamer.log.records import decode_dead_letter

_AT_ONCE = 32
_POLL_S = 0.5
_TRIES = 3


class LetterReader:
    """Reads the topic of dead letters. Blocking, for one thread at a time.

    It reads the topic twice: first for the ids and offsets of the last
    versions, then for the letters themselves.
    """

    def __init__(self, clients: Clients, admin: KafkaAdmin) -> None:
        self._clients = clients
        self._admin = admin
        self._topic = Names.of(clients.settings).dead_letters
        self._errors = KafkaErrors(clients.settings)

    def letters(self) -> Generator[DeadLetter, None, None]:
        """Yield each letter that exists now, once.

        Raises `LogUnavailable`, and `LogMisconfigured` for a record that is no
        letter.
        """
        ids: set[bytes] | None = None
        for _ in range(_TRIES):
            complete = self.index().complete()
            ids = {*complete} if ids is None else ids & complete.keys()
            for id_, letter in self._collected({id_: complete[id_] for id_ in ids}):
                ids.remove(id_)
                yield letter
            if not ids:
                return
            # Some were set aside again meanwhile, and compaction removed their earlier records.
        raise LogUnavailable(f"dead letters of {self._topic} change while they are read: try again")

    def index(self) -> LetterIndex:
        """Return the index of the letters that exist now."""
        found = LetterIndex()
        with self._open_reader() as reader:
            while not reader.is_over:
                found.apply(self._read(reader))
        return found

    def _collected(self, complete: Mapping[bytes, tuple[int, ...]]) -> Iterator[tuple[bytes, DeadLetter]]:
        chunks: dict[bytes, list[bytes]] = defaultdict(list)
        with self._open_reader() as reader:
            while not reader.is_over:
                for message in self._read(reader):
                    if (place := _chunk_in(complete, message)) is None:
                        continue
                    id_, is_last = place
                    # Chunks were written in their order, and compaction keeps it.
                    chunks[id_].append(message.value() or b"")
                    if is_last:
                        yield id_, _letter(b"".join(chunks.pop(id_)), message)

    def _open_reader(self) -> BoundedReader:
        with self._errors.explained(doing="reading", subject=f"topic {self._topic}"):
            read_ranges = self._admin.bounds(self._topic, [0])
            return BoundedReader(self._clients, self._errors, self._topic, read_ranges)

    def _read(self, reader: BoundedReader) -> list[Message]:
        with self._errors.explained(doing="reading", subject=f"topic {self._topic}"):
            return reader.read(_AT_ONCE, _POLL_S)


def _chunk_in(complete: Mapping[bytes, tuple[int, ...]], message: Message) -> tuple[bytes, bool] | None:
    """Return the letter of `complete` to which a record belongs, and whether its chunk is the last."""
    try:
        id_, chunk = letter_chunk(message.key())
    except ValueError:
        # The index has logged it.
        return None
    offsets = complete.get(id_, ())
    if message.value() is None or chunk >= len(offsets) or offsets[chunk] != message.offset():
        return None
    return id_, chunk + 1 == len(offsets)


def _letter(value: bytes, last: Message) -> DeadLetter:
    try:
        return decode_dead_letter(value)
    except ForeignRecord as exc:
        raise foreign(last, exc) from exc
