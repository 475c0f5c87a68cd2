"""REST resources about the org: API versions, record types, limits."""

from typing import Any

from aiohttp import web

from streamer.sandbox.cometd import CometdServer
from streamer.sandbox.org.org import Org
from streamer.sandbox.org.refusals import not_found
from streamer.sandbox.org.schema import READ_ONLY, Entity, Field
from streamer.sandbox.rest.middleware import BASE, DAILY_CALLS, Call, RestMiddleware, answer

_VERSIONS = range(58, 67)
_UNUSED_LIMITS = {
    "DailyBulkApiBatches": 15_000,
    "DailyBulkV2QueryJobs": 10_000,
    "DailyDurableGenericStreamingApiEvents": 10_000,
    "DailyDurableStreamingApiEvents": 10_000,
    "DailyStandardVolumePlatformEvents": 25_000,
    "HourlyPublishedStandardVolumePlatformEvents": 1_000,
}


class RestMetadata:
    """Serves versions, resources, limits and describes."""

    def __init__(self, org: Org, cometd: CometdServer) -> None:
        self._org = org
        self._cometd = cometd

    def routes(self, middleware: RestMiddleware) -> list[web.RouteDef]:
        """Return the routes."""

        async def limits(_call: Call) -> web.Response:
            return answer(self._limits(middleware.calls))

        return [
            web.get("/services/data{_:/?}", self._versions),
            web.get(BASE + "{_:/?}", middleware.wrap(self._resources)),
            web.get(BASE + "/limits{_:/?}", middleware.wrap(limits)),
            web.get(BASE + "/sobjects{_:/?}", middleware.wrap(self._global)),
            web.get(BASE + "/sobjects/{type}{_:/?}", middleware.wrap(self._basic)),
            web.get(BASE + "/sobjects/{type}/describe{_:/?}", middleware.wrap(self._describe)),
        ]

    async def _versions(self, _request: web.Request) -> web.Response:
        return answer(
            [
                {"label": f"Version {number}", "url": f"/services/data/v{number}.0", "version": f"{number}.0"}
                for number in _VERSIONS
            ]
        )

    async def _resources(self, call: Call) -> web.Response:
        names = ("sobjects", "query", "queryAll", "limits", "composite")
        return answer({name: f"{call.base}/{name}" for name in names})

    def _limits(self, calls: int) -> dict[str, Any]:
        used = {
            "DailyApiRequests": (DAILY_CALLS, calls),
            "DailyDeliveredPlatformEvents": (50_000, self._cometd.delivered),
            "HourlyPublishedPlatformEvents": (250_000, self._org.published_platform_events),
            "DurableStreamingApiConcurrentClients": (2_000, self._cometd.clients),
            **{name: (most, 0) for name, most in _UNUSED_LIMITS.items()},
        }
        return {name: {"Max": most, "Remaining": max(0, most - now)} for name, (most, now) in used.items()}

    async def _global(self, call: Call) -> web.Response:
        types = [_summary(call, entity) for entity in call.org.schema.entities]
        return answer({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": types})

    async def _basic(self, call: Call) -> web.Response:
        entity = call.org.schema.entity(call["type"])
        return answer({"objectDescribe": _summary(call, entity), "recentItems": []})

    async def _describe(self, call: Call) -> web.Response:
        entity = call.org.schema.entity(call["type"])
        fields = [_field(field) for field in entity.fields.values()]
        return answer({**_summary(call, entity), "fields": fields})


async def unknown(_call: Call) -> web.Response:
    """Refuse a resource that the sandbox does not serve, as Salesforce does."""
    raise not_found()


def _summary(call: Call, entity: Entity) -> dict[str, Any]:
    url = f"{call.base}/sobjects/{entity.name}"
    can = dict.fromkeys(("createable", "updateable", "deletable", "undeletable", "queryable"), True)
    return {
        "name": entity.name,
        "label": entity.name.removesuffix("__c").replace("_", " "),
        "keyPrefix": entity.prefix,
        "custom": entity.is_custom,
        "urls": {"sobject": url, "describe": f"{url}/describe", "rowTemplate": f"{url}/{{ID}}"},
        **can,
    }


def _field(field: Field) -> dict[str, Any]:
    writable = field.name not in READ_ONLY
    return {
        "name": field.name,
        "label": field.name.removesuffix("__c").replace("_", " "),
        "type": field.type,
        "custom": field.name.endswith("__c"),
        "nillable": not field.required,
        "createable": writable,
        "updateable": writable,
        "externalId": field.name.endswith("__c"),
    }
