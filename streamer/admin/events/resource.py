"""Resource of the events: finds events, tells an event's story, and streams new events."""

from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass, replace

from aiohttp import web

from streamer.admin.context import AdminContext
from streamer.admin.events.outcomes import OutcomeReader, Outcomes
from streamer.admin.events.schemas import Searching, Showing, Tailing
from streamer.admin.events.story import StoryReader
from streamer.admin.events.tail import DEADLINE_S, TailClient, Where, compiled_where, followed_json
from streamer.admin.json_views import logged_json, optional_time
from streamer.admin.middleware import STREAM_HEADERS, json_response
from streamer.admin.schemas import ApiError, query_of
from streamer.clock import Clock
from streamer.errors import BrokenRoute
from streamer.events import EventId, EventOutcome, JsonObject, Partition
from streamer.log.search_chunks import matcher
from streamer.ports import EventSearch, FoundEvents

_WRITTEN_WITHIN_S = 60.0
_NEWEST_SCANNED = 10_000
# Most events whose outcomes a search for one outcome reads.
_EXAMINED = 1_000
# Each round opens a reader of the receipts.
_MOST_ROUNDS = 20
# Number of newest events on which an expression is evaluated.
_AMONG = 500


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

    async def events(self, asked: Searching) -> JsonObject:
        """Return the events that a search finds, and where the search stopped.

        Raises `LogUnavailable`, and `ApiError` 400 for a cursor of another search.
        """
        if asked.outcomes or asked.outcome is not None:
            return await self._with_outcomes(asked)
        found = await self._found(asked.meant())
        return {
            "events": [logged_json(each) for each in found.events],
            **_reach(found),
            "cursor": found.cursor or None,
        }

    async def story(self, event_id: str, asked: Showing) -> JsonObject:
        """Return one event's story. Raises `LogUnavailable`, and `ApiError` 404 for an unknown event."""
        with self.context.searching():
            return await StoryReader(context=self.context).story(EventId(event_id), asked)

    async def event_at(self, place: Partition, offset: int) -> JsonObject | None:
        """Return the event at `offset` as a search result, or `None` if the log no longer has the event.

        Raises `LogUnavailable`.
        """
        logged = await self.context.log.history.at(place, offset)
        return None if logged is None else logged_json(logged)

    async def newest(self, asked: Tailing, most: int) -> JsonObject:
        """Return up to `most` of the newest events that a tail would show, and where the search stopped.

        `where` is evaluated on a limited number of events that match the other fields;
        `failed` counts the events on which `where` fails. Raises `LogUnavailable`.
        Raises `ApiError` 400 if `where` has a mistake or takes too long.
        """
        where = self._where(asked)
        limit = most if where is None else _AMONG
        found = await self._found(replace(asked.meant(), limit=limit, scan=_NEWEST_SCANNED))
        events = [each.event for each in found.events]
        with self.context.searching():
            answers = [True] * len(events) if where is None else await where.ask(events, enough=most)
        if len(answers) < len(events) and answers.count(True) < most:
            raise ApiError(
                400,
                f"where: takes longer than {DEADLINE_S:g} s: only {len(answers)} of the {len(events)} "
                "newest events were tested. Narrow the search by type, record or channel.",
            )
        shown = [
            followed_json(each) for each, answer in zip(found.events, answers, strict=False) if answer is True
        ]
        failed = sum(isinstance(answer, BrokenRoute) for answer in answers)
        return {"events": shown, **_reach(found), "failed": failed}

    def following(self, asked: Tailing) -> AbstractContextManager[TailClient]:
        """Return a context with a client that gets the tail's new events.

        Raises `LogUnavailable`, and `ApiError` 400 for a mistake in `where`. Entering
        the context raises `ApiError` 409 if there are too many clients.
        """
        return self.context.tail.client(matcher(asked.meant()), self._where(asked))

    async def _with_outcomes(self, asked: Searching) -> JsonObject:
        """Return events with their outcomes. A search for one outcome examines a limited number of events."""
        reader, wanted = OutcomeReader(context=self.context), asked.outcome
        search, events, examined, scanned = asked.meant(), list[JsonObject](), 0, 0
        for _ in range(_MOST_ROUNDS):
            found = await self._found(replace(search, limit=asked.limit - len(events)))
            with self.context.searching():
                outcomes = await reader.outcomes(found.events)
            events += [
                {**logged_json(each), "outcomes": each_outcomes}
                for each, each_outcomes in zip(found.events, outcomes, strict=True)
                if wanted is None or wanted in _summary(each_outcomes)
            ]
            examined += len(found.events)
            scanned += found.scanned
            search = replace(search, cursor=found.cursor)
            is_over = found.is_whole or not found.cursor or wanted is None
            if is_over or len(events) >= asked.limit or examined >= _EXAMINED or scanned >= asked.scan:
                break
        reach = {**_reach(found), "scanned": scanned}
        return {"events": events, **reach, "examined": examined, "cursor": found.cursor or None}

    def _where(self, asked: Tailing) -> Where | None:
        if asked.where is None:
            return None
        return Where(compiled_where(asked.where, self.context.daemon.plan.settings), self.context.clock)

    async def _found(self, asked: EventSearch) -> FoundEvents:
        try:
            with self.context.searching():
                return await self.context.log.history.find(asked)
        except ValueError as error:
            raise ApiError(400, f"cursor: {error}.") from error

    async def _find(self, request: web.Request) -> web.Response:
        return json_response(await self.events(query_of(request, Searching)))

    async def _show(self, request: web.Request) -> web.Response:
        return json_response(await self.story(request.match_info["id"], query_of(request, Showing)))

    async def _tail(self, request: web.Request) -> web.StreamResponse:
        with self.following(query_of(request, Tailing)) as client:
            response = web.StreamResponse(headers=STREAM_HEADERS)
            await response.prepare(request)
            await write_lines(client.lines(), response, self.context.clock)
        return response


async def write_lines(lines: AsyncGenerator[bytes, None], response: web.StreamResponse, clock: Clock) -> None:
    """Write lines until the lines end, the client disconnects, or the client has not read for a minute."""
    try:
        async with aclosing(lines):
            async for some in lines:
                async with clock.timeout(_WRITTEN_WITHIN_S):
                    await response.write(some)
        await response.write_eof()
    except (ConnectionError, TimeoutError):
        # The response has begun, so no error status can follow.
        response.force_close()


def _summary(outcomes: Outcomes) -> set[EventOutcome]:
    """Return the different outcomes of one event; `skipped` counts only if every subscriber skips it."""
    found = set(outcomes.values())
    return found if found == {EventOutcome.SKIPPED} else found - {EventOutcome.SKIPPED}


def _reach(found: FoundEvents) -> JsonObject:
    return {
        "scanned": found.scanned,
        "is_whole": found.is_whole,
        "reached": optional_time(found.reached),
    }
