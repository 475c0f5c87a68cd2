"""Cursor over the dead letters of a log file."""

from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from functools import partial

from streamer.events import DeadLetter, LetterHead
from streamer.log.foreign_records import ForeignRecords
from streamer.log.sqlite.database.json_pages import PAGE_ROWS
from streamer.log.sqlite.database.worker import Worker
from streamer.log.sqlite.rows.dead_letters import (
    kept_letters,
    last_letter,
    letter_key,
    read_heads,
    read_letters,
)


class SqliteLetterCursor:
    """Reads letters in pages, by their rising numbers."""

    def __init__(self, reader: Worker, foreign: ForeignRecords) -> None:
        """Read with `reader`; `foreign` takes the rows that are not letters."""
        self._reader = reader
        self._foreign = foreign
        self._after = 0

    async def heads(self) -> AsyncGenerator[LetterHead, None]:
        """Yield the heads of letters that have come since, if they still exist when their turn comes."""
        last = await self._reader.submit(last_letter)
        while self._after < last:
            read = partial(read_heads, after=self._after, last=last, foreign=self._foreign)
            page, after = await self._reader.submit(read)
            for head in page:
                yield head
            # Not before: a caller that stops early reads the page again.
            self._after = after

    async def kept(self, ids: Collection[str]) -> frozenset[str]:
        """Return which of these letters exist."""
        named = {letter_key(id_): id_ for id_ in ids}
        kept: list[str] = []
        for keys in _pages(list(named)):
            kept += await self._reader.submit(partial(kept_letters, keys=keys))
        return frozenset(named[key] for key in kept)

    async def letters(self, ids: Collection[str]) -> AsyncGenerator[DeadLetter, None]:
        """Yield these letters."""
        for keys in _pages([letter_key(id_) for id_ in ids]):
            after: int | None = 0
            while after is not None:
                read = partial(read_letters, keys=keys, after=after, foreign=self._foreign)
                page, after = await self._reader.submit(read)
                for letter in page:
                    yield letter


def _pages(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[begin : begin + PAGE_ROWS] for begin in range(0, len(keys), PAGE_ROWS))
