"""Pages of events: a search in the log, and the story of one event."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from streamer.admin.errors import ApiError
from streamer.admin.events.accounts import AccountState
from streamer.admin.events.schemas import Searching, Showing
from streamer.admin.schemas import MOST_LETTERS, Parked
from streamer.console.access import redirect
from streamer.console.context import PageContext
from streamer.console.forms import filled, unset
from streamer.console.rendering import pretty
from streamer.console.stories import event_rows, story_address
from streamer.events import JsonObject, Partition

_FILTER = ("record", "type", "channel", "since", "until", "order", "limit", "scan", "every_partition")
_LEVELS = {
    AccountState.DELIVERED: "good",
    AccountState.DEAD_LETTER: "bad",
    AccountState.PARKED: "waits",
    AccountState.WAITING: "waits",
}
_MOST_SHOWN = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPages:
    """`/console/events`, and the link from a parked key to the story of its first event."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of these pages."""
        return [
            web.get("/events", self._list),
            web.get("/events/{id:.+}", self._show),
            web.get("/parked/story", self._show_parked),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        asked = filled(Searching, list(request.query.items()))
        found = await self.context.resources.events.events(asked)
        said = asked.model_dump(mode="json", exclude_defaults=True)
        return self.context.renderer.page(
            request,
            "events.html",
            title="Events",
            asked=asked,
            found=found,
            events=event_rows(found["events"]),
            paths=self.context.daemon.configured.paths,
            fields=unset({name: said.get(name) for name in _FILTER}),
        )

    async def _show(self, request: web.Request) -> web.Response:
        id_ = request.match_info["id"]
        story = await self.context.resources.events.story(id_, filled(Showing, list(request.query.items())))
        event = pretty(story["event"]) if story["event"] else ""
        return self.context.renderer.page(
            request,
            "event.html",
            title="Event",
            id=id_,
            story=story,
            subscribers=_in_order(story["subscribers"]),
            levels=_LEVELS,
            event_text=event[:_MOST_SHOWN],
            is_cut=len(event) > _MOST_SHOWN,
        )

    async def _show_parked(self, request: web.Request) -> web.Response:
        """Redirect to the story of a parked key's first event, if the key is still parked there."""
        query = list(request.query.items())
        found = await self.context.resources.subscribers.parked(filled(Parked, query, first=MOST_LETTERS))
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
            raise ApiError(404, "The key is not parked behind this event any more: reload the parked keys.")
        return redirect(story_address(event))


def _in_order(accounts: Sequence[JsonObject]) -> list[JsonObject]:
    """Return the subscribers' accounts in the order of `after`, upstream first."""
    placed: dict[str, Any] = {}
    waiting = list(accounts)
    while waiting:
        ready = [each for each in waiting if placed.keys() >= set(each["after"])] or waiting
        placed |= {each["name"]: each for each in ready}
        waiting = [each for each in waiting if each["name"] not in placed]
    return list(placed.values())
