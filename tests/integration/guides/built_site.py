"""Pages of the built documentation site: their links, their anchors and the parts of their articles."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

# Elements that load what they name; a browser follows other links only on a click.
_LOADING = frozenset({"script", "img", "link", "iframe", "source"})
# A part of an article is named by its element, with a `>` before it for each list around it.
PARTS = frozenset({"h1", "h2", "h3", "h4", "ol", "ul", "li", "table", "tr", "pre", "img", "blockquote"})
LISTS = frozenset({"ol", "ul"})


@dataclass(slots=True, kw_only=True)
class BuiltPage:
    """One page as a browser reads it."""

    path: str
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    """Parts of the article, without the navigation around it."""

    @classmethod
    def read(cls, path: Path, *, root: Path) -> Self:
        """Read a page of the site in the folder `root`."""
        page = cls(path=path.relative_to(root).as_posix())
        _Reader(page).feed(path.read_text("utf-8"))
        return page


class _Reader(HTMLParser):
    """Fills a page while it reads the page's HTML."""

    def __init__(self, page: BuiltPage) -> None:
        super().__init__()
        self._page = page
        self._in_article = False
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._page.ids.update(given[name] for name in ("id", "name") if name in given)
        target = given.get("href") or given.get("src")
        if target is not None:
            (self._page.loaded if tag in _LOADING else self._page.links).append(target)
        self._in_article = self._in_article or tag == "article"
        if self._in_article and tag in PARTS:
            self._page.parts.append(">" * self._depth + tag)
            self._depth += tag in LISTS

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self._in_article = False
        if self._in_article and tag in LISTS:
            self._depth -= 1


def pages_of(root: Path) -> dict[str, BuiltPage]:
    """Return the pages in `root` by their paths, without the texts of sources and the error page."""
    found = (
        path for path in root.rglob("*.html") if path.relative_to(root).parts[0] not in {"source", "404.html"}
    )
    return {page.path: page for page in (BuiltPage.read(path, root=root) for path in sorted(found))}


def broken_links(root: Path, pages: Mapping[str, BuiltPage]) -> list[str]:
    """Return `page: link` for each link to a file or an anchor that the site in `root` does not have."""
    return [
        f"{page.path}: {link}"
        for page in pages.values()
        for link in (*page.links, *page.loaded)
        if not is_remote(link) and not _leads(page.path, link, pages, root)
    ]


def is_remote(link: str) -> bool:
    """Return true for a link that leaves the site."""
    return bool(urlsplit(link).scheme or urlsplit(link).netloc)


def _leads(here: str, link: str, pages: Mapping[str, BuiltPage], root: Path) -> bool:
    parts = urlsplit(link)
    joined = posixpath.join(posixpath.dirname(here), unquote(parts.path)) if parts.path else here
    path = posixpath.normpath(joined)
    if not (root / path).is_file():
        return False
    # Scripts of the theme make its own anchors, such as those of the search.
    anchor = unquote(parts.fragment)
    return not anchor or anchor.startswith("__") or path not in pages or anchor in pages[path].ids
