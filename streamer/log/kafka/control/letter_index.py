"""Which dead letters there are, and where, without their bodies."""

from collections.abc import Iterable, Mapping
from typing import cast

from confluent_kafka import Message

from streamer.errors import LogMisconfigured
from streamer.log.kafka.cluster.record import Headers
from streamer.log.kafka.records.chunks import Place, is_whole, with_part, without_part
from streamer.log.kafka.records.dead_letters import letter_part, part_count


class LetterIndex:
    """Where the last version of each dead letter lies; memory holds ids and offsets."""

    def __init__(self) -> None:
        self._places: dict[bytes, Place] = {}

    def note(self, messages: Iterable[Message]) -> None:
        """Take in records, in their order. Raises `LogMisconfigured`."""
        for message in messages:
            try:
                self._note(message)
            except (LookupError, ValueError) as exc:
                raise LogMisconfigured(
                    f"topic {message.topic()} holds what is no dead letter: give Streamer topics of its own"
                ) from exc

    def parts(self, id_: bytes) -> int:
        """Return how many parts a letter has, as far as there is anything of it."""
        return len(self._places.get(id_, ()))

    def whole(self) -> Mapping[bytes, Place]:
        """Return where each letter lies, of those that are there as a whole."""
        return {id_: place for id_, place in self._places.items() if is_whole(place)}

    def _note(self, message: Message) -> None:
        id_, part = letter_part(message.key())
        known = self._places.get(id_, ())
        if message.value() is None:
            place = without_part(known, part)
        else:
            parts = part_count(cast("Headers | None", message.headers()))
            place = with_part(known, part, message.offset() or 0, parts=parts)
        if place:
            self._places[id_] = place
        else:
            self._places.pop(id_, None)
