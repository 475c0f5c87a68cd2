"""SOAP API login, which older clients use instead of OAuth."""

import re
from html import unescape
from xml.sax.saxutils import escape

from aiohttp import web

from streamer.sandbox.auth.oauth import ConnectedApp, Identity
from streamer.sandbox.auth.tokens import Tokens

_LAST_VERSION = 64.0
_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
    'xmlns="urn:partner.soap.sforce.com" xmlns:sf="urn:fault.partner.soap.sforce.com">'
    "<soapenv:Body>{}</soapenv:Body></soapenv:Envelope>"
)


class SoapLogin:
    """Serves `login()` of the partner API, which ends with version 64.0 (SOAP API guide, login)."""

    def __init__(self, tokens: Tokens, app: ConnectedApp, identity: Identity) -> None:
        self._tokens = tokens
        self._app = app
        self._identity = identity

    def routes(self) -> list[web.RouteDef]:
        """Return the route."""
        return [web.post(r"/services/Soap/u/{version:\d+\.\d}{_:/?}", self._login)]

    async def _login(self, request: web.Request) -> web.Response:
        version, body = request.match_info["version"], await request.text()
        if float(version) > _LAST_VERSION:
            return _fault("UNSUPPORTED_API_VERSION", f"login() is not available in version {version}")
        known = _element(body, "username") == self._identity.username
        if not known or not self._app.accepts_password(_element(body, "password")):
            message = "Invalid username, password, security token; or user locked out."
            return _fault("INVALID_LOGIN", message)
        token = self._tokens.issue(user_id=self._identity.user_id, client_id=self._app.client_id)
        return _xml(self._result(token, version, str(request.url.origin())))

    def _result(self, token: str, version: str, url: str) -> str:
        org_id, user_id = self._identity.org_id, self._identity.user_id
        user = _elements(
            organizationId=org_id,
            userId=user_id,
            userName=self._identity.username,
            sessionSecondsValid="7200",
        )
        result = _elements(
            metadataServerUrl=f"{url}/services/Soap/m/{version}/{org_id}",
            passwordExpired="false",
            sandbox="true",
            serverUrl=f"{url}/services/Soap/u/{version}/{org_id}",
            sessionId=token,
            userId=user_id,
        )
        return f"<loginResponse><result>{result}<userInfo>{user}</userInfo></result></loginResponse>"


def _element(body: str, name: str) -> str:
    # Two flat texts are all that is read here, so no XML parser has to face foreign input.
    found = re.search(rf"<(?:\w+:)?{name}>([^<]*)</", body)
    return unescape(found[1]) if found else ""


def _elements(**texts: str) -> str:
    return "".join(f"<{name}>{escape(text)}</{name}>" for name, text in texts.items())


def _fault(code: str, message: str) -> web.Response:
    text = escape(message)
    detail = f"<sf:exceptionCode>{code}</sf:exceptionCode><sf:exceptionMessage>{text}</sf:exceptionMessage>"
    return _xml(
        f"<soapenv:Fault><faultcode>sf:{code}</faultcode><faultstring>{code}: {text}</faultstring>"
        f"<detail><sf:LoginFault>{detail}</sf:LoginFault></detail></soapenv:Fault>",
        status=500,
    )


def _xml(body: str, *, status: int = 200) -> web.Response:
    return web.Response(text=_ENVELOPE.format(body), status=status, content_type="text/xml")
