"""docs/glossary.md explains the words of the other pages, in alphabetical order."""

import re

from streamer.flow.glossary import EXPLANATIONS
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


def test_console_explains_its_words_as_the_glossary_does() -> None:
    """One sentence for a word, wherever a reader meets it."""
    text = page("docs/glossary.md")

    assert [word for word, said in EXPLANATIONS.items() if f"| {word} | {said}" not in text] == []
