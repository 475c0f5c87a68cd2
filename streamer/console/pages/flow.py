"""Map of the flow, which is the first page of the console, and charts of the last hour."""

from dataclasses import dataclass

from aiohttp import web

from streamer.console.charts import charts
from streamer.console.context import PageContext
from streamer.console.samples import summed
from streamer.events import JsonObject, Repair
from streamer.flow.flow_map import FlowMap
from streamer.flow.layout import narrow, wide
from streamer.flow.report import FlowFacts
from streamer.flow.states import verdict_of
from streamer.supervision.health import ProbeKind

_SHOWN_HOLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowPages:
    """`/console` and `/console/charts`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of these pages."""
        return [web.get("", self._map), web.get("/", self._map), web.get("/charts", self._charts)]

    async def _map(self, request: web.Request) -> web.Response:
        daemon = self.context.daemon
        facts = await daemon.flow.facts()
        return self.context.renderer.page(
            request,
            "map.html",
            title="Flow",
            alive=daemon.health.report(ProbeKind.LIVENESS),
            ready=daemon.health.report(ProbeKind.READINESS),
            flow=facts.map,
            drawings={"wide": wide(facts.map), "narrow": narrow(facts.map)},
            verdict=verdict_of(facts.map),
            numbers=self._numbers(facts.map),
            failures=facts.letters,
            **_lost(facts),
        )

    async def _charts(self, request: web.Request) -> web.Response:
        daemon = self.context.daemon
        now = daemon.clock.now()
        drawn = charts(summed(await daemon.samples(), now), now)
        return self.context.renderer.page(request, "charts.html", title="The last hour", charts=drawn)

    def _numbers(self, flow: FlowMap) -> JsonObject:
        """Return the numbers of all processes together."""
        daemon = self.context.daemon
        elsewhere = [state.counts for _, state in daemon.admin.reports.answering]
        return {
            **{
                name: here + sum(each.get(name, 0.0) for each in elsewhere)
                for name, here in daemon.sampler.samples().numbers().items()
            },
            "lag": sum(each.lag or 0 for each in flow.subscribers),
            "parked": sum(each.parked for each in flow.subscribers),
        }


def _lost(facts: FlowFacts) -> JsonObject:
    """Return what the page says about lost events: holes by their state, and dead letters, which are kept."""
    in_repair = [each for each in facts.holes if each["state"] == Repair.OPEN]
    lasting = [each for each in facts.holes if each["is_lasting"]]
    repaired = sum(each["state"] == Repair.FULL for each in facts.holes)
    subscribers = facts.map.subscribers
    return {
        "lasting": len(lasting),
        "in_repair": len(in_repair),
        "repaired": repaired,
        "former": len(facts.holes) - len(in_repair) - len(lasting) - repaired,
        "holes": [*in_repair, *lasting][-_SHOWN_HOLES:][::-1],
        "letters": (facts.map.log.unreadable or 0) + sum(each.dead_letters for each in subscribers),
    }
