"""Authorization-code flow: a login in a browser, whose code a client exchanges for tokens.

RFC 6749, section 4.1, and RFC 7636.
"""

import base64
import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlencode

from aiohttp import web
from yarl import URL

from streamer.clock import Clock
from streamer.sandbox.auth import authorization_page
from streamer.sandbox.auth.connected_app import ConnectedApp, TokenDenied, form_of, same
from streamer.sandbox.auth.directory import Directory
from streamer.sandbox.auth.tokens import ACCESS_SCOPE
from streamer.sandbox.org.refusals import Refused
from streamer.web.addresses import is_loopback

AUTHORIZE = "/services/oauth2/authorize"
SCOPES = ("api", "full", "id", "openid", "profile", "email", "web", "refresh_token", "offline_access")

Admit = Callable[[web.Request], None]
"""Check that raises `Refused` for a request from a page of another site."""

_PAGE_S, _CODE_S = 600.0, 900.0
_MAX_WAITING = 1000
_CHALLENGE = re.compile(r"[\w-]{43}", re.ASCII)
# Salesforce takes 128 random bytes in base64url, which is more than RFC 7636 allows; jsforce sends them.
_VERIFIER = re.compile(r"[\w.~-]{43,171}", re.ASCII)
_MISMATCH = TokenDenied("redirect_uri_mismatch", "redirect_uri must match configuration")
_INVALID_CODE = TokenDenied("invalid_grant", "invalid authorization code")

_Handler = Callable[[web.Request], Awaitable[web.Response]]
_Held = TypeVar("_Held")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """Request of a client; `challenge` is the challenge of PKCE, if the client uses PKCE."""

    client_id: str
    redirect_uri: str
    scope: str
    state: str | None
    challenge: str | None

    def led_back(self, **parameters: str) -> web.Response:
        """Return the redirect to the client with `parameters` and the state."""
        state = {} if self.state is None else {"state": self.state}
        joint = "&" if "?" in self.redirect_uri else "?"
        location = self.redirect_uri + joint + urlencode({**parameters, **state})
        return web.Response(status=302, headers={"Location": location, "Cache-Control": "no-store"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The user, client and scope of a redeemed code."""

    user_id: str
    client_id: str
    scope: str


class Authorization:
    """Serves `/services/oauth2/authorize`, and redeems each code once."""

    def __init__(self, clock: Clock, directory: Directory) -> None:
        self._directory = directory
        self._pages: _OneTime[_Request] = _OneTime(clock, _PAGE_S)
        self._codes: _OneTime[tuple[str, _Request]] = _OneTime(clock, _CODE_S)

    def routes(self, admit: Admit) -> list[web.RouteDef]:
        """Return the routes; `admit` checks each request."""
        return [
            web.get(AUTHORIZE, _admitted(self._ask, admit)),
            web.post(AUTHORIZE, _admitted(self._decide, admit)),
        ]

    def redeem(self, app: ConnectedApp, form: Mapping[str, str], *, secret: str | None) -> Granted:
        """Return what a code grants; raises `TokenDenied` for a code of another client.

        A client without a `secret` needs PKCE. Every try uses up the code.
        """
        found = self._codes.take(form.get("code", ""))
        if found is None:
            raise TokenDenied("invalid_grant", "expired authorization code")
        user_id, asked = found
        if asked.client_id != app.client_id:
            raise _INVALID_CODE
        if asked.redirect_uri != form.get("redirect_uri"):
            raise _MISMATCH
        verifier = form.get("code_verifier")
        if asked.challenge is None and secret is None:
            raise TokenDenied("invalid_client", "invalid client credentials")
        if asked.challenge is not None and not _verifies(verifier, asked.challenge):
            raise TokenDenied("invalid_grant", "invalid code verifier")
        return Granted(user_id=user_id, client_id=app.client_id, scope=asked.scope)

    async def _ask(self, request: web.Request) -> web.Response:
        query = request.query
        try:
            app = self._directory.app(query.get("client_id"))
            redirect_uri = _checked_address(app, query.get("redirect_uri", ""))
        except TokenDenied as denied:
            # The address possibly does not belong to the client, so the browser must not go there.
            return authorization_page.problem(denied.error, denied.description)
        asked = _Request(
            client_id=app.client_id,
            redirect_uri=redirect_uri,
            scope=" ".join(query.get("scope", "").split()) or ACCESS_SCOPE,
            state=query.get("state"),
            challenge=query.get("code_challenge"),
        )
        try:
            _check(asked, query)
        except TokenDenied as denied:
            return asked.led_back(error=denied.error, error_description=denied.description)
        return authorization_page.question(
            action=AUTHORIZE,
            ticket=self._pages.add(asked),
            client=app.client_id,
            target=redirect_uri,
            scopes=asked.scope.split(),
            users=[(user_id, user.username) for user_id, user in self._directory.users()],
        )

    async def _decide(self, request: web.Request) -> web.Response:
        form = await form_of(request)
        asked = self._pages.take(form.get("ticket", ""))
        if asked is None:
            description = (
                "The answer to this page was already sent, or the page is too old. Begin the login again "
                "in the client."
            )
            return authorization_page.problem("invalid_request", description)
        user_id = form.get("user", "")
        if not any(user_id == known for known, _ in self._directory.users()):
            denied = "end-user denied authorization"
            return asked.led_back(error="access_denied", error_description=denied)
        return asked.led_back(code=self._codes.add((user_id, asked)))


class _OneTime(Generic[_Held]):
    """Store of values under random keys.

    Each value can be taken once, within `life_s` seconds; if there are too many values,
    the oldest are dropped.
    """

    def __init__(self, clock: Clock, life_s: float) -> None:
        self._clock = clock
        self._life_s = life_s
        self._held: OrderedDict[str, tuple[float, _Held]] = OrderedDict()

    def add(self, value: _Held) -> str:
        key = f"aPrx{secrets.token_urlsafe(48)}"
        self._held[key] = (self._clock.monotonic(), value)
        while len(self._held) > _MAX_WAITING:
            self._held.popitem(last=False)
        return key

    def take(self, key: str) -> _Held | None:
        found = self._held.pop(key, None)
        if found is None or self._clock.monotonic() - found[0] > self._life_s:
            return None
        return found[1]


def _admitted(handler: _Handler, admit: Admit) -> _Handler:
    async def admitted(request: web.Request) -> web.Response:
        try:
            admit(request)
        except Refused as refused:
            return authorization_page.problem("access_denied", refused.message, status=refused.status)
        return await handler(request)

    return admitted


def _check(asked: _Request, query: Mapping[str, str]) -> None:
    if query.get("response_type") != "code":
        raise TokenDenied("unsupported_response_type", "response type not supported")
    unknown = [scope for scope in asked.scope.split() if scope not in SCOPES]
    if unknown:
        raise TokenDenied("invalid_scope", "the requested scope is not allowed")
    if asked.challenge is None:
        return
    if query.get("code_challenge_method", "S256") != "S256" or not _CHALLENGE.fullmatch(asked.challenge):
        raise TokenDenied("invalid_request", "invalid code challenge")


def _checked_address(app: ConnectedApp, uri: str) -> str:
    """Return the address if it is a callback of the app; raises `TokenDenied` for any other address."""
    if app.callbacks:
        if uri not in app.callbacks:
            raise _MISMATCH
        return uri
    try:
        url = URL(uri)
        # Browsers interpret some characters in another way than Python does.
        plain = uri.isascii() and uri.isprintable() and not {" ", "\\"} & set(uri)
        fits = plain and url.scheme in {"http", "https"} and is_loopback(url.host or "")
    except ValueError as error:
        raise _MISMATCH from error
    if not fits or url.user is not None or url.password is not None or "#" in uri:
        raise _MISMATCH
    return uri


def _verifies(verifier: str | None, challenge: str) -> bool:
    if verifier is None or not _VERIFIER.fullmatch(verifier):
        return False
    digest = hashlib.sha256(verifier.encode()).digest()
    return same(base64.urlsafe_b64encode(digest).decode().rstrip("="), challenge)
