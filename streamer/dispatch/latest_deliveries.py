"""Latest deliveries of watched keys, which supersede dead letters."""

from collections.abc import Iterable
from typing import Protocol

from streamer.events import Entry, Partition, SubscriberName


class HasPlace(Protocol):
    """A dead letter or the head of a dead letter."""

    @property
    def id(self) -> str:
        """Id of the dead letter."""
        ...

    @property
    def subscriber(self) -> SubscriberName | None:
        """Subscriber that has set the event aside."""
        ...

    @property
    def key(self) -> str | None:
        """Key of the event, if the dead letter has an event."""
        ...

    @property
    def partition(self) -> Partition | None:
        """Partition of the event."""
        ...

    @property
    def offset(self) -> int | None:
        """Offset of the event."""
        ...


class LatestDeliveries:
    """Highest offset that was delivered for each watched key since the watch of this key began.

    Deliveries before the watch can be read from the log. The watch and the log together
    show whether a later event has superseded a dead letter.
    """

    def __init__(self) -> None:
        self.watched: dict[Partition, dict[str, int]] = {}
        """Highest delivered offset of each key; empty while no key is watched."""

    def watch(self, letters: Iterable[HasPlace]) -> None:
        """Watch the keys of `letters` until their partitions are dropped."""
        for letter in letters:
            if letter.partition is not None and letter.key is not None:
                self.watched.setdefault(letter.partition, {}).setdefault(letter.key, -1)

    def forget(self, letters: Iterable[HasPlace]) -> None:
        """Stop watching the keys of `letters`."""
        for letter in letters:
            if letter.partition is not None and letter.key is not None:
                self.watched.get(letter.partition, {}).pop(letter.key, None)

    def watches(self, letter: HasPlace) -> bool:
        """Return true if the key of `letter` is watched."""
        return self._latest(letter) is not None

    def note(self, entry: Entry) -> None:
        """Note a delivered event."""
        latest = self.watched.get(entry.partition)
        if latest is not None and latest.get(entry.event.key, entry.offset) < entry.offset:
            latest[entry.event.key] = entry.offset

    def supersede(self, letter: HasPlace) -> bool:
        """Return true if a later event with the same key was delivered since the watch began."""
        latest = self._latest(letter)
        return latest is not None and letter.offset is not None and letter.offset < latest

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Stop watching the keys of `partitions`, because another process can deliver their events."""
        for partition in partitions:
            self.watched.pop(partition, None)

    def clear(self) -> None:
        """Stop watching all keys."""
        self.watched.clear()

    def _latest(self, letter: HasPlace) -> int | None:
        if letter.partition is None or letter.key is None:
            return None
        return self.watched.get(letter.partition, {}).get(letter.key)
