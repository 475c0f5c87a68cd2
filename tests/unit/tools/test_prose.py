"""Prose is easy to understand, as far as a search can find forms that make it hard."""

from pathlib import Path

import pytest

from tools import prose


def test_no_sentence_needs_a_second_reading() -> None:
    """Docstrings, comments, messages and documentation avoid the forms that `tools.prose` lists."""
    found = list(prose.findings(prose.sources()))

    assert found == [], "\n".join(found)


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ('"""Return the one\nof which we know."""\n', 1, "Return the one of which we know."),
        ('x = f"the time is none: {y} was found"\n', 1, "the time is none:"),
        ("x = 1\n# This tells of\n# a change.\n", 2, "This tells of a change."),
    ],
)
def test_code_is_searched_in_all_its_texts(tmp_path: Path, text: str, line: int, sentence: str) -> None:
    """Docstrings, parts of messages and comments over several lines are sentences."""
    file = tmp_path / "module.py"
    file.write_text(text)

    assert (line, sentence) in list(prose.sentences(file))


def test_documentation_is_searched_outside_of_code(tmp_path: Path) -> None:
    """Paragraphs, items and cells count; blocks of code and headings do not."""
    page = tmp_path / "page.md"
    page.write_text(
        "# What it does of itself\n\nIt begins\nanew each day.\n\n```\nthis is none of it\n```\n\n"
        "| a cell with four words | b |\n- an item goes on with it\n"
    )

    assert [sentence for _, sentence in prose.sentences(page)] == [
        "It begins anew each day.",
        "a cell with four words",
        "an item goes on with it",
    ]
