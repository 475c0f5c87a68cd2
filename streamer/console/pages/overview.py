"""Overview: health, rates, waiting events, charts of the last hour, and problems for an operator."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from streamer.console.charts import charts
from streamer.console.context import PageContext
from streamer.console.pages.channels import channel_rows
from streamer.console.pages.subscribers import state_of
from streamer.console.samples import HOUR_S, Samples, Series
from streamer.errors import LogUnavailable
from streamer.events import JsonObject, Repair
from streamer.supervision.health import ProbeKind

_MINUTE_S = 60.0
_SHOWN_HOLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewPages:
    """`/console`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this page."""
        return [web.get("", self._show), web.get("/", self._show)]

    async def _show(self, request: web.Request) -> web.Response:
        context = self.context
        samples = context.daemon.sampler.samples()
        return context.renderer.page(
            request,
            "overview.html",
            title="Overview",
            alive=context.daemon.health.report(ProbeKind.LIVENESS),
            ready=context.daemon.health.report(ProbeKind.READINESS),
            numbers=self._numbers(samples),
            charts=charts(samples, context.daemon.clock.now()),
            channels=channel_rows(context),
            **await self._from_log(),
        )

    def _numbers(self, samples: Samples) -> JsonObject:
        statuses = [each.status for each in self.context.daemon.status.subscribers.dispatchers.values()]
        return {
            "events": samples.growth(Series.EVENTS, _MINUTE_S),
            "delivered": samples.growth(Series.DELIVERED, _MINUTE_S),
            "failed": samples.growth(Series.FAILED, _MINUTE_S),
            "dead_letters": samples.growth(Series.DEAD_LETTERS, HOUR_S),
            "lag": sum(each.lag for each in statuses),
            "parked": sum(each.parked for each in statuses),
        }

    async def _from_log(self) -> JsonObject:
        """Return the lists from the log, or the reason if the log is unavailable."""
        subscribers, holes, problem = list[JsonObject](), list[JsonObject](), ""
        failures: Sequence[JsonObject] = ()
        try:
            subscribers = (await self.context.resources.subscribers.subscribers())["subscribers"]
            # Repaired holes no longer need attention.
            holes = [
                each for each in await self.context.recent.holes.records() if each["state"] != Repair.FULL
            ]
            failures = await self.context.recent.failures.records()
        except LogUnavailable as error:
            problem = str(error)
        shown = [{**each, "state": state_of(each)} for each in subscribers]
        return {
            "log_problem": problem,
            "subscribers": shown,
            "failures": failures,
            "states": Counter(each["state"].word for each in shown),
            "holes": holes[-_SHOWN_HOLES:][::-1],
            "open_holes": sum(each["state"] == Repair.OPEN for each in holes),
        }
