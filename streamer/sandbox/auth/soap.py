"""SOAP API: the login that older clients use instead of OAuth, and their questions about a session."""

import re
from html import unescape
from typing import NamedTuple
from xml.sax.saxutils import escape

from aiohttp import web

from streamer.clock import Clock
from streamer.sandbox.auth.connected_app import origin
from streamer.sandbox.auth.directory import Directory
from streamer.sandbox.auth.tokens import TokenIssuer
from streamer.sandbox.org.field_values import timestamp

_LAST_VERSION = 64.0
# A SOAP login belongs to no connected app.
_CLIENT = ""
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
    'xmlns="{namespace}" xmlns:sf="{faults}" xmlns:xsi="' + _XSI + '">'
    "<soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
)
_OPERATION = re.compile(r"<(?:[\w-]+:)?Body\b[^>]*>\s*<(?:[\w-]+:)?(\w+)")
_SERVED = frozenset({"logout", "getUserInfo", "getServerTimestamp"})
_ILLEGAL_SESSION = "Invalid Session ID found in SessionHeader: Illegal Session"


class _Api(NamedTuple):
    namespace: str
    faults: str


_APIS = {
    "u": _Api("urn:partner.soap.sforce.com", "urn:fault.partner.soap.sforce.com"),
    "c": _Api("urn:enterprise.soap.sforce.com", "urn:fault.enterprise.soap.sforce.com"),
    "m": _Api("http://soap.sforce.com/2006/04/metadata", "http://soap.sforce.com/2006/04/metadata"),
}


class Soap:
    """Serves `login`, `logout`, `getUserInfo` and `getServerTimestamp` of the partner and enterprise APIs.

    `login` ends with version 64.0 (SOAP API guide, login). Without a valid
    session, any other operation of any API is refused as INVALID_SESSION_ID.
    """

    def __init__(self, clock: Clock, tokens: TokenIssuer, directory: Directory) -> None:
        self._clock = clock
        self._tokens = tokens
        self._directory = directory

    def routes(self) -> list[web.RouteDef]:
        """Return the route; the address that a login returns ends with the org's id."""
        return [web.post(r"/services/Soap/{api:[ucm]}/{version:\d+\.\d}{rest:(/\w*)?}", self._call)]

    async def _call(self, request: web.Request) -> web.Response:
        api, body = _APIS[request.match_info["api"]], await request.text()
        found = _OPERATION.search(body)
        operation = found[1] if found else ""
        if operation == "login" and request.match_info["api"] != "m":
            return self._login(api, request, body)
        session_id = _element(body, "sessionId")
        session = self._tokens.session(session_id)
        if session is None:
            return _fault(api, "INVALID_SESSION_ID", _ILLEGAL_SESSION, kind="UnexpectedErrorFault")
        if request.match_info["api"] == "m" or operation not in _SERVED:
            return _no_operation(api, operation)
        return _xml(api, self._result(operation, session_id, session.user_id))

    def _result(self, operation: str, session_id: str, user_id: str) -> str:
        match operation:
            case "logout":
                self._tokens.revoke(session_id)
                return "<logoutResponse/>"
            case "getUserInfo":
                return f"<getUserInfoResponse><result>{self._user(user_id)}</result></getUserInfoResponse>"
        now = _elements(timestamp=timestamp(self._clock.now()))
        return f"<getServerTimestampResponse><result>{now}</result></getServerTimestampResponse>"

    def _login(self, api: _Api, request: web.Request, body: str) -> web.Response:
        version = request.match_info["version"]
        if float(version) > _LAST_VERSION:
            message = f"login() is not available in version {version}"
            return _fault(api, "UNSUPPORTED_API_VERSION", message)
        user_id = self._directory.logged_in(_element(body, "username"), _element(body, "password"))
        if user_id is None:
            message = "Invalid username, password, security token; or user locked out."
            return _fault(api, "INVALID_LOGIN", message)
        token = self._tokens.issue(user_id=user_id, client_id=_CLIENT)
        path = f"/services/Soap/{request.match_info['api']}/{version}"
        return _xml(api, self._session(token, user_id, origin(request), path))

    def _session(self, token: str, user_id: str, url: str, path: str) -> str:
        org_id = self._directory.org_id
        result = _elements(
            metadataServerUrl=f"{url}/services/Soap/m/{path.rpartition('/')[2]}/{org_id}",
            passwordExpired="false",
            sandbox="true",
            serverUrl=f"{url}{path}/{org_id}",
            sessionId=token,
            userId=user_id,
        )
        about = f"{result}<userInfo>{self._user(user_id)}</userInfo>"
        return f"<loginResponse><result>{about}</result></loginResponse>"

    def _user(self, user_id: str) -> str:
        user = self._directory.user(user_id)
        return _elements(
            organizationId=self._directory.org_id,
            sessionSecondsValid="7200",
            userEmail=user.username,
            userFullName=user.name,
            userId=user_id,
            userName=user.username,
        )


def _element(body: str, name: str) -> str:
    # Only a few flat texts are read here, so a pattern suffices, and no XML parser reads foreign input.
    found = re.search(rf"<(?:\w+:)?{name}\b[^>]*>([^<]*)</", body)
    return unescape(found[1]) if found else ""


def _elements(**texts: str) -> str:
    return "".join(f"<{name}>{escape(text)}</{name}>" for name, text in texts.items())


def _fault(api: _Api, code: str, message: str, *, kind: str = "LoginFault") -> web.Response:
    text = escape(message)
    detail = f"<sf:exceptionCode>{code}</sf:exceptionCode><sf:exceptionMessage>{text}</sf:exceptionMessage>"
    fault = f'<sf:{kind} xsi:type="sf:{kind}">{detail}</sf:{kind}>'
    return _xml(
        api,
        f"<soapenv:Fault><faultcode>sf:{code}</faultcode><faultstring>{code}: {text}</faultstring>"
        f"<detail>{fault}</detail></soapenv:Fault>",
        status=500,
    )


def _no_operation(api: _Api, operation: str) -> web.Response:
    message = (
        f"No operation available for request {{{api.namespace}}}{operation}, "
        "please check the WSDL for the service."
    )
    fault = f"<faultcode>soapenv:Client</faultcode><faultstring>{escape(message)}</faultstring>"
    return _xml(api, f"<soapenv:Fault>{fault}</soapenv:Fault>", status=500)


def _xml(api: _Api, body: str, *, status: int = 200) -> web.Response:
    text = _ENVELOPE.format(namespace=api.namespace, faults=api.faults, body=body)
    return web.Response(text=text, status=status, content_type="text/xml")
