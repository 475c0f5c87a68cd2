"""Apex web services: `/services/Soap/class`."""

from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape, quoteattr

from aiohttp import web
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from streamer.sandbox.apex.methods import ApexCall, ApexException, ApexMethods
from streamer.sandbox.auth.tokens import TokenIssuer
from streamer.sandbox.org.org import SandboxOrg

_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_NAMESPACE = "http://soap.sforce.com/schemas/class/"
_ILLEGAL_SESSION = "INVALID_SESSION_ID: Invalid Session ID found in SessionHeader: Illegal Session"


class _Fault(Exception):
    """The call fails with this code and text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ApexSoap:
    """Calls `webservice` methods in the session that the envelope names."""

    def __init__(self, org: SandboxOrg, tokens: TokenIssuer, methods: ApexMethods) -> None:
        self._org = org
        self._tokens = tokens
        self._methods = methods

    def routes(self) -> list[web.RouteDef]:
        """Return the route of all classes."""
        return [web.post(r"/services/Soap/class/{name:[\w/]+}", self._handle)]

    async def _handle(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        try:
            return _response(name, self._result(name, await request.read()))
        except _Fault as fault:
            text = escape(str(fault))
            body = f"<faultcode>{fault.code}</faultcode><faultstring>{text}</faultstring>"
            return _response(name, f"<soapenv:Fault>{body}</soapenv:Fault>", status=500)

    def _result(self, name: str, envelope: bytes) -> str:
        namespace = f"{{{_NAMESPACE}{name}}}"
        try:
            root = fromstring(envelope)
        except (ParseError, DefusedXmlException, ValueError) as error:
            raise _Fault("soapenv:Client", f"the envelope is not XML: {error}") from error
        session_id = root.findtext(f".//{namespace}SessionHeader/{namespace}sessionId")
        session = self._tokens.session(session_id) if session_id else None
        if session is None:
            raise _Fault("sf:INVALID_SESSION_ID", _ILLEGAL_SESSION)
        asked = next(iter(root.find(f"{{{_ENVELOPE}}}Body") or ()), None)
        method = "" if asked is None else asked.tag.removeprefix(namespace)
        called = self._methods.of_class(name, method)
        if asked is None or called is None:
            message = f"No operation available for request {method}, please check the WSDL for the service."
            raise _Fault("soapenv:Client", message)
        call = ApexCall(
            method=method,
            path=name,
            arguments=_arguments(asked),
            session=session,
            org=self._org,
            client=root.findtext(f".//{namespace}CallOptions/{namespace}client"),
        )
        self._methods.calls.append(call)
        try:
            result = "".join(_elements("result", called(call)))
        except ApexException as exception:
            raise _Fault("soapenv:Client", str(exception)) from exception
        return f"<{method}Response>{result}</{method}Response>"


def _arguments(element: Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for child in element:
        name = child.tag.rpartition("}")[2]
        value = None if child.get(_NIL) == "true" else _arguments(child) if len(child) else child.text or ""
        if name in found:
            earlier = found[name]
            found[name] = [*earlier, value] if isinstance(earlier, list) else [earlier, value]
        else:
            found[name] = value
    return found


def _elements(name: str, value: Any) -> Iterator[str]:
    match value:
        case None:
            yield f'<{name} xsi:nil="true"/>'
        case list():
            for each in value:
                yield from _elements(name, each)
        case dict():
            inner = "".join(text for key, each in value.items() for text in _elements(key, each))
            yield f"<{name}>{inner}</{name}>"
        case bool():
            yield f"<{name}>{str(value).lower()}</{name}>"
        case _:
            yield f"<{name}>{escape(str(value))}</{name}>"


def _response(name: str, body: str, *, status: int = 200) -> web.Response:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<soapenv:Envelope xmlns:soapenv="{_ENVELOPE}" xmlns={quoteattr(_NAMESPACE + name)} '
        'xmlns:sf="http://soap.sforce.com/schemas/fault" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"<soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    )
    return web.Response(text=text, status=status, content_type="text/xml")
