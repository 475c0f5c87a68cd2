"""Dead letters that are compared with later events of their keys."""

from collections import defaultdict
from dataclasses import replace

from streamer.controls import can_be_redriven
from streamer.errors import StreamerError
from streamer.events import DeadLetter, SubscriberName

_MAX_COMPARED = 50_000


class TooManyLetters(StreamerError):
    """More dead letters must be compared than fit into memory."""

    def __init__(self) -> None:
        super().__init__(f"More than {_MAX_COMPARED} dead letters must be compared, which is too many")


class ComparedLetters:
    """Letters of each subscriber, without their content: deliverable ones, and others of the same keys.

    A letter that has lost its event has no known key, and counts among the
    others.
    """

    def __init__(self) -> None:
        self.deliverable: dict[SubscriberName, list[DeadLetter]] = defaultdict(list)
        self.others: dict[SubscriberName, list[DeadLetter]] = defaultdict(list)
        self._keys: set[tuple[SubscriberName, str]] = set()
        self._ids: set[str] = set()
        self._held = 0

    @property
    def is_full(self) -> bool:
        """True when no further letter can be added."""
        return self._held >= _MAX_COMPARED

    def add_deliverable(self, letter: DeadLetter) -> None:
        """Add a letter that can be redriven. Raises `TooManyLetters`."""
        assert can_be_redriven(letter)  # noqa: S101 - of the caller's choice
        assert letter.subscriber is not None  # noqa: S101 - a subscriber has read it
        assert letter.event is not None  # noqa: S101 - it is to be delivered
        self._keys.add((letter.subscriber, letter.event.key))
        self._ids.add(letter.id)
        self._keep(self.deliverable[letter.subscriber], letter)

    def add_other(self, letter: DeadLetter) -> None:
        """Add any other letter that can have the key of a deliverable one. Raises `TooManyLetters`."""
        if letter.subscriber is None or letter.subscriber not in self.deliverable or letter.id in self._ids:
            return
        if letter.event is None or (letter.subscriber, letter.event.key) in self._keys:
            self._keep(self.others[letter.subscriber], letter)

    def _keep(self, letters: list[DeadLetter], letter: DeadLetter) -> None:
        if self.is_full:
            raise TooManyLetters
        self._held += 1
        letters.append(_without_content(letter))


def _without_content(letter: DeadLetter) -> DeadLetter:
    event = letter.event and replace(letter.event, data={})
    return replace(letter, event=event, raw=b"", error="", first_error="", hint="", answer="")
