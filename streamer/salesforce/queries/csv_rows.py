"""Rows of a query job's results (Bulk API 2.0 guide, get results for a query job)."""

import csv
import io
import re
from collections.abc import Iterator, Sequence

from streamer.salesforce.queries.page_sizes import PAGE_BYTES

Row = dict[str, str | None]

# Some writers end with a blank line. Nothing else runs while they are passed.
_MOST_BLANK = 1_000
_NAME = re.compile(r"[A-Za-z]\w{0,254}", re.ASCII)


class OtherFields(ValueError):
    """The rows have other fields than those of the query: the entity, or the user's rights, changed."""


def rows_of(body: bytes, columns: Sequence[str]) -> Iterator[Row]:
    """Iterate over the rows of a CSV with a header, by the names of `columns`; an empty cell is `None`.

    Raises `ValueError` where the body is not that: another header, a row with a
    cell too few or too many, an open quote, invalid UTF-8. Its text quotes no
    value. It is `OtherFields` for a header of names, `Id` among them.
    """
    # Python's own limit equals a long text, but Salesforce counts a line break once. The limit
    # belongs to the process, so it is only raised.
    csv.field_size_limit(max(csv.field_size_limit(), PAGE_BYTES))
    text = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", newline="")
    reader = csv.reader(text, strict=True)
    try:
        names = _named(next(reader, []), columns)
        blank = 0
        for number, cells in enumerate(reader, start=1):
            if not cells:
                blank += 1
                if blank > _MOST_BLANK:
                    raise ValueError(f"more than {_MOST_BLANK} of its lines are blank")
                continue
            if len(cells) != len(names):
                raise ValueError(f"row {number} has {len(cells)} cells, where the header has {len(names)}")
            yield {name: cell or None for name, cell in zip(names, cells, strict=True)}
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} is not CSV ({error})") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"a text is not UTF-8 ({error.reason})") from None


def _named(header: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Return the names of the columns in the order of the header, which can differ from that of the query."""
    asked = {each.lower(): each for each in columns}
    found = [asked.get(each.lower()) for each in header]
    if len(found) != len(columns) or set(found) != set(columns):
        missing = [each for each in columns if each not in found]
        lacking = f": it lacks {', '.join(missing[:3])}" if missing else ""
        is_of_records = "id" in map(str.lower, header) and all(map(_NAME.fullmatch, header))
        error = OtherFields if is_of_records else ValueError
        raise error(f"the header is not that of the query's {len(columns)} fields{lacking}")
    return [each for each in found if each is not None]
