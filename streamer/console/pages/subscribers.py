"""Pages of subscribers: states, and changes that an operator can make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web
from markupsafe import Markup

from streamer.admin.schemas import ApiError, ChangeRequest, PauseRequest, TestEventRequest
from streamer.console.access import fields_of, operator_of, redirect
from streamer.console.charts import sparkline, subscriber_charts
from streamer.console.context import PageContext
from streamer.console.forms import filled, first, object_of
from streamer.console.samples import summed
from streamer.events import JsonObject, SubscriberName
from streamer.flow.flow_map import NodeState
from streamer.flow.states import state_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberPages:
    """`/console/subscribers`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of these pages."""
        one = "/subscribers/{name}"
        return [
            web.get("/subscribers", self._list),
            web.get(one, self._show),
            web.post(f"{one}/pause", self._pause),
            web.post(f"{one}/resume", self._resume),
            web.post(f"{one}/probe", self._probe),
            web.post(f"{one}/test", self._test),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        found = (await self.context.resources.subscribers.subscribers())["subscribers"]
        blocked = self.context.daemon.admin.blocked_plugins
        return self.context.renderer.page(
            request,
            "subscribers.html",
            title="Subscribers",
            subscribers=[{**each, "state": self._state(each, blocked)} for each in found],
            sparks=await self._sparks([each["name"] for each in found if each["total"]]),
        )

    def _state(self, subscriber: JsonObject, blocked: Mapping[SubscriberName, str]) -> NodeState:
        return state_of(subscriber, self.context.daemon.clock.now(), blocked.get(subscriber["name"], ""))

    async def _sparks(self, names: Sequence[str]) -> Mapping[str, Markup]:
        """Return a small picture of the deliveries to each subscriber."""
        daemon = self.context.daemon
        shares, now = await daemon.samples(), daemon.clock.now()
        return {name: sparkline(shares, name, now) for name in names}

    async def _show(self, request: web.Request) -> web.Response:
        return await self._page(request)

    async def _pause(self, request: web.Request) -> web.Response:
        name, by = request.match_info["name"], operator_of(request)
        await self.context.resources.subscribers.pause(name, filled(PauseRequest, fields_of(request), by=by))
        return _back_to(name, "paused")

    async def _resume(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        await self.context.resources.subscribers.resume(name, ChangeRequest(by=operator_of(request)))
        return _back_to(name, "resumed")

    async def _probe(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        await self.context.resources.subscribers.probe(name, ChangeRequest(by=operator_of(request)))
        return _back_to(name, "probed")

    async def _test(self, request: web.Request) -> web.Response:
        data = first(fields_of(request), "data")
        asked = TestEventRequest(by=operator_of(request), data=object_of(data))
        result = await self.context.resources.subscribers.test(request.match_info["name"], asked)
        return await self._page(request, result=result, data=data)

    async def _page(
        self, request: web.Request, *, result: JsonObject | None = None, data: str = ""
    ) -> web.Response:
        name = request.match_info["name"]
        found = (await self.context.resources.subscribers.subscribers())["subscribers"]
        subscriber = next((each for each in found if each["name"] == name), None)
        if subscriber is None:
            raise ApiError(404, "No configured subscriber has this name.")
        daemon = self.context.daemon
        every = daemon.configured.subscribers
        now = daemon.clock.now()
        samples = summed([each.of(name) for each in await daemon.samples()], now)
        return self.context.renderer.page(
            request,
            "subscriber.html",
            title=name,
            subscriber={**subscriber, "state": self._state(subscriber, daemon.admin.blocked_plugins)},
            settings=every[SubscriberName(name)],
            when=daemon.admin.daemon.plan.shown_when(SubscriberName(name)),
            then=[other for other, settings in every.items() if name in settings.after],
            charts=subscriber_charts(samples, now) if subscriber["total"] else (),
            result=result,
            data=data,
        )


def _back_to(name: str, done: str) -> web.Response:
    return redirect(f"/console/subscribers/{name}?done={done}")
