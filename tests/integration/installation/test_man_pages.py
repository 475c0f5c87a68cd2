"""The manual pages, as `man` shows them."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.waiting import LIMIT_S
from tools.command_reference import commands
from tools.packaging.man_pages import FOLDER, pages

PAGES = sorted(FOLDER.glob("*.1"))


def shown(path: Path) -> str:
    """Return a page as text; the formatter must find nothing wrong in it."""
    ran = subprocess.run(
        ["man", "--warnings=w", "-l", path],
        env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8", "MANROFFOPT": "-c"},
        check=True,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert ran.stderr == ""
    # Bold and underlined letters are struck twice on this printer.
    return re.sub(".\b", "", ran.stdout)


def test_pages_are_up_to_date() -> None:
    """`make reference` writes them again."""
    assert {each.name: each.read_text(encoding="utf-8") for each in PAGES} == pages()


@pytest.mark.parametrize("path", PAGES, ids=lambda each: each.stem)
def test_formatter_finds_no_mistake(path: Path) -> None:
    """Each page has a name, a line with its purpose, and the way to call the command."""
    text = shown(path)

    assert re.search(rf"^NAME\n +{path.stem} - \w.+$", text, flags=re.MULTILINE)
    assert "SYNOPSIS\n" in text


def test_every_command_has_its_options() -> None:
    """On the page of the command or of its group."""
    for command in commands():
        text = shown(FOLDER / f"streamer-{command.name.partition(' ')[0]}.1")
        assert f"streamer {command.name} [OPTION]..." in text
        for each in command.parameters:
            assert re.search(rf"^ +{re.escape(each.name)}(?=\s|$)", text, flags=re.MULTILINE), each.name


def test_no_markup_is_left() -> None:
    """Neither of Markdown, nor of the formatter."""
    for path in PAGES:
        assert not re.search(r"`|\\f|\[default", shown(path))
