"""Pages of the search, which leads to the page of the found term, and of the glossary."""

from dataclasses import dataclass

from aiohttp import web

from streamer.console.access import redirect
from streamer.console.context import PageContext
from streamer.console.search_terms import NotUnderstood, understood


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPages:
    """`/console/search`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this page."""
        return [web.get("/search", self._search)]

    async def _search(self, request: web.Request) -> web.Response:
        text = request.query.get("q", "")
        configured = self.context.daemon.configured
        try:
            term = understood(
                text,
                now=self.context.daemon.clock.now(),
                subscribers=configured.subscribers.keys(),
                paths=configured.paths,
            )
        except NotUnderstood as error:
            return self.context.renderer.page(
                request, "search.html", title="Search", term=text.strip(), sentence=str(error)
            )
        joint = "&" if "?" in term.path else "?"
        return redirect(f"/console{term.path}{joint}understood={term.kind}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GlossaryPages:
    """`/console/glossary`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this page."""
        return [web.get("/glossary", self._show)]

    async def _show(self, request: web.Request) -> web.Response:
        return self.context.renderer.page(request, "glossary.html", title="Glossary")
