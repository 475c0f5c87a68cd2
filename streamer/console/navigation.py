"""Navigation of the console: five sections, each with its pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

ROOT = "/console"


@dataclass(frozen=True, slots=True)
class NavigationPage:
    """Page of a section: `path` below /console, `name`, and the `word` of the glossary in the name."""

    path: str
    name: str
    word: str = ""

    @property
    def address(self) -> str:
        """Address of the page on this server."""
        return ROOT + self.path

    def covers(self, path: str) -> bool:
        """Tell whether the request's `path` is this page, or a part of this page."""
        return path.rstrip("/") == self.address or (bool(self.path) and path.startswith(f"{self.address}/"))


@dataclass(frozen=True, slots=True)
class NavigationSection:
    """Entry of the navigation, which opens the first of its `pages`."""

    name: str
    pages: Sequence[NavigationPage]

    @property
    def address(self) -> str:
        """Address of the first page."""
        return self.pages[0].address


SECTIONS = (
    NavigationSection(
        "Flow",
        (
            NavigationPage("", "Map"),
            NavigationPage("/charts", "Charts"),
            NavigationPage("/channels", "Channels"),
            NavigationPage("/subscribers", "Subscribers"),
        ),
    ),
    NavigationSection("Events", (NavigationPage("/events", "Search"), NavigationPage("/tail", "Live tail"))),
    NavigationSection(
        "Problems",
        (
            NavigationPage("/problems", "All"),
            NavigationPage("/dead-letters", "Dead letters"),
            NavigationPage("/parked", "Parked keys", "parked"),
            NavigationPage("/continuity", "Continuity", "continuity record"),
        ),
    ),
    NavigationSection(
        "Operate",
        (
            NavigationPage("/redrives", "Redrives"),
            NavigationPage("/snapshots", "Snapshots"),
            NavigationPage("/audit", "Audit"),
        ),
    ),
    NavigationSection("Settings", (NavigationPage("/configuration", "Configuration"),)),
)
"""Sections in their order. A new page needs an entry in its section, and a route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Navigation:
    """Sections, with the current `page` and its `section`; both are `None` for a page of no section."""

    sections: Sequence[NavigationSection]
    section: NavigationSection | None = None
    page: NavigationPage | None = None

    @classmethod
    def at(cls, path: str) -> Self:
        """Return the navigation of the page at the request's `path`."""
        for section in SECTIONS:
            for page in section.pages:
                if page.covers(path):
                    return cls(sections=SECTIONS, section=section, page=page)
        return cls(sections=SECTIONS)
