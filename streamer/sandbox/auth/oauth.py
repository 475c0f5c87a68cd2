"""OAuth endpoints of the org: four grant types, and the identity behind a token."""

import base64
import secrets
from collections.abc import Mapping
from typing import Any

import jwt
from aiohttp import web

from streamer.clock import Clock
from streamer.sandbox.auth.connected_app import (
    ConnectedApp,
    Identity,
    TokenDenied,
    check_client,
    form_of,
    origin,
)
from streamer.sandbox.auth.tokens import ACCESS_SCOPE, REFRESH_SCOPE, Session, Tokens

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LOGIN_HOSTS = frozenset({"https://login.salesforce.com", "https://test.salesforce.com"})


class OAuth:
    """Serves `/services/oauth2/*` and `/id/*`."""

    def __init__(self, clock: Clock, tokens: Tokens, app: ConnectedApp, identity: Identity) -> None:
        """Build the endpoints of one connected app; raises an error when its key can't be read."""
        self._clock = clock
        self._tokens = tokens
        self._app = app
        self._identity = identity
        self._key = app.public_key()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/services/oauth2/token", self._token),
            web.route("*", "/services/oauth2/userinfo", self._userinfo),
            web.get("/id/{org_id}/{user_id}", self._id),
        ]

    async def _token(self, request: web.Request) -> web.Response:
        form = await form_of(request)
        try:
            self._check(request, form)
        except TokenDenied as denied:
            return denied.answer()
        return web.json_response(self._grant(form, origin(request)))

    def _check(self, request: web.Request, form: Mapping[str, str]) -> None:
        match form.get("grant_type"):
            case "client_credentials":
                check_client(self._app, request, form)
            case "refresh_token":
                check_client(self._app, request, form)
                if not self._tokens.can_refresh(form.get("refresh_token", "")):
                    raise TokenDenied("invalid_grant", "expired access/refresh token")
            case "password":
                check_client(self._app, request, form)
                self._check_password(form)
            case grant if grant == _JWT_BEARER:
                self._check_assertion(form.get("assertion", ""), origin(request))
            case _:
                raise TokenDenied("unsupported_grant_type", "grant type not supported")

    def _check_password(self, form: Mapping[str, str]) -> None:
        known = form.get("username") == self._identity.username
        if not known or not self._app.accepts_password(form.get("password", "")):
            raise TokenDenied("invalid_grant", "authentication failure")

    def _check_assertion(self, assertion: str, url: str) -> None:
        claims = self._claims(assertion)
        if claims.get("iss") != self._app.client_id:
            raise TokenDenied("invalid_client_id", "client identifier invalid")
        if claims.get("sub") != self._identity.username:
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

    def _claims(self, assertion: str) -> dict[str, Any]:
        # We compare times and audience ourselves, by the sandbox's clock and with Salesforce's answers.
        try:
            return jwt.decode(
                assertion,
                self._key or "",
                algorithms=["RS256"],
                options={
                    "verify_signature": self._key is not None,
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

    def _grant(self, form: Mapping[str, str], url: str) -> dict[str, str]:
        user_id, refreshed = self._identity.user_id, form["grant_type"] == "refresh_token"
        scope = REFRESH_SCOPE if refreshed else ACCESS_SCOPE
        return {
            "access_token": self._tokens.issue(user_id=user_id, client_id=self._app.client_id, scope=scope),
            "signature": base64.b64encode(secrets.token_bytes(32)).decode(),
            "scope": scope,
            "instance_url": url,
            "id": f"{url}/id/{self._identity.org_id}/{user_id}",
            "token_type": "Bearer",
            "issued_at": str(int(self._clock.now() * 1000)),
            "token_format": "opaque",
        }

    async def _userinfo(self, request: web.Request) -> web.Response:
        return self._about(self._session(request), origin(request))

    async def _id(self, request: web.Request) -> web.Response:
        named = (request.match_info["org_id"], request.match_info["user_id"])
        session = self._session(request)
        if named != (self._identity.org_id, self._identity.user_id):
            return web.Response(status=404, text="Bad_Id")
        return self._about(session, origin(request))

    def _session(self, request: web.Request) -> Session | None:
        return self._tokens.session(request.headers.get("Authorization"))

    def _about(self, session: Session | None, url: str) -> web.Response:
        if session is None:
            return web.Response(status=403, text="Bad_OAuth_Token")
        who = f"{url}/id/{self._identity.org_id}/{session.user_id}"
        about = {
            "sub": who,
            "id": who,
            "user_id": session.user_id,
            "organization_id": self._identity.org_id,
            "preferred_username": self._identity.username,
            "username": self._identity.username,
            "name": "Integration User",
            "display_name": "Integration User",
            "email": self._identity.username,
            "active": True,
            "urls": {"rest": f"{url}/services/data/v{{version}}/", "custom_domain": url},
        }
        return web.json_response(about)
