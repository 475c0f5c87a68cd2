"""Bulk API 1.0, which the org does not have: each call is refused, in the form of this API."""

from aiohttp import web

_CODE, _MESSAGE = "FeatureNotEnabled", "Async API not enabled"
_XML = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<error xmlns="http://www.force.com/2009/06/asyncapi/dataload">'
    f"<exceptionCode>{_CODE}</exceptionCode><exceptionMessage>{_MESSAGE}</exceptionMessage></error>"
)


def first_version_routes() -> list[web.RouteDef]:
    """Return the route of all calls of the Bulk API 1.0."""
    return [web.route("*", r"/services/async/{version:\d+\.\d}/{path:.+}", _refused)]


async def _refused(request: web.Request) -> web.Response:
    """Answer in JSON if the client sends or requests JSON, and otherwise in XML (Bulk API guide, errors)."""
    forms = request.headers.get("Content-Type", "") + request.headers.get("Accept", "")
    if "json" in forms.lower():
        return web.json_response({"exceptionCode": _CODE, "exceptionMessage": _MESSAGE}, status=400)
    return web.Response(text=_XML, status=400, content_type="application/xml", charset="UTF-8")
