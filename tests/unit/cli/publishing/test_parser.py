"""Events are read from JSON in every usual form."""

import random
from collections.abc import Iterable
from contextlib import suppress
from decimal import Decimal
from itertools import chain, repeat

import pytest

from streamer.cli.publishing.parser import EventParser, InputRefused, Read

LINES = b'{"a": 1}\n\n{"a": 2}\r\n{"a": 3}'
LIST = b'\xef\xbb\xbf[\n {"a": 1},\n {\n "a": 2}\n,{"a": 3} ]\n'
PRETTY = b'\n{\n  "a": 1\n}\n{"a": 2} {"a":\n3}'


def parsed(text: bytes, *, size: int = 1 << 20) -> list[Read]:
    """Return the events of `text`, which arrives `size` bytes at a time."""
    reads: list[Read] = []
    parse_into(reads, (text[at : at + size] for at in range(0, len(text), size)))
    return reads


def parse_into(reads: list[Read], chunks: Iterable[bytes]) -> None:
    """Add the events of an input to `reads`, as they are parsed."""
    parser = EventParser()
    for chunk in chunks:
        for read in parser.fed(chunk):
            reads.append(read)  # noqa: PERF402 - those before a mistake count
    reads.extend(parser.ended())


@pytest.mark.parametrize(
    ("text", "lines"), [(LINES, [1, 3, 4]), (LIST, [2, 3, 5]), (PRETTY, [2, 5, 5]), (b'{"a": 1}', [1])]
)
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_are_read_however_they_arrive(text: bytes, lines: list[int], size: int) -> None:
    """Lines, a list, objects over several lines, one object: with the line in which each begins."""
    reads = parsed(text, size=size)

    assert [read.fields for read in reads] == [{"a": number} for number in range(1, len(lines) + 1)]
    assert [read.line for read in reads] == lines


def test_characters_that_are_torn_apart_are_read() -> None:
    """A chunk can end anywhere."""
    text = '{"a": "ü😀"}\n{"a": "ä"}'.encode()

    assert [read.fields for read in parsed(text, size=1)] == [{"a": "ü😀"}, {"a": "ä"}]
    assert [read.fields for read in parsed(b"[" + text.replace(b"\n", b",") + b"]", size=1)] == [
        {"a": "ü😀"},
        {"a": "ä"},
    ]


def test_numbers_are_exact() -> None:
    """A decimal keeps its digits."""
    [read] = parsed(b'{"a": 0.10, "b": 12345678901234567890}')

    assert read.fields == {"a": Decimal("0.10"), "b": 12345678901234567890}


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        (b'{"a": }', "is not JSON: expecting value at column 7"),
        (b"[1]", "is not a JSON object with the fields of an event"),
        (b'{"a": "\xff"}', "is not UTF-8 text"),
        (b'{"a": NaN}', "has NaN, which is not JSON"),
        (b'{"a": 1e9999999999999999999}', "has a number that is too large"),
        (b'{"a": 1, "a": 2}', "has the name a twice"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is nested too deeply"),
    ],
)
def test_line_with_a_mistake_costs_only_itself(line: bytes, mistake: str) -> None:
    """And is named."""
    first, wrong, last = parsed(b'{"a": 1}\n' + line + b'\n{"a": 2}\n')

    assert (first.fields, wrong.fields, last.fields) == ({"a": 1}, None, {"a": 2})
    assert (wrong.line, wrong.mistake) == (2, mistake)


@pytest.mark.parametrize(
    ("text", "read", "message"),
    [
        (b"a,b\n1,2\n", 0, "line 1: must begin with { or ["),
        (b'[{"a": 1},\n {"a": ]', 1, "line 2: is not JSON: expecting value"),
        (b'[{"a": 1}\n {"a": 2}]', 1, "line 2: , is missing"),
        (b'[{"a": 1},\n {"a": 2}', 2, "line 2: the list is not closed"),
        (b'[{"a": 1}]\n{"a": 2}', 1, "line 2: there is text after the end of the list"),
        (b'{\n"a": 1}\n{"a"', 1, "line 3: is not JSON"),
        (b'[{"a": 1}, {"b": "\xff"}]', 1, "line 1: is not UTF-8 text"),
    ],
)
def test_mistake_outside_of_lines_ends_the_input(text: bytes, read: int, message: str) -> None:
    """Behind the events that stand before it, because nothing tells where the next one begins."""
    events: list[Read] = []
    with pytest.raises(InputRefused) as refused:
        parse_into(events, [text[:10], text[10:]])

    assert str(refused.value).startswith(message)
    assert len(events) == read


@pytest.mark.parametrize("begin", [b"[", b"{", b'{"a": 1}\n'])
def test_event_without_an_end_is_refused_before_it_fills_the_memory(begin: bytes) -> None:
    """Whatever arrives."""
    endless = chain([begin + b'{"a": "'], repeat(b"x" * 1_000_000))
    with pytest.raises(InputRefused, match="its JSON does not end within"):
        parse_into([], endless)


def test_any_bytes_are_read_or_refused() -> None:
    """Nothing else happens."""
    draw = random.Random(7)  # noqa: S311 - a test's
    for _ in range(500):
        text = bytearray(draw.choice([LINES, LIST, PRETTY]))
        for _ in range(draw.randint(1, 4)):
            text[draw.randrange(len(text))] = draw.choice(b'{}[],:"\\\n 1a\xff')
        with suppress(InputRefused):
            parsed(bytes(text), size=draw.randint(1, 20))


def test_mistake_within_an_event_of_several_lines_is_told_by_its_own_line() -> None:
    """The column counts in that line, so an editor finds the place."""
    with pytest.raises(InputRefused, match=r"^line 4: is not JSON: .* at column 10; the command"):
        parsed(b'\n{\n  "b": 2,\n  "c": 3 "d": 4\n}\n')
