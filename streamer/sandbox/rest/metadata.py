"""REST resources about the org: API versions, record types, limits."""

from aiohttp import web

from streamer.sandbox.access.user import SetupRight
from streamer.sandbox.cometd import CometdServer
from streamer.sandbox.org.org import SandboxOrg
from streamer.sandbox.org.refusals import no_setup_access
from streamer.sandbox.rest.call import RestCall, SandboxResponse
from streamer.sandbox.rest.describe import add_describe, describe_all, describe_basic
from streamer.sandbox.rest.records import create
from streamer.sandbox.rest.representations import field_list
from streamer.sandbox.rest.resources import Resources
from streamer.sandbox.rest_requests import API_VERSIONS

_COUNTED = {
    "DailyApiRequests": "api_requests",
    "DailyBulkV2QueryJobs": "bulk_query_jobs",
    "DailyDeliveredPlatformEvents": "delivered_events",
    "DailyDurableGenericStreamingApiEvents": "generic_events",
    "DailyDurableStreamingApiEvents": "push_topic_events",
    "HourlyPublishedPlatformEvents": "published_events",
}
_CLIENTS = 2_000
_MONTHLY_EVENTS = 300_000
_MONTHLY_ENTITLEMENT_SINCE = 48.0
_UNUSED_LIMITS = {
    "DailyGenericStreamingApiEvents": 10_000,
    "DailyStreamingApiEvents": 10_000,
    "StreamingApiConcurrentClients": 20,
    "DailyBulkApiBatches": 15_000,
    "DailyBulkV2QueryFileStorageMB": 976_562,
    "DailyStandardVolumePlatformEvents": 25_000,
    "HourlyPublishedStandardVolumePlatformEvents": 1_000,
}


class RestMetadata:
    """Serves versions, resources, limits and describes."""

    def __init__(self, org: SandboxOrg, cometd: CometdServer) -> None:
        self._org = org
        self._cometd = cometd

    def routes(self) -> list[web.RouteDef]:
        """Return the route of the versions, which needs no session."""
        return [web.get("/services/data{_:/?}", self._versions)]

    def add_to(self, resources: Resources) -> None:
        """Serve the versioned resources; call this before the resources of single records are added."""
        resources.add("", get=_resources)
        resources.add("/limits", get=self._limits)
        resources.add("/limits/recordCount", get=_record_counts)
        resources.add("/sobjects", get=describe_all)
        resources.add("/sobjects/{type}", get=describe_basic, post=create)
        add_describe(resources)

    async def _versions(self, _request: web.Request) -> web.Response:
        return web.json_response(
            [
                {"label": f"Version {number}", "url": f"/services/data/v{number}.0", "version": f"{number}.0"}
                for number in API_VERSIONS
            ]
        )

    def _limits(self, call: RestCall) -> SandboxResponse:
        if call.schema.user.setup is SetupRight.NONE:
            raise no_setup_access("View Setup and Configuration")
        allowances = self._org.usage.allowances
        counted = {key: allowances[name] for key, name in _COUNTED.items()}
        used = {
            **{key: (allowance.most, allowance.used) for key, allowance in counted.items()},
            "DurableStreamingApiConcurrentClients": (_CLIENTS, self._cometd.clients),
            **{name: (most, 0) for name, most in _UNUSED_LIMITS.items()},
            **_monthly(call),
        }
        requests = self._org.usage.api_requests
        used["DailyApiRequests"] = (requests.most, max(requests.used, call.requests_used))
        limits = {name: {"Max": most, "Remaining": max(0, most - now)} for name, (most, now) in used.items()}
        return SandboxResponse(body=limits)


def _record_counts(call: RestCall) -> SandboxResponse:
    """Return the number of records of each named type, or of all types that have records."""
    asked = field_list(call.query.get("sObjects"))
    entities = [call.schema.entity(name) for name in asked] if asked else call.schema.entities
    records = call.org.records
    counts = [
        {"count": sum(not each["IsDeleted"] for each in records.all(entity)), "name": entity.name}
        for entity in entities
    ]
    return SandboxResponse(body={"sObjects": [each for each in counts if asked or each["count"]]})


def _monthly(call: RestCall) -> dict[str, tuple[int, int]]:
    """Return the monthly limit of events, under its name in this version."""
    # Without the add-on, there is no entitlement.
    if float(call.version) >= _MONTHLY_ENTITLEMENT_SINCE:
        return {"MonthlyPlatformEventsUsageEntitlement": (0, 0)}
    return {"MonthlyPlatformEvents": (_MONTHLY_EVENTS, 0)}


def _resources(call: RestCall) -> SandboxResponse:
    names = ("sobjects", "query", "queryAll", "limits", "recent", "composite", "tooling", "jobs")
    return SandboxResponse(body={name: f"{call.base}/{name}" for name in names})
