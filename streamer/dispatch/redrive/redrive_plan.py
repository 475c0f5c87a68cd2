"""Letters that an order to redrive has still to deliver."""

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain, islice

from streamer.dispatch.redrive.placed_letters import PlacedLetter
from streamer.events import Partition, SubscriberName

_Queue = tuple[SubscriberName, Partition]
_Numbered = tuple[int, PlacedLetter]


class RedrivePlan:
    """Letters in the order in which the log lists them, those of a key by their offsets.

    So the letters of a key are delivered in their order, and the log is read
    from its beginning to its end. Each step costs what it returns, whatever
    the number of letters.
    """

    def __init__(self, letters: Sequence[PlacedLetter] = ()) -> None:
        """Plan `letters`, as the log lists them."""
        self._ids = {letter.id for letter in letters}
        self._dropped: set[str] = set()
        self._taken: dict[str, _Numbered] = {}
        self._queues: dict[_Queue, deque[_Numbered]] = defaultdict(deque)
        for number, letter in enumerate(_by_offset_in_key(letters)):
            self._queues[letter.subscriber, letter.partition].append((number, letter))

    def __contains__(self, id_: str) -> bool:
        return id_ in self._ids

    @property
    def taken(self) -> Collection[str]:
        """Ids of the letters that were taken, and are not known to be gone."""
        return self._taken.keys()

    def drop(self, ids: Iterable[str]) -> None:
        """Leave letters out: they are gone, or not to be delivered."""
        for id_ in ids:
            if id_ in self._ids:
                self._ids.remove(id_)
                self._dropped.add(id_)
                self._taken.pop(id_, None)

    def take(
        self, holds: Callable[[SubscriberName, Partition], bool], *, letters: int, size: int
    ) -> list[PlacedLetter]:
        """Take the next letters from the queues that this process `holds`: at most so many, and of that size.

        One letter always fits.
        """
        held = [queue for (name, partition), queue in self._queues.items() if holds(name, partition)]
        taken: list[PlacedLetter] = []
        while len(taken) < letters and size > 0 and (queues := [*filter(self._trimmed, held)]):
            number, letter = min(queues, key=lambda queue: queue[0][0]).popleft()
            self._taken[letter.id] = number, letter
            taken.append(letter)
            size -= letter.size
        return taken

    def put_back(self, ids: Iterable[str]) -> None:
        """Put letters that were taken back to the beginnings of their queues."""
        back = sorted(self._taken.pop(id_) for id_ in set(ids) if id_ in self._taken)
        for number, letter in reversed(back):
            self._queues[letter.subscriber, letter.partition].appendleft((number, letter))

    def waiting(self) -> Iterator[PlacedLetter]:
        """Yield the letters that were not taken."""
        queues = [*filter(self._trimmed, self._queues.values())]
        return (letter for _, letter in chain(*queues) if letter.id not in self._dropped)

    def first(self, most: int) -> list[str]:
        """Return the ids of at most `most` letters that were not taken."""
        return [letter.id for letter in islice(self.waiting(), most)]

    def _trimmed(self, queue: deque[_Numbered]) -> bool:
        """Forget the letters at the beginning of `queue` that were left out; return true if others follow."""
        while queue and queue[0][1].id in self._dropped:
            queue.popleft()
        return bool(queue)


def _by_offset_in_key(letters: Iterable[PlacedLetter]) -> Iterator[PlacedLetter]:
    keys: dict[tuple[_Queue, str], list[PlacedLetter]] = defaultdict(list)
    letters = list(letters)
    for letter in letters:
        keys[(letter.subscriber, letter.partition), letter.key].append(letter)
    ordered = {key: iter(sorted(some, key=lambda each: each.offset)) for key, some in keys.items()}
    return (next(ordered[(letter.subscriber, letter.partition), letter.key]) for letter in letters)
