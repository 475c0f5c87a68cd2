"""Pages of dead letters, parked keys and redrives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from pydantic import BaseModel

from streamer.admin.schemas import ChangeRequest, Chosen, Listing, Parked, RedriveRequest
from streamer.console.access import fields_of, operator_of, redirect
from streamer.console.context import PageContext
from streamer.console.forms import Fields, filled, unset

_FILTER = ("channel", "subscriber", "key", "reason", "error", "since", "until", "ids")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterPages:
    """`/console/dead-letters`.

    A preview is a page that changes nothing. The form on a preview holds the filter and
    the time of the count. So the change covers only the counted dead letters.
    """

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of these pages."""
        return [
            web.get("/dead-letters", self._list),
            web.get("/dead-letters/letter", self._show),
            web.get("/dead-letters/redrive", self._preview_redrive),
            web.post("/dead-letters/redrive", self._redrive),
            web.get("/dead-letters/discard", self._preview_discard),
            web.post("/dead-letters/discard", self._discard),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        asked = filled(Listing, _query(request))
        found = await self.context.resources.letters.letters(asked)
        return self.context.renderer.page(
            request,
            "dead_letters.html",
            title="Dead letters",
            found=found,
            letters=found["letters"][::-1],
            asked=asked,
            names=list(self.context.daemon.configured.subscribers),
            paths=self.context.daemon.configured.paths,
            fields=_filter_fields(asked),
        )

    async def _show(self, request: web.Request) -> web.Response:
        letter = await self.context.resources.letters.letter(request.query.get("id", ""))
        return self.context.renderer.page(request, "dead_letter.html", title="Dead letter", letter=letter)

    async def _preview_redrive(self, request: web.Request) -> web.Response:
        asked = filled(RedriveRequest, _query(request), dry_run=True)
        found = await self.context.resources.redrives.redrive(asked)
        return self.context.renderer.page(
            request,
            "redrive.html",
            title="Redrive dead letters",
            asked=asked,
            found=found,
            deliverable=found["deliverable"] - found["superseded"],
            fields={**_filter_fields(asked), "until": found["until"]},
        )

    async def _redrive(self, request: web.Request) -> web.Response:
        asked = filled(RedriveRequest, fields_of(request), by=operator_of(request), dry_run=False)
        found = await self.context.resources.redrives.redrive(asked)
        self.context.daemon.flow.letters.forget()
        self.context.recent.problems.forget()
        return redirect(f"/console/redrives?done={'ordered' if found['redrives'] else 'nothing'}")

    async def _preview_discard(self, request: web.Request) -> web.Response:
        asked = filled(Chosen, _query(request), dry_run=True)
        found = await self.context.resources.letters.discard(asked)
        return self.context.renderer.page(
            request,
            "discard.html",
            title="Discard dead letters",
            found=found,
            fields={**_filter_fields(asked), "until": found["until"]},
        )

    async def _discard(self, request: web.Request) -> web.Response:
        asked = filled(Chosen, fields_of(request), by=operator_of(request), dry_run=False)
        await self.context.resources.letters.discard(asked)
        self.context.daemon.flow.letters.forget()
        self.context.recent.problems.forget()
        return redirect("/console/dead-letters?done=discarded")


def _query(request: web.Request) -> Fields:
    return list(request.query.items())


def _filter_fields(asked: BaseModel) -> Mapping[str, Any]:
    """Return the fields that a filter sets, by their names in forms."""
    said = asked.model_dump(mode="json")
    return unset({name: said.get(name) for name in _FILTER})


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedPages:
    """`/console/parked`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this page."""
        return [web.get("/parked", self._list)]

    async def _list(self, request: web.Request) -> web.Response:
        asked = filled(Parked, list(request.query.items()))
        return self.context.renderer.page(
            request,
            "parked.html",
            title="Parked keys",
            found=await self.context.resources.parked.parked(asked),
            asked=asked,
            names=list(self.context.daemon.configured.subscribers),
        )


_SHOWN = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RedrivePages:
    """`/console/redrives`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of these pages."""
        return [web.get("/redrives", self._list), web.post("/redrives/{id}/cancel", self._cancel)]

    async def _list(self, request: web.Request) -> web.Response:
        found = await self.context.resources.redrives.redrives()
        return self.context.renderer.page(
            request,
            "redrives.html",
            title="Redrives",
            redrives=found["redrives"],
            ended=found["ended"][-_SHOWN:][::-1],
        )

    async def _cancel(self, request: web.Request) -> web.Response:
        await self.context.resources.redrives.cancel(
            request.match_info["id"], ChangeRequest(by=operator_of(request))
        )
        return redirect("/console/redrives?done=cancelled")
