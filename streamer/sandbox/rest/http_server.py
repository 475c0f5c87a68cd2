"""HTTP front end of the REST API: session check, count of calls, compression."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

from aiohttp import web

from streamer.sandbox.access.users import Users
from streamer.sandbox.auth.tokens import TokenIssuer, TokenSession
from streamer.sandbox.faults.armed import READ, WRITE, ArmedFaults, InjectionPoint
from streamer.sandbox.org.org import SandboxOrg
from streamer.sandbox.org.refusals import Refused, not_found
from streamer.sandbox.rest.call import RestCall, SandboxResponse
from streamer.sandbox.rest.resources import Resources, refusal
from streamer.sandbox.rest_requests import API_VERSIONS, json_response, session_of

_READING = frozenset({"GET", "HEAD"})
_CODINGS = (web.ContentCoding.gzip, web.ContentCoding.deflate)
_USED_UP = Refused("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", status=403)


class RestServer:
    """Serves `/services/data/vXX.X/*` to valid sessions."""

    def __init__(
        self,
        org: SandboxOrg,
        users: Users,
        tokens: TokenIssuer,
        resources: Resources,
        faults: ArmedFaults,
    ) -> None:
        self._org = org
        self._faults = faults
        self._users = users
        self._tokens = tokens
        self._resources = resources
        self._usage = org.usage.api_requests

    def routes(self) -> list[web.RouteDef]:
        """Return the route of all versioned resources."""
        return [web.route("*", r"/services/data/v{version:\d+\.\d}{path:(/.*)?}", self._handle)]

    async def _handle(self, request: web.Request) -> web.Response:
        try:
            session = session_of(request.headers, self._tokens)
        except Refused as refused:
            return _response(request, refusal(refused))
        if float(request.match_info["version"]) not in API_VERSIONS:
            return _response(request, refusal(not_found()))
        call = await self._call(request, session)
        point = InjectionPoint(on=READ if call.method in _READING else WRITE)
        is_used_up = self._usage.is_used_up
        if not is_used_up:
            self._usage.use()
        if fault := self._faults.strike("refuse_call", point):
            told = fault.settings
            injected = Refused(told["code"], told["message"], status=told["status"])
            return _response(request, refusal(injected))
        if fault := self._faults.strike("use_up_requests", point):
            call = replace(call, requests_used=round(fault.settings["share"] * self._usage.most))
            is_used_up = is_used_up or call.requests_used >= self._usage.most
        answer = refusal(_USED_UP) if is_used_up else self._resources.answer(call)
        response = _response(request, answer)
        if self._faults.strike("lose_answer", point) and request.transport is not None:
            request.transport.abort()
        used = max(self._usage.used, call.requests_used)
        response.headers["Sforce-Limit-Info"] = f"api-usage={used}/{self._usage.most}"
        return response

    async def _call(self, request: web.Request, session: TokenSession) -> RestCall:
        method = request.method
        if method == "POST":
            method = request.query.get("_HttpMethod", method)
        version = request.match_info["version"]
        return RestCall(
            method=method,
            version=version,
            path=request.rel_url.raw_path.partition(f"/v{version}")[2],
            query=request.query,
            headers=request.headers,
            body=await request.read(),
            session=session,
            org=self._org,
            schema=self._users.schema(session.user_id),
            faults=self._faults,
        )


def _response(request: web.Request, answer: SandboxResponse) -> web.Response:
    response = json_response(answer.body, status=answer.status, headers=answer.headers)
    if answer.chunks is not None and request.method != "HEAD":
        response.body = _sent(request, answer.chunks, answer.cut_after)
    elif answer.body is None:
        return response
    accepted = request.headers.get("Accept-Encoding", "")
    coding = next((each for each in _CODINGS if each.value in accepted), None)
    if coding is not None:
        response.enable_compression(coding)
        if etag := response.headers.get("ETag"):
            response.headers["ETag"] = f'{etag[:-1]}-{coding.value}"'
    return response


async def _sent(request: web.Request, chunks: Iterable[bytes], cut_after: int | None) -> AsyncIterator[bytes]:
    """Iterate over the chunks of a body; other calls can be answered between two chunks."""
    left = cut_after
    for chunk in chunks:
        yield chunk[:left]
        left = None if left is None else left - len(chunk)
        if left is not None and left <= 0:
            break
        await asyncio.sleep(0)
    if left is not None and request.transport is not None:
        request.transport.close()
