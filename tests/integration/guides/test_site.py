"""The documentation as a site: links work, nothing comes from the network, and no list is broken."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.integration.guides.built_site import LISTS, PARTS, BuiltPage, broken_links, is_remote, pages_of
from tests.integration.guides.pages import ROOT
from tests.waiting import LIMIT_S

GUIDES = sorted((ROOT / "docs").rglob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site once for this file, as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(
        command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> Mapping[str, BuiltPage]:
    """Read the pages once."""
    return pages_of(site)


def test_every_link_and_anchor_is_in_the_site(site: Path, pages: Mapping[str, BuiltPage]) -> None:
    """The links between pages, to sources, to pictures, and those of the navigation."""
    assert len(pages) > 50
    assert broken_links(site, pages) == []


def test_site_loads_nothing_from_the_network(site: Path, pages: Mapping[str, BuiltPage]) -> None:
    """The site has its own fonts, scripts and search, so it works offline and reports no reader."""
    loaded = [link for page in pages.values() for link in page.loaded]
    styles = "".join(path.read_text("utf-8") for path in site.rglob("*.css"))

    assert len(loaded) > 50
    assert [link for link in loaded if is_remote(link)] == []
    assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\"']+", styles) == []


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_page_has_the_parts_that_github_shows(path: Path, pages: Mapping[str, BuiltPage]) -> None:
    """A list that is indented by three spaces is whole on GitHub, and torn by mkdocs."""
    relative = path.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
    built = pages[relative.replace("README.html", "index.html")]

    assert built.parts == parts_on_github(path.read_text("utf-8"))


def test_missing_file_and_anchor_are_found(tmp_path: Path) -> None:
    """The check of links sees both mistakes, and takes what is right."""
    (tmp_path / "a.html").write_text(
        '<h1 id="top"></h1><a href="b.html#no">x</a> <a href="#top">y</a> <a href="c.html">z</a>'
    )
    (tmp_path / "b.html").write_text(
        '<h2 id="yes"></h2><a href="a.html#top">x</a> <a href="https://acme.com/#q">y</a>'
    )

    assert broken_links(tmp_path, pages_of(tmp_path)) == ["a.html: b.html#no", "a.html: c.html"]


def parts_on_github(text: str) -> list[str]:
    """Return the parts of a text in GitHub's Markdown, in order."""
    parts: list[str] = []
    depth = 0
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        named = (
            ["pre" if token.type == "fence" else token.tag]
            if token.nesting == 1 or token.type == "fence"
            else []
        )
        named += [child.tag for child in token.children or () if child.type == "image"]
        named += re.findall(r"<(\w+)", token.content) if token.type == "html_block" else []
        parts += [">" * depth + tag for tag in named if tag in PARTS]
        depth += token.nesting if token.tag in LISTS else 0
    return parts
