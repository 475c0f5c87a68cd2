"""OAuth endpoints of the org: four grant types, and the identity behind a token."""

import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import BasicAuth, web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from streamer.clock import Clock
from streamer.sandbox.auth.tokens import Session, Tokens

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LOGIN_HOSTS = frozenset({"https://login.salesforce.com", "https://test.salesforce.com"})


class TokenDenied(Exception):
    """The token endpoint refuses, with OAuth's error code and Salesforce's description."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedApp:
    """The client that is allowed to log in, and its user's credentials.

    The defaults are public: a sandbox protects nothing. `jwt_key` is a PEM
    public key or certificate; without one, a JWT's claims are checked and its
    signature is not.
    """

    client_id: str = "sandbox"
    client_secret: str = field(default="sandbox-secret", repr=False)
    password: str = field(default="sandbox-password", repr=False)
    refresh_token: str = field(default="sandbox-refresh-token", repr=False)
    jwt_key: bytes | None = None

    def accepts_password(self, given: str) -> bool:
        """Return whether `given` is the user's password, followed by a security token or not."""
        return _same(given[: len(self.password)], self.password)

    def public_key(self) -> RSAPublicKey | None:
        """Return the key that verifies JWTs; raises `TypeError` if it is not an RSA key."""
        if self.jwt_key is None:
            return None
        if b"BEGIN CERTIFICATE" in self.jwt_key:
            key: Any = x509.load_pem_x509_certificate(self.jwt_key).public_key()
        else:
            key = load_pem_public_key(self.jwt_key)
        if not isinstance(key, RSAPublicKey):
            raise TypeError("The JWT key must be an RSA public key or a certificate with one.")
        return key


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The org and the user that tokens are issued for."""

    org_id: str
    user_id: str
    username: str


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
            web.post("/services/oauth2/revoke", self._revoke),
            web.route("*", "/services/oauth2/userinfo", self._userinfo),
            web.get("/id/{org_id}/{user_id}", self._id),
        ]

    async def _token(self, request: web.Request) -> web.Response:
        form = {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
        try:
            self._check(request, form)
        except TokenDenied as denied:
            answer = {"error": denied.error, "error_description": denied.description}
            return web.json_response(answer, status=400)
        return web.json_response(self._grant(form, _origin(request)))

    def _check(self, request: web.Request, form: Mapping[str, str]) -> None:
        match form.get("grant_type"):
            case "client_credentials":
                self._check_client(request, form)
            case "refresh_token":
                self._check_client(request, form)
                if not _same(form.get("refresh_token"), self._app.refresh_token):
                    raise TokenDenied("invalid_grant", "expired access/refresh token")
            case "password":
                self._check_client(request, form)
                self._check_password(form)
            case grant if grant == _JWT_BEARER:
                self._check_assertion(form.get("assertion", ""), _origin(request))
            case _:
                raise TokenDenied("unsupported_grant_type", "grant type not supported")

    def _check_client(self, request: web.Request, form: Mapping[str, str]) -> None:
        client_id, secret = form.get("client_id"), form.get("client_secret")
        if client_id is None and (header := request.headers.get("Authorization")):
            try:
                basic = BasicAuth.decode(header)
            except (ValueError, binascii.Error) as error:
                raise TokenDenied("invalid_client", "invalid client credentials") from error
            client_id, secret = basic.login, basic.password
        if not _same(client_id, self._app.client_id):
            raise TokenDenied("invalid_client_id", "client identifier invalid")
        if not _same(secret, self._app.client_secret):
            raise TokenDenied("invalid_client", "invalid client credentials")

    def _check_password(self, form: Mapping[str, str]) -> None:
        known = form.get("username") == self._identity.username
        if not known or not self._app.accepts_password(form.get("password", "")):
            raise TokenDenied("invalid_grant", "authentication failure")

    def _check_assertion(self, assertion: str, origin: str) -> None:
        claims = self._claims(assertion)
        if claims.get("iss") != self._app.client_id:
            raise TokenDenied("invalid_client_id", "client identifier invalid")
        if claims.get("sub") != self._identity.username:
            raise TokenDenied("invalid_grant", "user hasn't approved this consumer")
        audience = claims.get("aud")
        if str(audience).rstrip("/") not in {*_LOGIN_HOSTS, origin}:
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
        user_id = self._identity.user_id
        return {
            "access_token": self._tokens.issue(user_id=user_id, client_id=self._app.client_id),
            "signature": base64.b64encode(secrets.token_bytes(32)).decode(),
            "scope": "refresh_token api" if form["grant_type"] == "refresh_token" else "api",
            "instance_url": url,
            "id": f"{url}/id/{self._identity.org_id}/{user_id}",
            "token_type": "Bearer",
            "issued_at": str(int(self._clock.now() * 1000)),
            "token_format": "opaque",
        }

    async def _revoke(self, request: web.Request) -> web.Response:
        token = (await request.post()).get("token")
        if isinstance(token, str) and self._tokens.revoke(token):
            return web.Response()
        answer = {"error": "unsupported_token_type", "error_description": "this token is not known"}
        return web.json_response(answer, status=400)

    async def _userinfo(self, request: web.Request) -> web.Response:
        return self._about(self._session(request), _origin(request))

    async def _id(self, request: web.Request) -> web.Response:
        named = (request.match_info["org_id"], request.match_info["user_id"])
        session = self._session(request)
        if named != (self._identity.org_id, self._identity.user_id):
            return web.Response(status=404, text="Bad_Id")
        return self._about(session, _origin(request))

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


def _origin(request: web.Request) -> str:
    """Return the address by which the client reached us, which can differ from the one that we listen on."""
    return str(request.url.origin())


def _same(given: str | None, expected: str) -> bool:
    return given is not None and secrets.compare_digest(given.encode(), expected.encode())
