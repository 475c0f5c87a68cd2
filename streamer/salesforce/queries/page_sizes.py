"""Number of rows that a page can have."""

from dataclasses import dataclass, field

from streamer.ports import RecordQuery

PAGE_BYTES = 8 * 1024 * 1024
"""Most bytes of one page's answer."""

# Cells that are read take about a hundred bytes each, however short they are.
_PAGE_CELLS = 200_000
_QUERIES = 256


@dataclass(slots=True)
class PageSizes:
    """Sizes of the pages of some queries, so that one page stays within `PAGE_BYTES`.

    A page that is too large, or takes too long, is asked for again with half of
    the rows. Later ones begin there, and grow slowly.
    """

    _rows: dict[RecordQuery, int] = field(default_factory=dict)

    def rows(self, query: RecordQuery, most: int) -> int:
        """Return the number of rows to ask for, of `most` at most."""
        by_cells = max(1, _PAGE_CELLS // len(query.fields))
        return max(1, min(most, by_cells, self._rows.get(query, most)))

    def was_too_large(self, query: RecordQuery, rows: int) -> None:
        """Ask for half of `rows` next time."""
        if len(self._rows) >= _QUERIES:
            self._rows.clear()
        self._rows[query] = max(1, rows // 2)

    def was_read(self, query: RecordQuery) -> None:
        """Ask for some more next time, if the last page was smaller than it could have been."""
        if query in self._rows:
            self._rows[query] += self._rows[query] // 8 + 1
