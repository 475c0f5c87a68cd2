"""Results of query jobs are rows, or refused as a whole."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.salesforce.queries.bulk import rows_of

COLUMNS = ("Id", "Name", "Phone")
HEADER = '"Id","Name","Phone"\n'


def test_cells_come_by_their_names_and_empty_ones_are_none() -> None:
    """With quotes, line breaks and commas in them."""
    body = HEADER + '"001A","A ""B"", C\r\nD",""\n"001B","é ☃ 𝄞"," 0150 "\n'

    assert list(rows_of(body.encode(), COLUMNS)) == [
        {"Id": "001A", "Name": 'A "B", C\r\nD', "Phone": None},
        {"Id": "001B", "Name": "é ☃ 𝄞", "Phone": " 0150 "},
    ]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_header_decides_on_the_order(line_end: str) -> None:
    """Names are found in any case, and a mark of the byte order or a blank line at the end does no harm."""
    body = f'\ufeff"PHONE","id","Name"{line_end}"7","001A","A"{line_end}{line_end}'

    assert list(rows_of(body.encode(), COLUMNS)) == [{"Id": "001A", "Name": "A", "Phone": "7"}]


def test_blank_lines_are_few() -> None:
    """Millions of them would hold everything else up."""
    with pytest.raises(ValueError, match="blank"):
        list(rows_of(HEADER.encode() + b"\n" * 2_000, COLUMNS))


def test_cell_can_be_longer_than_python_expects() -> None:
    """A long text has 131,072 characters, and more where its line breaks have two."""
    text = "a\r\n" * 131_072

    (row,) = rows_of(f'{HEADER}"001A","{text}",""\n'.encode(), COLUMNS)

    assert row["Name"] == text


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "header"),
        (b"\n", "header"),
        (b'[{"errorCode":"API_ERROR"}]', "header"),
        (b'"Id","Name"\n"001A","A"\n', "missing: Phone"),
        (b'"Id","Name","Phone","Fax"\n', "header"),
        (b'"Id","Name","Name"\n', "missing: Phone"),
        (HEADER.encode() + b'"001A","A"\n', "row 1 has 2 cells"),
        (HEADER.encode() + b'"001A","A","",""\n', "row 1 has 4 cells"),
        (HEADER.encode() + b'"001A","A', "not CSV"),
        (HEADER.encode() + b'"001A","A"B,""\n', "not CSV"),
        (HEADER.encode() + b'"001A","\xff",""\n', "UTF-8"),
        (HEADER.encode() + b'"001A","A\xc3', "UTF-8"),
        (HEADER.encode()[:9], "not CSV"),
        (b"\x1f\x8b\x08\x00", "UTF-8"),
    ],
)
def test_broken_body_is_refused(body: bytes, reason: str) -> None:
    """It never ends as if there were no more rows."""
    with pytest.raises(ValueError, match=reason):
        list(rows_of(body, COLUMNS))


def test_no_value_stands_in_the_error() -> None:
    """It can be a secret of the org."""
    with pytest.raises(ValueError, match="row 1") as raised:
        list(rows_of(HEADER.encode() + b'"001A","hidden"\n', COLUMNS))

    assert "hidden" not in str(raised.value)


@given(st.binary(max_size=200) | st.text(alphabet='",\n\r\\aé\0', max_size=60).map(str.encode))
def test_any_bytes_are_rows_or_refused(body: bytes) -> None:
    """Nothing else is raised, and a row has all cells."""
    try:
        rows = list(rows_of(HEADER.encode() + body, COLUMNS))
    except ValueError:
        return

    assert all(tuple(row) == COLUMNS for row in rows)


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8"), max_size=8), min_size=3, max_size=3)))
def test_texts_survive(cells: list[list[str]]) -> None:
    """Whatever is in them."""
    written = io.StringIO(newline="")
    csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([COLUMNS, *cells])

    rows = list(rows_of(written.getvalue().encode(), COLUMNS))

    assert [[value or "" for value in row.values()] for row in rows] == cells
