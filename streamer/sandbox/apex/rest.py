"""Apex REST: `/services/apexrest`."""

from aiohttp import web

from streamer.sandbox.apex.methods import ApexAnswer, ApexCall, ApexException, ApexMethods
from streamer.sandbox.auth.tokens import TokenIssuer
from streamer.sandbox.org.org import SandboxOrg
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.rest_requests import client_of, json_response, method_not_allowed, parsed, session_of


class ApexRest:
    """Calls the methods of `@RestResource` classes in valid sessions."""

    def __init__(self, org: SandboxOrg, tokens: TokenIssuer, methods: ApexMethods) -> None:
        self._org = org
        self._tokens = tokens
        self._methods = methods

    def routes(self) -> list[web.RouteDef]:
        """Return the route of all classes."""
        return [web.route("*", r"/services/apexrest{path:/.*}", self._handle)]

    async def _handle(self, request: web.Request) -> web.Response:
        try:
            return await self._answer(request)
        except Refused as refused:
            return json_response(refused.as_rest_errors(), status=refused.status)

    async def _answer(self, request: web.Request) -> web.Response:
        session = session_of(request.headers, self._tokens)
        path = request.match_info["path"]
        methods = self._methods.of_path(path)
        if not methods:
            raise Refused("NOT_FOUND", "Could not find a match for URL", status=404)
        called = methods.get(request.method)
        if called is None:
            raise method_not_allowed(request.method, methods)
        body = await request.read()
        call = ApexCall(
            method=request.method,
            path=path,
            arguments=parsed(body) if body else None,
            session=session,
            org=self._org,
            client=client_of(request.headers),
            query=dict(request.query),
        )
        self._methods.calls.append(call)
        try:
            answer = called(call)
        except ApexException as exception:
            raise Refused("APEX_ERROR", str(exception), status=500) from exception
        if isinstance(answer, ApexAnswer):
            return json_response(answer.body, status=answer.status)
        return json_response(answer, status=200)
