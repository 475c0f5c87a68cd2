"""Pages from templates: every value is escaped, and what has the form of a secret is masked."""

import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import jinja2
import orjson
from aiohttp import web
from markupsafe import Markup

from streamer.clock import Clock
from streamer.console.access import visitor_of
from streamer.console.samples import NOTHING
from streamer.console.stories import story_address
from streamer.exact_json import exact_default
from streamer.observe.durations import duration
from streamer.observe.redaction import masked

_PACKAGE = importlib.resources.files("streamer.console")
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class NavigationEntry:
    """Page in the navigation: its `path` below /console, and its `name`."""

    path: str
    name: str


NAVIGATION = (
    NavigationEntry("", "Overview"),
    NavigationEntry("/channels", "Channels"),
    NavigationEntry("/subscribers", "Subscribers"),
    NavigationEntry("/events", "Events"),
    NavigationEntry("/tail", "Live tail"),
    NavigationEntry("/dead-letters", "Dead letters"),
    NavigationEntry("/redrives", "Redrives"),
    NavigationEntry("/parked", "Parked keys"),
    NavigationEntry("/continuity", "Continuity"),
    NavigationEntry("/snapshots", "Snapshots"),
    NavigationEntry("/configuration", "Configuration"),
    NavigationEntry("/audit", "Audit"),
)
"""Entries of the navigation, in its order; a new page is added here and among the routes."""

# The words of a notice come from here and not from the address, which anybody can write.
_DONE = {
    "paused": "Paused. Nothing is delivered until the subscriber is resumed.",
    "resumed": "Resumed. The subscriber delivers again.",
    "probed": "The target is tried now.",
    "ordered": "The redrive is ordered. Its progress is below.",
    "nothing": "No letter of this filter can be redriven, so nothing is ordered.",
    "discarded": "The letters are discarded for good.",
    "cancelled": "Cancelled.",
    "snapshot-ordered": "The snapshot is ordered. The process that reads its channel carries it out.",
    "snapshot-pause": "The snapshot pauses, across restarts, until it is resumed.",
    "snapshot-resume": "The snapshot continues where it was.",
    "snapshot-cancel": "The snapshot is cancelled. Published records stay.",
    "position-ordered": "The position is ordered. The process that reads the channel sets it soon.",
    "position-set": "The position is set. Its continuity record says what came of it.",
    "position-cancelled": "The order is cancelled. The channel keeps its position.",
    "signed-out": "You have signed out.",
}


@dataclass(slots=True, kw_only=True)
class Renderer:
    """Renders the templates of the package."""

    clock: Clock
    _environment: jinja2.Environment = field(init=False)

    def __post_init__(self) -> None:
        environment = jinja2.Environment(
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            loader=jinja2.FunctionLoader(_template),
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_masked,
        )
        environment.filters.update(
            {"ago": self._ago, "ahead": self._ahead, "duration": duration, "number": number, "pretty": pretty}
        )
        environment.filters.update({"moment": moment, "compact": compact})
        environment.filters.update({"sentence": sentence, "story": story_address})
        self._environment = environment

    def page(
        self, request: web.Request, template: str, *, status: int = HTTPStatus.OK, **values: object
    ) -> web.Response:
        """Return the page of a template with `values`, which must have a `title`."""
        text = self._environment.get_template(template).render(
            visitor=visitor_of(request),
            navigation=NAVIGATION,
            path=request.path,
            query=tuple(request.query.items()),
            done=_DONE.get(request.query.get("done", "")),
            now=self.clock.now(),
            **values,
        )
        return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")

    def fragment(self, template: str, **values: object) -> str:
        """Return a template as a part of a page that a script draws."""
        return self._environment.get_template(template).render(**values)

    def _ago(self, at: object) -> str:
        """Return how long ago a moment was."""
        seconds = None if at is None else self.clock.now() - _epoch(at)
        return NOTHING if seconds is None else f"{duration(max(0.0, seconds))} ago"

    def _ahead(self, at: object) -> str:
        """Return in how long a moment will be."""
        if at is None:
            return NOTHING
        seconds = _epoch(at) - self.clock.now()
        return f"in {duration(seconds)}" if seconds > 0 else "now"


def static_files() -> Mapping[str, tuple[bytes, str]]:
    """Return the content and the type of each file that pages load, by its name."""
    return {
        each.name: (each.read_bytes(), _TYPES[each.name[each.name.rindex(".") :]])
        for each in (_PACKAGE / "static").iterdir()
        if each.name.endswith(tuple(_TYPES))
    }


def moment(at: object) -> Markup | str:
    """Return a time element for RFC 3339 or epoch seconds, in UTC; a dash for none."""
    if at is None:
        return NOTHING
    found = datetime.fromtimestamp(_epoch(at), UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        found.isoformat(timespec="seconds"), f"{found:%Y-%m-%d %H:%M:%S}"
    )


def number(value: float) -> str:
    """Return a count with its digits in groups of three."""
    return f"{value:,.0f}"


def _written(value: Any) -> Any:
    return exact_default(value) if isinstance(value, Decimal) else str(value)


def pretty(value: Any) -> str:
    """Return a value as JSON on several lines."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    return orjson.dumps(value, default=_written, option=options).decode()


def compact(value: Any) -> str:
    """Return a value as JSON on one line."""
    return orjson.dumps(value, default=_written).decode()


def sentence(text: str) -> Markup:
    """Return a sentence whose commands between backticks are marked as code; secrets are masked."""
    parts = str(_masked(text)).split("`")
    if len(parts) % 2 == 0:
        return Markup("{}").format("`".join(parts))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else part for number, part in enumerate(parts)
    )


def _epoch(at: object) -> float:
    return datetime.fromisoformat(at).timestamp() if isinstance(at, str) else float(str(at))


def _template(name: str) -> str | None:
    # A template's name is ours, and never part of a request.
    return (_PACKAGE / "templates" / name).read_text("utf-8")


def _masked(value: object) -> object:
    """Return a value of a template without what has the form of a secret."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return masked(value, limit=len(value) + 1)
    return value
