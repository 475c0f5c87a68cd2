"""OAuth endpoints of the org: five grant types, and the identity behind a token."""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from streamer.clock import Clock
from streamer.sandbox.auth.authorization import Admit, Authorization
from streamer.sandbox.auth.connected_app import (
    TokenDenied,
    credentials,
    form_of,
    origin,
    same,
)
from streamer.sandbox.auth.directory import Directory
from streamer.sandbox.auth.identity import identity
from streamer.sandbox.auth.tokens import ACCESS_SCOPE, TokenIssuer, TokenSession

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LASTING = frozenset({"refresh_token", "offline_access"})
_LOGIN_HOSTS = frozenset({"https://login.salesforce.com", "https://test.salesforce.com"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """Session that a grant opens; `refresh_token` is the token that opened it."""

    user_id: str
    client_id: str
    scope: str = ACCESS_SCOPE
    refresh_token: str | None = None


class OAuth:
    """Serves `/services/oauth2/*` and `/id/*`."""

    def __init__(self, clock: Clock, tokens: TokenIssuer, directory: Directory) -> None:
        self._clock = clock
        self._tokens = tokens
        self._directory = directory
        self._authorization = Authorization(clock, directory)

    def routes(self, admit: Admit) -> list[web.RouteDef]:
        """Return the routes; `admit` checks the requests of a login in a browser."""
        return [
            *self._authorization.routes(admit),
            web.post("/services/oauth2/token", self._token),
            web.route("*", "/services/oauth2/userinfo", self._userinfo),
            web.get("/id/{org_id}/{user_id}", self._id),
        ]

    async def _token(self, request: web.Request) -> web.Response:
        form = await form_of(request)
        try:
            session = self._session_for(request, form)
        except TokenDenied as denied:
            return denied.answer()
        answer = self._answer(session, origin(request))
        if form["grant_type"] == "authorization_code" and session.refresh_token is not None:
            answer["refresh_token"] = session.refresh_token
        return web.json_response(answer)

    def _session_for(self, request: web.Request, form: Mapping[str, str]) -> _Opened:
        match form.get("grant_type"):
            case "authorization_code":
                return self._exchanged(request, form)
            case "client_credentials":
                app = self._directory.check_client(request, form)
                return _Opened(user_id=self._directory.runs_as(app), client_id=app.client_id)
            case "refresh_token":
                return self._refreshed(request, form)
            case "password":
                app = self._directory.check_client(request, form)
                user_id = self._directory.logged_in(form.get("username", ""), form.get("password", ""))
                if user_id is None:
                    raise TokenDenied("invalid_grant", "authentication failure")
                return _Opened(user_id=user_id, client_id=app.client_id)
            case grant if grant == _JWT_BEARER:
                return self._asserted(form.get("assertion", ""), origin(request))
        raise TokenDenied("unsupported_grant_type", "grant type not supported")

    def _exchanged(self, request: web.Request, form: Mapping[str, str]) -> _Opened:
        client_id, secret = credentials(request, form)
        app = self._directory.app(client_id)
        if secret is not None and not same(secret, app.client_secret):
            raise TokenDenied("invalid_client", "invalid client credentials")
        granted = self._authorization.redeem(app, form, secret=secret)
        opened = _Opened(user_id=granted.user_id, client_id=granted.client_id, scope=granted.scope)
        if not _LASTING & set(granted.scope.split()):
            return opened
        refresh_token = self._tokens.issue_refresh_token(
            user_id=granted.user_id,
            client_id=granted.client_id,
            scope=granted.scope,
            is_public=secret is None,
        )
        return replace(opened, refresh_token=refresh_token)

    def _refreshed(self, request: web.Request, form: Mapping[str, str]) -> _Opened:
        token = form.get("refresh_token", "")
        found = self._tokens.refresh_token(token)
        client_id, secret = credentials(request, form)
        is_public = found is not None and found.is_public and secret is None
        app = self._directory.app(client_id) if is_public else self._directory.check_client(request, form)
        if found is None or found.client_id != app.client_id:
            raise TokenDenied("invalid_grant", "expired access/refresh token")
        return _Opened(
            user_id=found.user_id, client_id=found.client_id, scope=found.scope, refresh_token=token
        )

    def _asserted(self, assertion: str, url: str) -> _Opened:
        claims = _claims(assertion, None)
        app = self._directory.app(str(claims.get("iss")))
        _claims(assertion, app.public_key())
        user_id = self._directory.user_id(claims.get("sub"))
        if user_id is None:
            raise TokenDenied("invalid_grant", "user hasn't approved this consumer")
        audience = claims.get("aud")
        if str(audience).rstrip("/") not in {*_LOGIN_HOSTS, url}:
            raise TokenDenied("invalid_grant", "Audience validation failed")
        try:
            expires_at = float(claims.get("exp", ""))
        except (TypeError, ValueError) as error:
            raise TokenDenied("invalid_grant", "invalid assertion") from error
        if expires_at <= self._clock.now():
            raise TokenDenied("invalid_grant", "expired authorization code")
        return _Opened(user_id=user_id, client_id=app.client_id)

    def _answer(self, opened: _Opened, url: str) -> dict[str, str]:
        token = self._tokens.issue(
            user_id=opened.user_id,
            client_id=opened.client_id,
            scope=opened.scope,
            refresh_token=opened.refresh_token,
        )
        return {
            "access_token": token,
            "signature": base64.b64encode(secrets.token_bytes(32)).decode(),
            "scope": opened.scope,
            "instance_url": url,
            "id": f"{url}/id/{self._directory.org_id}/{opened.user_id}",
            "token_type": "Bearer",
            "issued_at": str(int(self._clock.now() * 1000)),
            "token_format": "opaque",
        }

    async def _userinfo(self, request: web.Request) -> web.Response:
        return self._about(self._session(request), origin(request))

    async def _id(self, request: web.Request) -> web.Response:
        org_id, user_id = request.match_info["org_id"], request.match_info["user_id"]
        session = self._session(request)
        if session is not None and (org_id, user_id) != (self._directory.org_id, session.user_id):
            return web.Response(status=404, text="Bad_Id")
        return self._about(session, origin(request))

    def _session(self, request: web.Request) -> TokenSession | None:
        return self._tokens.session(request.headers.get("Authorization"))

    def _about(self, session: TokenSession | None, url: str) -> web.Response:
        if session is None:
            return web.Response(status=403, text="Bad_OAuth_Token")
        user = self._directory.user(session.user_id)
        return web.json_response(identity(user, self._directory.org_id, session.user_id, url))


def _claims(assertion: str, key: RSAPublicKey | None) -> dict[str, Any]:
    """Return the claims of a JWT; without a key, the signature is not verified."""
    # The sandbox checks times and audience itself, by its own clock, and with Salesforce's error messages.
    try:
        return jwt.decode(
            assertion,
            key or "",
            algorithms=["RS256"],
            options={
                "verify_signature": key is not None,
                "verify_sub": False,
                "verify_iss": False,
                "verify_exp": False,
                "verify_aud": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except jwt.PyJWTError as error:
        raise TokenDenied("invalid_grant", "invalid assertion") from error
