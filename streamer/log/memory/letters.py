"""Cursor over the dead letters of a log in memory."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping

from streamer.events import DeadLetter, LetterHead


class MemoryLetterCursor:
    """Compares the present letters with those that it has seen."""

    def __init__(self, letters: Mapping[str, DeadLetter], check_up: Callable[[], None]) -> None:
        """Read `letters`; `check_up` raises while the log is down."""
        self._letters = letters
        self._check_up = check_up
        self._seen: dict[str, DeadLetter] = {}

    async def heads(self) -> AsyncGenerator[LetterHead, None]:
        """Yield the heads of letters that have come since."""
        self._check_up()
        for id_, letter in list(self._letters.items()):
            if self._seen.get(id_) is not letter:
                self._seen[id_] = letter
                yield letter.head

    async def kept(self, ids: Collection[str]) -> frozenset[str]:
        """Return which of these letters exist."""
        self._check_up()
        return frozenset(ids) & self._letters.keys()

    async def letters(self, ids: Collection[str]) -> AsyncGenerator[DeadLetter, None]:
        """Yield these letters."""
        self._check_up()
        for letter in [self._letters[id_] for id_ in ids if id_ in self._letters]:
            yield letter
