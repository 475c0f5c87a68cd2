"""Renders pages from templates. Escapes every value, and masks texts that look like secrets."""

import importlib.resources
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import jinja2
import orjson
from aiohttp import web
from markupsafe import Markup, escape

from streamer.clock import Clock
from streamer.console.access import visitor_of
from streamer.console.navigation import Navigation
from streamer.console.outcome_chips import words_of
from streamer.console.samples import NOTHING
from streamer.console.search_terms import UNDERSTOOD, TermKind
from streamer.console.stories import story_address
from streamer.exact_json import exact_default
from streamer.flow.glossary import EXPLANATIONS
from streamer.flow.labels import OrgLabel, ProcessLabel, record_address
from streamer.observe.durations import duration
from streamer.observe.exchanges import exchange_lines
from streamer.observe.redaction import masked

_PACKAGE = importlib.resources.files("streamer.console")
_PIECES = re.compile(r"[^./\s]{0,20}[./]|[^./\s]{1,20}|\s+")
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


# The texts of notices come from here, because anybody can write a text into an address.
_DONE = {
    "paused": "Paused. Streamer delivers nothing to the subscriber until you resume the subscriber.",
    "resumed": "Resumed. The subscriber delivers again.",
    "probed": "Streamer tries the target now.",
    "ordered": "The redrive is ordered. Its progress is below.",
    "nothing": "No dead letter of this filter can be redriven, so no redrive was ordered.",
    "discarded": "The dead letters are removed for good.",
    "cancelled": "Cancelled.",
    "hole-acknowledged": "The hole is acknowledged: it is no longer a problem, and stays in this list.",
    "snapshot-ordered": "The snapshot is ordered. The process that reads its channel carries it out.",
    "snapshot-pause": "The snapshot pauses until you resume it, even across restarts.",
    "snapshot-resume": "The snapshot continues at the row where it stopped.",
    "snapshot-cancel": "The snapshot is cancelled. Published records stay.",
    "position-ordered": "The position is ordered. The process that reads the channel sets it soon.",
    "position-set": "The position is set. The continuity record describes the effect.",
    "position-cancelled": "The order is cancelled. The channel keeps its position.",
    "signed-out": "You have signed out.",
}


@dataclass(slots=True, kw_only=True)
class Renderer:
    """Renders the templates of the package.

    `org` returns the label of the org that the daemon reads, `org_url` its address, and
    `process` the label of the process that the pages show.
    """

    clock: Clock
    org: Callable[[], OrgLabel]
    org_url: Callable[[], str] = str
    process: Callable[[], ProcessLabel] = ProcessLabel
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
        environment.filters.update({"moment": moment, "compact": compact, "px": pixels})
        environment.filters.update({"breakable": breakable, "exchange_lines": exchange_lines})
        environment.filters["outcome_words"] = words_of
        environment.filters.update({"sentence": sentence, "story": story_address})
        environment.filters["in_salesforce"] = lambda key: record_address(self.org_url(), key)
        environment.globals["glossary"] = EXPLANATIONS
        self._environment = environment

    def page(
        self, request: web.Request, template: str, *, status: int = HTTPStatus.OK, **values: object
    ) -> web.Response:
        """Return the page of `template` with `values`, which must include a `title`."""
        text = self._environment.get_template(template).render(
            visitor=visitor_of(request),
            navigation=Navigation.at(request.path),
            org=self.org(),
            process=self.process(),
            path=request.path,
            query=tuple(request.query.items()),
            done=_DONE.get(request.query.get("done", "")) or _understood(request.query.get("understood", "")),
            now=self.clock.now(),
            **values,
        )
        return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")

    def fragment(self, template: str, **values: object) -> str:
        """Render a template as a part of a page, for a script."""
        return self._environment.get_template(template).render(**values)

    def _ago(self, at: object) -> str:
        """Return the time since a moment, such as `5 min ago`."""
        seconds = None if at is None else self.clock.now() - _epoch(at)
        return NOTHING if seconds is None else f"{duration(max(0.0, seconds))} ago"

    def _ahead(self, at: object) -> str:
        """Return the time until a moment, such as `in 5 min`."""
        if at is None:
            return NOTHING
        seconds = _epoch(at) - self.clock.now()
        return f"in {duration(seconds)}" if seconds > 0 else "now"


def _understood(kind: str) -> str | None:
    """Return the sentence about a search term of this kind; an address holds the kind, and never a text."""
    return UNDERSTOOD[TermKind(kind)] if kind in UNDERSTOOD else None


def static_files() -> Mapping[str, tuple[bytes, str]]:
    """Return the content and the media type of each static file, by file name."""
    return {
        each.name: (each.read_bytes(), _TYPES[each.name[each.name.rindex(".") :]])
        for each in (_PACKAGE / "static").iterdir()
        if each.name.endswith(tuple(_TYPES))
    }


def moment(at: object) -> Markup | str:
    """Return an HTML time element in UTC for RFC 3339 or epoch seconds, or a dash for `None`."""
    if at is None:
        return NOTHING
    found = datetime.fromtimestamp(_epoch(at), UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        found.isoformat(timespec="seconds"), f"{found:%Y-%m-%d %H:%M:%S} UTC"
    )


def number(value: float) -> str:
    """Return a count with groups of three digits."""
    return f"{value:,.0f}"


def pixels(value: float) -> str:
    """Return a size for a drawing, as short as possible."""
    return f"{round(value, 1):g}"


def _written(value: Any) -> Any:
    return exact_default(value) if isinstance(value, Decimal) else str(value)


def pretty(value: Any) -> str:
    """Return a value as JSON on several lines."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    return orjson.dumps(value, default=_written, option=options).decode()


def compact(value: Any) -> str:
    """Return a value as JSON on one line."""
    return orjson.dumps(value, default=_written).decode()


def breakable(text: str) -> Markup:
    """Return a type, an id or a path as HTML that breaks after dots and slashes, with masked secrets.

    A longer run of other characters breaks too, so that no word is wider than a phone.
    """
    return Markup("<wbr>").join(_PIECES.findall(str(_masked(text))))


def sentence(text: str, *, breaks: bool = False) -> Markup:
    """Return a sentence as HTML, with commands in backticks as code, and masked secrets.

    If it `breaks`, long words outside of commands break as in `breakable`.
    """
    plain = breakable if breaks else escape
    parts = str(_masked(text)).split("`")
    if len(parts) % 2 == 0:
        return plain("`".join(parts))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else plain(part)
        for number, part in enumerate(parts)
    )


def _epoch(at: object) -> float:
    return datetime.fromisoformat(at).timestamp() if isinstance(at, str) else float(str(at))


def _template(name: str) -> str | None:
    # A template's name comes from the code, and never from a request.
    return (_PACKAGE / "templates" / name).read_text("utf-8")


def _masked(value: object) -> object:
    """Return a template's value, with texts masked that look like secrets."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return masked(value, limit=len(value) + 1)
    return value
