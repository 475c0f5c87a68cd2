"""Table of the REST resources, by path and method."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.message import Message
from urllib.parse import unquote

from streamer.sandbox.org.refusals import Refused, not_found
from streamer.sandbox.rest.call import Handler, RestCall, SandboxResponse
from streamer.sandbox.rest_requests import method_not_allowed

_METHODS = ("HEAD", "GET", "POST", "PUT", "PATCH", "DELETE")
_WITH_BODY = frozenset({"POST", "PATCH"})
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class _Resource:
    pattern: re.Pattern[str]
    handlers: Mapping[str, Handler]
    media_types: frozenset[str]


class Resources:
    """Finds the handler of a call, and turns refusals into Salesforce's error lists."""

    def __init__(self) -> None:
        self._resources: list[_Resource] = []

    def add(self, path: str, *, also_takes: str = _JSON, **handlers: Handler) -> None:
        """Serve `path` with a handler for each method: `get=…`, `post=…`.

        `{name}` in the path is a parameter. If several paths fit a call, the first path
        answers. Bodies are JSON, or have the media type that the resource `also_takes`.
        """
        pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + "/?")
        by_method = {method.upper(): handler for method, handler in handlers.items()}
        if "GET" in by_method:
            by_method["HEAD"] = by_method["GET"]
        self._resources.append(_Resource(pattern, by_method, frozenset({_JSON, also_takes})))

    def answer(self, call: RestCall) -> SandboxResponse:
        """Return the answer to `call`: the resource's answer, or a refusal."""
        for resource in self._resources:
            if found := resource.pattern.fullmatch(call.path):
                parameters = {name: unquote(value) for name, value in found.groupdict().items()}
                return _answer(resource, replace(call, parameters=parameters))
        return refusal(not_found())


def refusal(refused: Refused) -> SandboxResponse:
    """Return a refusal as an answer."""
    return SandboxResponse(status=refused.status, body=refused.as_rest_errors())


def _answer(resource: _Resource, call: RestCall) -> SandboxResponse:
    handler = resource.handlers.get(call.method)
    if handler is None:
        allowed = [method for method in _METHODS if method in resource.handlers]
        answer = refusal(method_not_allowed(call.method, allowed))
        return replace(answer, headers={"Allow": ",".join(allowed)})
    try:
        _check_media_type(resource, call)
        return handler(call)
    except Refused as refused:
        return refusal(refused)


def _check_media_type(resource: _Resource, call: RestCall) -> None:
    declared = call.headers.get("Content-Type")
    if call.method not in _WITH_BODY or not call.body or declared is None:
        return
    parsed = Message()
    parsed["Content-Type"] = declared
    if parsed.get_content_type() not in resource.media_types:
        media_type = declared.partition(";")[0].strip()
        message = f"MediaType of '{media_type}' is not supported by this resource"
        raise Refused("UNSUPPORTED_MEDIA_TYPE", message, status=415)
