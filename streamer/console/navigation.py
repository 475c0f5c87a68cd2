"""Navigation of the console: five doors, with pages behind each door."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

ROOT = "/console"


@dataclass(frozen=True, slots=True)
class NavigationPage:
    """Page behind a door: `path` below /console, `name`, and the `word` of the glossary in the name."""

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
class Door:
    """Entry of the navigation, which opens the first of its `pages`."""

    name: str
    pages: Sequence[NavigationPage]

    @property
    def address(self) -> str:
        """Address of the first page."""
        return self.pages[0].address


DOORS = (
    Door(
        "Flow",
        (
            NavigationPage("", "Map"),
            NavigationPage("/charts", "Charts"),
            NavigationPage("/channels", "Channels"),
            NavigationPage("/subscribers", "Subscribers"),
        ),
    ),
    Door("Events", (NavigationPage("/events", "Search"), NavigationPage("/tail", "Live tail"))),
    Door(
        "Problems",
        (
            NavigationPage("/problems", "All"),
            NavigationPage("/dead-letters", "Dead letters"),
            NavigationPage("/parked", "Parked keys", "parked"),
            NavigationPage("/continuity", "Continuity", "continuity record"),
        ),
    ),
    Door(
        "Operate",
        (
            NavigationPage("/redrives", "Redrives"),
            NavigationPage("/snapshots", "Snapshots"),
            NavigationPage("/audit", "Audit"),
        ),
    ),
    Door("Settings", (NavigationPage("/configuration", "Configuration"),)),
)
"""Doors in order. A new page needs an entry behind its door and a route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Navigation:
    """Doors, with the current `page` and its `door`; both are `None` for a page that is behind no door."""

    doors: Sequence[Door]
    door: Door | None = None
    page: NavigationPage | None = None

    @classmethod
    def at(cls, path: str) -> Self:
        """Return the navigation of the page at the request's `path`."""
        for door in DOORS:
            for page in door.pages:
                if page.covers(path):
                    return cls(doors=DOORS, door=door, page=page)
        return cls(doors=DOORS)
