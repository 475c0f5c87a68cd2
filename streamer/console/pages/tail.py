"""Live tail: the newest events of the log, and those that are appended while the page is open."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import orjson
from aiohttp import web

from streamer.admin.events.resource import write_lines
from streamer.admin.events.schemas import Tailing
from streamer.admin.events.tail import TailClient
from streamer.admin.middleware import STREAM_HEADERS
from streamer.console.context import PageContext
from streamer.console.forms import filled
from streamer.console.headers import security_headers
from streamer.console.stories import event_rows
from streamer.events import JsonObject
from streamer.exact_json import exact_value
from streamer.observe.redaction import masked

MOST_ROWS = 50
"""Most rows of the page at first, and of one answer to its script."""

# A page asks again then, by which a session that has ended is noticed.
_LONGEST_S = 600.0
# Rendering is bounded to 200 rows a second, so that a page costs a busy daemon little.
_PAUSE_S = 0.25
_FILTER = ("record", "type", "channel", "where")


@dataclass(frozen=True, slots=True, kw_only=True)
class TailPages:
    """`/console/tail`, and the rows that its script reads.

    A line of the rows is a JSON object: `rows` is HTML, the newest row first, and
    the other members come from the API's tail. `dropped` counts the events that
    came faster than they are shown, too.
    """

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of these pages."""
        return [web.get("/tail", self._show), web.get("/tail/rows", self._stream)]

    async def _show(self, request: web.Request) -> web.Response:
        asked = filled(Tailing, list(request.query.items()))
        found = await self.context.resources.events.newest(asked, MOST_ROWS)
        said = asked.model_dump(mode="json", exclude_defaults=True)
        return self.context.renderer.page(
            request,
            "tail.html",
            title="Live tail",
            asked=asked,
            found=found,
            events=event_rows(found["events"]),
            paths=self.context.daemon.configured.paths,
            fields={name: said[name] for name in _FILTER if name in said},
            most=MOST_ROWS,
        )

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        asked = filled(Tailing, list(request.query.items()))
        with self.context.resources.events.following(asked) as client:
            # The headers are sent before the middleware can add its own.
            ours = security_headers(self.context.daemon.settings.console.frame_ancestors)
            response = web.StreamResponse(headers={**STREAM_HEADERS, **ours})
            await response.prepare(request)
            await write_lines(self._drawn(client), response, self.context.daemon.clock)
        return response

    async def _drawn(self, client: TailClient) -> AsyncGenerator[bytes, None]:
        clock = self.context.daemon.clock
        ends_at = clock.monotonic() + _LONGEST_S
        async with aclosing(client.lines()) as lines:
            async for some in lines:
                yield self._line(some)
                if clock.monotonic() >= ends_at:
                    return
                await clock.sleep(_PAUSE_S)

    def _line(self, lines: bytes) -> bytes:
        """Return lines of the API's tail as one line of the page's."""
        told: JsonObject = {"dropped": 0, "skipped": 0, "failed": 0}
        events: list[JsonObject] = []
        for each in map(exact_value, lines.splitlines()):
            if "event" in each:
                events.append(each["event"])
                continue
            for name, value in each.items():
                is_count = name in {"dropped", "skipped", "failed"}
                told[name] = told[name] + value if is_count else masked(value)
        shown = event_rows(events[-MOST_ROWS:][::-1])
        told["dropped"] += len(events) - len(shown)
        told["rows"] = self.context.renderer.fragment("event_rows.html", events=shown) if shown else ""
        told["count"] = len(shown)
        return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)
