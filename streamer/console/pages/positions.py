"""Positions of the channels: shows one, and orders another after a preview."""

from dataclasses import dataclass

from aiohttp import web

from streamer.admin.errors import ApiError
from streamer.admin.schemas import OfChannel, PositionRequest
from streamer.console.access import fields_of, operator_of, redirect
from streamer.console.context import PageContext
from streamer.console.forms import filled, unset
from streamer.controls import ChannelPosition
from streamer.events import JsonObject

# A person looks at a page that does not come. The next page shows answers that take longer.
_WAIT_S = "3"
_PLACES = {
    ChannelPosition.SINCE: "with what was committed since a time",
    ChannelPosition.REPLAY_ID: "behind a replay id",
    ChannelPosition.EARLIEST: "with the first event that Salesforce retains",
    ChannelPosition.LATEST: "with new events",
    ChannelPosition.START: "where the configuration lets a new channel start (reset)",
}
_ORDER = ("channel", "place", "replay_id", "since", "repeat")


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionPages:
    """`/console/channels/position`.

    As with dead letters, a preview is a page that changes nothing, and its form
    holds what was previewed.
    """

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of these pages."""
        return [
            web.get("/channels/position", self._show),
            web.get("/channels/position/preview", self._preview),
            web.post("/channels/position", self._order),
            web.post("/channels/position/cancel", self._cancel),
        ]

    async def _show(self, request: web.Request) -> web.Response:
        path = request.query.get("channel", "")
        positions = await self.context.resources.checkpoints.positions()
        position = next((each for each in positions if each["channel"] == path), None)
        if position is None:
            raise ApiError(404, "There is no channel of that path, and no position of one.")
        channels = {each.path for each in self.context.daemon.configured.channels}
        return self.context.renderer.page(
            request,
            "position.html",
            title="Position of a channel",
            position=position,
            places=_PLACES,
            can_be_set=path in channels,
        )

    async def _preview(self, request: web.Request) -> web.Response:
        asked = filled(PositionRequest, list(request.query.items()), dry_run=True)
        answer = await self.context.resources.checkpoints.order(asked)
        return self.context.renderer.page(
            request,
            "position_preview.html",
            title="Change a position",
            asked=asked,
            effect=answer["effect"],
            place=_PLACES[asked.place],
            fields=_fields(asked),
        )

    async def _order(self, request: web.Request) -> web.Response:
        fields = [("wait_s", _WAIT_S), *fields_of(request)]
        asked = filled(PositionRequest, fields, by=operator_of(request), dry_run=False)
        ordered = await self.context.resources.checkpoints.order(asked)
        return self._back("position-ordered" if ordered["outcome"] is None else "position-set")

    async def _cancel(self, request: web.Request) -> web.Response:
        asked = filled(OfChannel, fields_of(request), by=operator_of(request))
        await self.context.resources.checkpoints.cancel(asked)
        return self._back("position-cancelled")

    def _back(self, done: str) -> web.Response:
        self.context.recent.positions.forget()
        return redirect(f"/console/channels?done={done}")


def _fields(asked: PositionRequest) -> JsonObject:
    """Return the fields of an order that are set, by their names in forms."""
    said = asked.model_dump(mode="json")
    return unset({name: said[name] for name in _ORDER})
