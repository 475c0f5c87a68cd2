"""docs/glossary.md explains the words of the other pages, in alphabetical order."""

import re

from tests.integration.guides.pages import page

WORDS = re.findall(r"^\| ([A-Za-z/ -]+) \| ", page("docs/glossary.md"), flags=re.MULTILINE)[1:]


def test_every_concept_is_in_the_glossary() -> None:
    """Under the words of the headings."""
    concepts = re.findall(r"^## (.+)$", page("docs/concepts.md"), flags=re.MULTILINE)
    text = page("docs/glossary.md")

    assert len(concepts) == 6
    assert [each for each in concepts if f"concepts.md#{each.lower()})" not in text] == []


def test_words_are_in_alphabetical_order() -> None:
    """A reader finds a word without searching the page."""
    assert len(WORDS) > 40
    assert sorted(WORDS, key=str.lower) == WORDS
