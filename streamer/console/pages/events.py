"""Pages of events: search in the log, story of one event, and live tail."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from streamer.admin.events.accounts import AccountState
from streamer.admin.events.outcomes import OUTCOMES
from streamer.admin.events.resource import write_lines
from streamer.admin.events.schemas import Searching, Showing, Tailing
from streamer.admin.events.tail import TailClient
from streamer.admin.middleware import STREAM_HEADERS
from streamer.admin.schemas import MOST_LETTERS, ApiError, Parked
from streamer.console.access import redirect, security_headers
from streamer.console.context import PageContext
from streamer.console.forms import filled, unset
from streamer.console.histogram import Histogram
from streamer.console.outcome_chips import LEVELS, chips_of
from streamer.console.rendering import pretty
from streamer.console.stories import event_rows, story_address
from streamer.console.timeline_rows import timeline_rows
from streamer.events import EventOutcome, JsonObject, Partition
from streamer.exact_json import exact_value
from streamer.observe.redaction import masked

_SEARCH_FILTER = (
    "record",
    "outcome",
    "type",
    "channel",
    "since",
    "until",
    "order",
    "limit",
    "scan",
    "every_partition",
)
# On a phone, these fields would hide the events.
_FOLDED = frozenset(_SEARCH_FILTER) - {"record"}
_NEEDS_ATTENTION = (AccountState.DEAD_LETTER, AccountState.PARKED, AccountState.WAITING)
_MOST_SHOWN = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPages:
    """`/console/events`, and the link from a parked key to its first event's story."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of these pages."""
        return [
            web.get("/events", self._list),
            web.get("/events/{id:.+}", self._show),
            web.get("/parked/story", self._show_parked),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        asked = filled(Searching, list(request.query.items()), outcomes=True)
        found = await self.context.resources.events.events(asked)
        said = asked.model_dump(mode="json", exclude_defaults=True)
        fields = unset({name: said.get(name) for name in _SEARCH_FILTER})
        return self.context.renderer.page(
            request,
            "events.html",
            title="Events",
            asked=asked,
            found=found,
            events=event_rows(found["events"]),
            histogram=Histogram.of(found["events"]),
            paths=self.context.daemon.configured.paths,
            outcomes=list(EventOutcome),
            fields=fields,
            is_unfolded=bool(fields.keys() & _FOLDED),
        )

    async def _show(self, request: web.Request) -> web.Response:
        id_ = request.match_info["id"]
        story = await self.context.resources.events.story(id_, filled(Showing, list(request.query.items())))
        event = pretty(story["event"]) if story["event"] else ""
        outcomes = {each["name"]: OUTCOMES[each["state"]] for each in story["subscribers"]}
        return self.context.renderer.page(
            request,
            "event.html",
            title="Event",
            id=id_,
            story=story,
            timeline=timeline_rows(story["timeline"]),
            subscribers=_by_need(_accounts_in_order(story["subscribers"])),
            chips=chips_of(outcomes),
            outcomes=outcomes,
            levels=LEVELS,
            event_text=event[:_MOST_SHOWN],
            is_cut=len(event) > _MOST_SHOWN,
        )

    async def _show_parked(self, request: web.Request) -> web.Response:
        """Redirect to the story of a parked key's first event, if that event is still the first."""
        query = list(request.query.items())
        asked = filled(Parked, query, first=MOST_LETTERS)
        found = await self.context.resources.parked.parked(asked)
        wanted = [request.query.get(name) for name in ("topic", "partition", "offset")]
        places = ((each["topic"], each["partition"], each["offset"]) for each in found["parked"])
        place = next((each for each in places if list(map(str, each)) == wanted), None)
        event = None
        if place is not None:
            topic, number, offset = place
            event = await self.context.resources.events.event_at(
                Partition(topic=topic, number=number), offset
            )
        if event is None:
            raise ApiError(
                404, "The key is no longer parked behind this event: reload the page with the parked keys."
            )
        return redirect(story_address(event))


def _by_need(accounts: Sequence[JsonObject]) -> list[JsonObject]:
    """Return accounts that need attention first; the others stay in their order."""
    rank = {state: number for number, state in enumerate(_NEEDS_ATTENTION)}
    return sorted(accounts, key=lambda each: rank.get(each["state"], len(rank)))


def _accounts_in_order(accounts: Sequence[JsonObject]) -> list[JsonObject]:
    """Return the subscribers' accounts; each account comes after the accounts of upstream subscribers."""
    placed: dict[str, Any] = {}
    waiting = list(accounts)
    while waiting:
        ready = [each for each in waiting if placed.keys() >= set(each["after"])] or waiting
        placed |= {each["name"]: each for each in ready}
        waiting = [each for each in waiting if each["name"] not in placed]
    return list(placed.values())


MOST_ROWS = 50
"""Largest number of rows on the tail's first page, and in one answer to the page's script."""
# The page then sends a new request, which detects an ended session.
_LONGEST_S = 600.0
# This pause limits rendering to 200 rows per second, so that a page costs a busy daemon little.
_PAUSE_S = 0.25
_TAIL_FILTER = ("record", "type", "channel", "where")


@dataclass(frozen=True, slots=True, kw_only=True)
class TailPages:
    """`/console/tail`, and the rows for its script.

    Rows come as lines of JSON objects. `rows` is HTML with the newest row first;
    all other members come from the API's tail. `dropped` also counts events that
    arrive faster than the page shows them.
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
            fields={name: said[name] for name in _TAIL_FILTER if name in said},
            most=MOST_ROWS,
        )

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        asked = filled(Tailing, list(request.query.items()))
        with self.context.resources.events.following(asked) as client:
            # Streaming sends the headers before the middleware can add its own.
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
        """Combine lines of the API's tail into one line for the page."""
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
