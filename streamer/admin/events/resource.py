"""Resource of the events: finds them, tells their stories, and streams new ones."""

from contextlib import aclosing
from dataclasses import dataclass

from aiohttp import web

from streamer.admin.context import AdminContext
from streamer.admin.errors import ApiError
from streamer.admin.events.schemas import Searching, Showing, Tailing
from streamer.admin.events.story import StoryTeller
from streamer.admin.events.tail import TailClient, all_of
from streamer.admin.events.where import compiled_where
from streamer.admin.json_views import logged_json, optional_time
from streamer.admin.middleware import STREAM_HEADERS, json_response
from streamer.admin.schemas import query_of
from streamer.events import EventId
from streamer.log.search.matching import matcher

_WRITTEN_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventResource:
    """`/events`."""

    context: AdminContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this resource."""
        return [
            web.get("/events", self._find),
            web.get("/events/tail", self._tail),
            web.get("/events/{id:.+}", self._show),
        ]

    async def _find(self, request: web.Request) -> web.Response:
        asked = query_of(request, Searching).meant()
        try:
            with self.context.searching():
                found = await self.context.log.history.find(asked)
        except ValueError as error:
            raise ApiError(400, f"cursor: {error}.") from error
        return json_response(
            {
                "events": [logged_json(each) for each in found.events],
                "scanned": found.scanned,
                "is_whole": found.is_whole,
                "reached": optional_time(found.reached),
                "cursor": found.cursor or None,
            }
        )

    async def _show(self, request: web.Request) -> web.Response:
        asked = query_of(request, Showing)
        with self.context.searching():
            story = await StoryTeller(context=self.context).story(EventId(request.match_info["id"]), asked)
        return json_response(story)

    async def _tail(self, request: web.Request) -> web.StreamResponse:
        asked = query_of(request, Tailing)
        tests = [matcher(asked.meant())]
        if asked.where is not None:
            tests.append(compiled_where(asked.where, self.context.daemon.plan.settings))
        with self.context.tail.client(all_of(tests)) as client:
            response = web.StreamResponse(headers=STREAM_HEADERS)
            await response.prepare(request)
            await self._stream(client, response)
        return response

    async def _stream(self, client: TailClient, response: web.StreamResponse) -> None:
        """Write lines until the log is closed, or the client is gone or has read nothing for a minute."""
        try:
            async with aclosing(client.lines()) as lines:
                async for some in lines:
                    async with self.context.clock.timeout(_WRITTEN_WITHIN_S):
                        await response.write(some)
            await response.write_eof()
        except (ConnectionError, TimeoutError):
            # The answer has begun: nothing else can be said to this client.
            response.force_close()
