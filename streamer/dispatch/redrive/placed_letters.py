"""Dead letters by their places in the log, without their content."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from streamer.events import DeadLetter, LetterHead, Partition, SubscriberName

COMPARED_AT_ONCE = 50_000
"""Letters that are compared with later events of their keys in one reading of the log."""


class PlacedLetter(NamedTuple):
    """Letter that a subscriber can get again; `size` is the whole letter's, in bytes."""

    id: str
    subscriber: SubscriberName
    key: str
    partition: Partition
    offset: int
    size: int

    @classmethod
    def of(cls, head: LetterHead) -> "PlacedLetter":
        """Return the place of a letter that can be redriven."""
        assert head.subscriber is not None  # noqa: S101 - a subscriber has read it
        assert head.key is not None  # noqa: S101 - it is to be delivered
        assert head.partition is not None  # noqa: S101 - it was read from there
        return cls(head.id, head.subscriber, head.key, head.partition, head.offset or 0, head.size)


class LetterPlaces:
    """Places of any number of letters of one subscriber: their events never reached the target."""

    def __init__(self, letters: Iterable[DeadLetter | LetterHead] = ()) -> None:
        """Begin with `letters`."""
        self._offsets: dict[Partition, set[int]] = defaultdict(set)
        for letter in letters:
            self.add(letter)

    def add(self, letter: DeadLetter | LetterHead) -> None:
        """Add a letter, with or without an event; one that has no place is ignored."""
        if letter.partition is not None and letter.offset is not None:
            self._offsets[letter.partition].add(letter.offset)

    def has(self, partition: Partition, offset: int) -> bool:
        """Return true if the event there is a dead letter."""
        return offset in self._offsets.get(partition, ())


def pages(letters: Iterable[PlacedLetter], most: int = COMPARED_AT_ONCE) -> Iterator[list[PlacedLetter]]:
    """Yield all of `letters` in pages of about `most`, those of one key together.

    A page has neighbours of one partition, so that little of the log is read
    for it.
    """
    keys: dict[tuple[Partition, str], list[PlacedLetter]] = defaultdict(list)
    for letter in sorted(
        letters, key=lambda each: (each.partition.topic, each.partition.number, each.offset)
    ):
        keys[letter.partition, letter.key].append(letter)
    page: list[PlacedLetter] = []
    for some in keys.values():
        if page and len(page) + len(some) > most:
            yield page
            page = []
        page += some
    if page:
        yield page
