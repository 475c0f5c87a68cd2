"""The pages link only to files that exist."""

import re
from pathlib import Path

import pytest

from tests.integration.guides.pages import PAGES, ROOT

LINK = re.compile(r"\]\(([^)#:\s]*)(#[^)\s]+)?\)")
PATH = re.compile(r"`((?:streamer|subscribers|tests|tools|docs|config|k8s)/[\w./-]*\w/?)(?:::\w+)?`")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_and_path_leads_to_a_file(path: Path) -> None:
    """Links are relative to their page, and paths in backquotes to the root of the project."""
    text = path.read_text()
    links = [path.parent / link for link, _ in LINK.findall(text) if link]
    named = [ROOT / name for name in PATH.findall(text)]

    assert [target for target in [*links, *named] if not target.exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_anchor_is_a_heading(path: Path) -> None:
    """A link into a page leads to one of its headings."""
    anchors = [
        (path.parent / link if link else path, anchor[1:])
        for link, anchor in LINK.findall(path.read_text())
        if anchor
    ]

    assert [(str(page), anchor) for page, anchor in anchors if anchor not in _headings(page)] == []


@pytest.mark.parametrize("folder", ["docs", "docs/decisions", "docs/recipes"])
def test_index_has_every_page(folder: str) -> None:
    """A page that no other leads to is found by nobody."""
    index = ROOT / folder / "README.md"
    linked = {link for link, _ in LINK.findall(index.read_text())}

    assert {each.name for each in index.parent.glob("*.md")} - linked == {index.name}


def _headings(path: Path) -> set[str]:
    found = re.findall(r"^#+ (.+)$", path.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}
