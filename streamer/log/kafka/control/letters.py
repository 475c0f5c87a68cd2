"""Reads dead letters out of their topic, one after the other."""

from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping

from confluent_kafka import Message

from streamer.errors import LogUnavailable
from streamer.events import DeadLetter
from streamer.log.kafka.cluster.bounded_reader import BoundedReader
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.control.letter_index import LetterIndex
from streamer.log.kafka.records.dead_letters import letter_part
from streamer.log.kafka.topics.admin import KafkaAdmin
from streamer.log.records import decode_dead_letter

_AT_ONCE = 32
_POLL_S = 0.5
_TRIES = 3


class LetterReader:
    """Reads the topic of dead letters. Blocking, for one thread at a time.

    It goes through the topic twice: first for the ids and where the last
    version of each lies, then for the letters themselves.
    """

    def __init__(self, clients: Clients, admin: KafkaAdmin) -> None:
        self._clients = clients
        self._admin = admin
        self._topic = Names.of(clients.settings).dead_letters
        self._errors = KafkaErrors(clients.settings)

    def letters(self) -> Generator[DeadLetter, None, None]:
        """Yield each letter that there is now, once.

        Raises `LogUnavailable`, and `LogMisconfigured` for what is no letter.
        """
        ids: set[bytes] | None = None
        for _ in range(_TRIES):
            whole = self.survey().whole()
            ids = {*whole} if ids is None else ids & whole.keys()
            for id_, letter in self._collected({id_: whole[id_] for id_ in ids}):
                ids.remove(id_)
                yield letter
            if not ids:
                return
            # Some were set aside anew meanwhile, and compaction took their former records.
        raise LogUnavailable(f"dead letters of {self._topic} change while they are read: try again")

    def survey(self) -> LetterIndex:
        """Return which letters there are now."""
        found = LetterIndex()
        with self._sweep() as reader:
            while not reader.is_over:
                found.note(self._read(reader))
        return found

    def _collected(self, whole: Mapping[bytes, tuple[int, ...]]) -> Iterator[tuple[bytes, DeadLetter]]:
        parts: dict[bytes, list[bytes]] = defaultdict(list)
        with self._sweep() as reader:
            while not reader.is_over:
                for message in self._read(reader):
                    id_, part = letter_part(message.key())
                    value, places = message.value(), whole.get(id_, ())
                    if value is None or part >= len(places) or places[part] != message.offset():
                        continue
                    # Parts were written in their order, and compaction keeps it.
                    parts[id_].append(value)
                    if part + 1 == len(places):
                        yield id_, decode_dead_letter(b"".join(parts.pop(id_)))

    def _sweep(self) -> BoundedReader:
        with self._errors.explained(doing="reading", subject=f"topic {self._topic}"):
            read_ranges = self._admin.bounds(self._topic, [0])
            return BoundedReader(self._clients, self._errors, self._topic, read_ranges)

    def _read(self, reader: BoundedReader) -> list[Message]:
        with self._errors.explained(doing="reading", subject=f"topic {self._topic}"):
            return reader.read(_AT_ONCE, _POLL_S)
