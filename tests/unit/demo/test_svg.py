"""The animated SVG of the demo shows the outage, also to a viewer that does not animate."""

import re
from dataclasses import replace

from defusedxml import ElementTree

from streamer.demo.drawing.svg import svg_of
from tests.unit.demo.pictures import OUTAGE, PICTURE


def test_pictures_follow_each_other() -> None:
    """Each has its frame, and the frames begin one after the other."""
    drawing = svg_of([PICTURE, OUTAGE, PICTURE])

    assert re.findall(r'class="(frame.*?)" style="animation-delay:([-\d.]+)s"', drawing) == [
        ("frame", "-3.6"),
        ("frame still", "-2.4"),
        ("frame", "-1.2"),
    ]
    assert "animation:show 3.6s step-end infinite" in drawing
    assert "0%{visibility:visible}33.333%{visibility:hidden}" in drawing


def test_outage_is_the_picture_without_animation() -> None:
    """A person who asked for less motion sees the outage at its worst."""
    worse = replace(OUTAGE, stations=[replace(each, waiting=each.waiting * 2) for each in OUTAGE.stations])
    tree = ElementTree.fromstring(svg_of([PICTURE, OUTAGE, worse, PICTURE]))
    [still] = [each for each in tree.iter() if each.get("class") == "frame still"]

    texts = [text.text or "" for text in still]
    assert any("48 waiting" in text for text in texts)
    assert any("DOWN" in text for text in texts)


def test_long_demo_is_drawn_with_few_pictures() -> None:
    """The last of them is the end."""
    pictures = [replace(PICTURE, elapsed_s=float(second), for_s=None) for second in range(300)]
    drawing = svg_of(pictures)

    assert len(re.findall('class="frame', drawing)) == 16
    assert "299 s;" in drawing
    assert len(drawing) < 250_000


def test_svg_loads_and_runs_nothing() -> None:
    """A README shows it as an image, and a browser opens it as a page."""
    drawing = svg_of([OUTAGE])

    assert "<script" not in drawing
    assert set(re.findall(r"https?://[^/\"]+", drawing)) <= {"http://www.w3.org", "http://localhost:41231"}
    assert "font-face" not in drawing
