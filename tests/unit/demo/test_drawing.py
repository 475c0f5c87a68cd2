"""The drawing of the demo fits each terminal, and says in words what its colours say."""

from dataclasses import replace

import pytest
from rich.text import Text

from streamer.demo.drawing.frame import drawn, final
from streamer.demo.drawing.glyphs import ASCII, UNICODE, Glyphs, glyphs_for
from streamer.demo.drawing.picture import DemoPicture, plain_line
from tests.unit.demo.pictures import DOWN, OUTAGE, PICTURE

SIZES = [(200, 60), (140, 30), (120, 40), (80, 24), (60, 24), (60, 16), (60, 9), (40, 12), (20, 6)]


def text_of(lines: list[Text]) -> str:
    """Return the lines without colours."""
    return "\n".join(line.plain for line in lines)


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("picture", [PICTURE, OUTAGE, replace(PICTURE, for_s=None)], ids=["up", "down", "on"])
def test_drawing_fills_the_terminal_and_no_more(
    picture: DemoPicture, glyphs: Glyphs, width: int, height: int
) -> None:
    """A longer line would wrap, and push the picture out of its place."""
    lines = drawn(picture, width, height, glyphs)

    assert len(lines) == height
    assert max(line.cell_len for line in lines) <= width
    assert all("\n" not in line.plain for line in lines)


@pytest.mark.parametrize(("width", "height"), SIZES[:-2])
def test_each_station_and_its_count_is_drawn_at_each_size(width: int, height: int) -> None:
    """The stations disappear last."""
    shown = text_of(drawn(PICTURE, width, height, UNICODE))

    for station in PICTURE.stations:
        assert station.title in shown
        assert station.counts[0] in shown


@pytest.mark.parametrize(("width", "height"), SIZES[:6])
def test_outage_is_seen_in_words_and_in_colour(width: int, height: int) -> None:
    """The box says DOWN, the circuit opens, the waiting deals are counted, and the border is red."""
    lines = drawn(replace(OUTAGE, narration=""), width, height, UNICODE)
    shown = text_of(lines)

    for words in ("✖ DOWN", "circuit open", "24 waiting"):
        assert words in shown
    assert "red" in _style_at(lines, "ERP ")
    assert "red" not in _style_at(lines, "Fulfilment")


@pytest.mark.parametrize(("width", "height"), SIZES[:5])
def test_deals_that_wait_are_named(width: int, height: int) -> None:
    """The box of the ERP names the deals that wait for it, and the arrow to it is blocked."""
    shown = text_of(drawn(OUTAGE, width, height, UNICODE))

    assert "Globex renewal" in shown
    assert "─✖ " in shown
    assert "──▶" in shown


def test_bar_of_waiting_deals_shrinks_as_they_drain() -> None:
    """A person sees the recovery."""
    bars = [
        text_of(drawn(replace(PICTURE, stations=[replace(DOWN, waiting=waiting)]), 80, 24, UNICODE)).count(
            "▇"
        )
        for waiting in (40, 20, 5, 0)
    ]

    assert bars == sorted(bars, reverse=True)
    assert bars[0] > bars[1] > bars[2] > bars[3] == 0


def test_recovery_is_seen() -> None:
    """The ERP is up again, nothing is red, and every arrow flows."""
    lines = drawn(PICTURE, 80, 24, UNICODE)

    assert "● UP" in text_of(lines)
    assert "✖" not in text_of(lines)
    assert not [span for line in lines for span in line.spans if "red" in str(span.style)]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_terminal_without_utf_8_gets_ascii(width: int, height: int) -> None:
    """Other characters would end the demo with an error, or look like noise."""
    assert text_of(drawn(OUTAGE, width, height, ASCII)).isascii()
    assert text_of(final(OUTAGE, width, height, ASCII)).isascii()


@pytest.mark.parametrize(
    ("encoding", "environ", "glyphs"),
    [
        ("utf-8", {}, UNICODE),
        ("UTF-8", {"LANG": "C.UTF-8"}, UNICODE),
        ("utf-8", {"LANG": "en_US.UTF-8", "LC_ALL": ""}, UNICODE),
        ("utf-8", {"LANG": "C", "LC_ALL": "de_DE.UTF-8"}, UNICODE),
        ("iso8859-1", {"LANG": "en_US.ISO-8859-1"}, ASCII),
        ("ascii", {}, ASCII),
        (None, {}, ASCII),
        ("utf-8", {"LC_ALL": "C", "LANG": "en_US.UTF-8"}, ASCII),
        ("utf-8", {"LC_CTYPE": "POSIX"}, ASCII),
        ("utf-8", {"LANG": "C"}, ASCII),
    ],
)
def test_characters_follow_the_terminal(
    encoding: str | None, environ: dict[str, str], glyphs: Glyphs
) -> None:
    """Python writes UTF-8 in the locale C, although the terminal does not have to read it."""
    assert glyphs_for(encoding, environ) is glyphs


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_last_picture_leaves_room_for_the_verdict(width: int, height: int) -> None:
    """Both are on the terminal at once, if the terminal has 24 rows."""
    lines = final(PICTURE, width, height, UNICODE)

    assert height < 24 or len(lines) <= height - (11 if width >= 80 else 17)
    assert max(line.cell_len for line in lines) <= width
    assert "60 shipments"[:width] in text_of(lines) or width < 40


def test_line_for_a_pipe_says_the_same() -> None:
    """One line has the counts and the outage."""
    assert plain_line(OUTAGE) == (
        "  9.2 s  Salesforce 62 deals won | Log: SQLite 186 events | "
        "ERP 38 invoices (DOWN, circuit open, 24 waiting) | Fulfilment 60 shipments (1 dead letter) | "
        "Write-back 60 opportunities | Slack 4 messages"
    )


def _style_at(lines: list[Text], words: str) -> str:
    """Return the styles of the first place with these words."""
    line = next(line for line in lines if words in line.plain)
    at = line.plain.index(words)
    return " ".join(str(span.style) for span in line.spans if span.start <= at < span.end)
