"""Resource that lists parked keys, of this process and of the others that share the log."""

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from aiohttp import web

from streamer.admin.context import AdminContext
from streamer.admin.json_views import parked_json
from streamer.admin.middleware import json_response
from streamer.admin.processes.state import ProcessState, in_order_of_due
from streamer.admin.schemas import Parked, query_of
from streamer.events import JsonObject, SubscriberName


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedResource:
    """`/parked`."""

    context: AdminContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this resource."""
        return [web.get("/parked", self._list)]

    async def parked(self, asked: Parked) -> JsonObject:
        """Return the parked keys of all processes. Raises `ApiError` for an unknown subscriber.

        Of each other process, the answer lists only the keys that are due first.
        """
        await self.context.reports.refresh()
        counts, keys = self.here(asked)
        names = self._names(asked)
        for process, state in self.context.reports.answering:
            found = [each for each in _keys(process, state, names) if asked.key in {None, each["key"]}]
            keys += found
            counts.update(_counts(state, names, found, asked))
        return {
            "total": counts.total(),
            "by_subscriber": dict(counts),
            "not_here": [name for name in names if name not in counts],
            "parked": in_order_of_due(keys)[: asked.first],
            "missing": [*self.context.reports.missing],
        }

    def here(self, asked: Parked) -> tuple[Counter[SubscriberName], list[JsonObject]]:
        """Return how many keys of each subscriber this process has parked, and those that are due first."""
        dispatchers = self.context.daemon.dispatchers
        found = {
            name: dispatcher.parked(asked.first, key=asked.key)
            for name in self._names(asked)
            if (dispatcher := dispatchers.get(name)) is not None
        }
        counts = Counter({name: parked.total for name, parked in found.items()})
        every = ((name, key) for name, parked in found.items() for key in parked.keys)
        first = heapq.nsmallest(asked.first, every, key=lambda each: each[1].due_at)
        return counts, [{**parked_json(name, key), "process": None} for name, key in first]

    def _names(self, asked: Parked) -> list[SubscriberName]:
        if asked.subscriber is not None:
            self.context.subscriber_settings(asked.subscriber)
            return [asked.subscriber]
        return list(self.context.daemon.plan.settings.subscribers)

    async def _list(self, request: web.Request) -> web.Response:
        return json_response(await self.parked(query_of(request, Parked)))


def _keys(process: str, state: ProcessState, names: Collection[SubscriberName]) -> Iterator[JsonObject]:
    for each in state.parked:
        if each.subscriber in names:
            yield {**each.model_dump(mode="json"), "process": process}


def _counts(
    state: ProcessState, names: Iterable[SubscriberName], found: list[JsonObject], asked: Parked
) -> Counter[SubscriberName]:
    """Return how many asked keys another process has parked.

    The count is 0 for a subscriber to which the process delivers. The process can have
    subscribers that are not in `names`, because its configuration differs.
    """
    listed = Counter(each["subscriber"] for each in found)
    every = listed if asked.key is not None else state.parked_keys
    return Counter({name: every.get(name, 0) for name in names if name in state.parked_keys})
