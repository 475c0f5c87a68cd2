"""Access to the console: sessions, visitors, and security headers.

Four checks keep a foreign website in an operator's browser from making a change. The
first two cover the `Host` header (against DNS rebinding, if there is no token) and the
`Origin` header. The other two cover the session's cookie, which browsers do not send
from other sites, and the CSRF token in the form.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from streamer.admin.gate import AccessRight, Gate
from streamer.admin.middleware import check_host, is_of_another_site
from streamer.admin.schemas import ApiError
from streamer.clock import Clock
from streamer.console.forms import Fields, first, form_of
from streamer.settings import ConsoleSettings

MOST_SESSIONS = 64
"""Largest number of sessions. At the limit, a new session ends the session that was used least recently."""

_SESSION_ID_BYTES = 32


@dataclass(slots=True, kw_only=True)
class ConsoleSession:
    """Session of `operator`. The forms of a session hold the `csrf` token; times are monotonic seconds."""

    operator: str
    can_change: bool
    csrf: str
    ends_at: float
    used_at: float


@dataclass(slots=True, kw_only=True)
class ConsoleSessions:
    """Sessions of this process, each valid for at most `lifetime_s` seconds.

    Only digests of the ids are kept, so the duration of a search reveals nothing
    about an id. A restart ends all sessions.
    """

    clock: Clock
    lifetime_s: float
    _by_digest: dict[bytes, ConsoleSession] = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._by_digest)

    def begin(self, operator: str, *, can_change: bool = True) -> str:
        """Begin a session, and return its id. Without `can_change`, the session only reads."""
        now = self.clock.monotonic()
        self._end_expired(now)
        while len(self._by_digest) >= MOST_SESSIONS:
            del self._by_digest[min(self._by_digest, key=lambda each: self._by_digest[each].used_at)]
        id_ = secrets.token_urlsafe(_SESSION_ID_BYTES)
        self._by_digest[_digest(id_)] = ConsoleSession(
            operator=operator,
            can_change=can_change,
            csrf=secrets.token_urlsafe(_SESSION_ID_BYTES),
            ends_at=now + self.lifetime_s,
            used_at=now,
        )
        return id_

    def find(self, id_: str) -> ConsoleSession | None:
        """Return the session with this id, or `None` for an unknown or expired session."""
        now = self.clock.monotonic()
        self._end_expired(now)
        session = self._by_digest.get(_digest(id_))
        if session is not None:
            session.used_at = now
        return session

    def end(self, id_: str) -> None:
        """End the session with this id, if it exists."""
        self._by_digest.pop(_digest(id_), None)

    def _end_expired(self, now: float) -> None:
        for digest in [digest for digest, each in self._by_digest.items() if each.ends_at <= now]:
            del self._by_digest[digest]


def _digest(id_: str) -> bytes:
    return hashlib.sha256(id_.encode("utf-8", "surrogateescape")).digest()


STATIC = "static"
"""Name of the route for static files, which contain no secrets, and which the sign-in page also needs."""
SIGN_IN = "sign_in"
"""Name of the sign-in routes."""
SIGN_OUT = "sign_out"
"""Name of the sign-out route."""
LONGEST_NAME = 100
_READING = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Sender of a request.

    `operator` is the sender's name, or `None` for a reader who has not signed in.
    `can_read` is false for a stranger, who sees nothing of the daemon. `csrf` is the
    token in the visitor's forms. `can_change` is false with the reader's token.
    `can_sign_out` is true if the console itself manages the session.
    """

    operator: str | None = None
    can_read: bool = False
    can_change: bool = False
    csrf: str = ""
    can_sign_out: bool = False


_VISITOR = web.RequestKey("visitor", Visitor)
_FIELDS: web.RequestKey[Fields] = web.RequestKey("fields")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Admits requests to the console by the tokens of `gate`; without tokens, requests to loopback."""

    gate: Gate
    settings: ConsoleSettings
    sessions: ConsoleSessions
    # Key of this process. A restart invalidates the CSRF tokens made with the key.
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    @property
    def middleware(self) -> Middleware:
        """Middleware that admits a request, or redirects to the sign-in page."""

        @web.middleware
        async def admitted(request: web.Request, handler: Handler) -> web.StreamResponse:
            if self.gate.token is None:
                check_host(request)
            name = request.match_info.route.name
            if name == STATIC:
                return await handler(request)
            if is_of_another_site(request) and not self._is_link(request):
                raise ApiError(
                    403,
                    ("This request comes from a page of another site. Open the console at its own address."),
                )
            visitor = self._visitor(request)
            request[_VISITOR] = visitor
            if request.method not in _READING:
                _check_origin(request)
                request[_FIELDS] = await form_of(request)
                if name != SIGN_IN:
                    _check_csrf(visitor, request[_FIELDS])
                    _check_right(visitor, name)
            elif name != SIGN_IN and self.gate.token is not None and visitor.operator is None:
                wanted = quote(str(request.rel_url), safe="")
                return redirect(f"/console/sign-in?next={wanted}")
            return await handler(request)

        return admitted

    def sign_in(self, request: web.Request, name: str, shown: str) -> web.Response | None:
        """Begin a session for `name`; return an answer with a session cookie, or `None` for a wrong token.

        Raises `ApiError` for an invalid name, and `ApiError` 429 for a peer that
        has sent too many wrong tokens.
        """
        operator = checked_name(name)
        right = self.gate.right(request, shown) if self.gate.token else AccessRight.CHANGE
        if right is None:
            return None
        self.sessions.end(request.cookies.get(_cookie(request), ""))
        response = redirect(_page_after_sign_in(first(fields_of(request), "next")))
        session = self.sessions.begin(operator, can_change=right is AccessRight.CHANGE)
        response.headers["Set-Cookie"] = self._set_cookie(request, session, self.settings.session_s)
        return response

    def sign_out(self, request: web.Request) -> web.Response:
        """End the session of `request`, and delete the cookie."""
        self.sessions.end(request.cookies.get(_cookie(request), ""))
        response = redirect("/console/sign-in?done=signed-out")
        response.headers["Set-Cookie"] = self._set_cookie(request, "", 0)
        return response

    def _is_link(self, request: web.Request) -> bool:
        """Return true if a person follows a link to a page; return false for a request by a page's script."""
        shown_in = {"document", "iframe"} if self.settings.frame_ancestors else {"document"}
        return (
            request.method in _READING
            and request.headers.get("Sec-Fetch-Mode") == "navigate"
            and request.headers.get("Sec-Fetch-Dest") in shown_in
        )

    def _visitor(self, request: web.Request) -> Visitor:
        session = self.sessions.find(request.cookies.get(_cookie(request), ""))
        if session is not None:
            return Visitor(
                operator=session.operator,
                can_read=True,
                can_change=session.can_change,
                csrf=session.csrf,
                can_sign_out=True,
            )
        header = self.settings.trusted_header
        right = self.gate.right_of(request) if self.gate.token is not None and header is not None else None
        if header is None or right is None:
            return Visitor(can_read=self.gate.token is None)
        names = request.headers.getall(header, [])
        if len(names) != 1:
            raise ApiError(
                403,
                (
                    f"The proxy before the console must send the header {header} exactly once, with the "
                    "operator's name."
                ),
            )
        operator = checked_name(names[0])
        csrf = hmac.digest(self._key, operator.encode(), hashlib.sha256).hex()
        return Visitor(operator=operator, can_read=True, can_change=right is AccessRight.CHANGE, csrf=csrf)

    def _set_cookie(self, request: web.Request, session: str, age_s: float) -> str:
        parts = [f"{_cookie(request)}={session}", "Path=/console", f"Max-Age={age_s:.0f}", "HttpOnly"]
        if self.settings.frame_ancestors:
            # In a frame of another site, a browser sends only cookies with these attributes.
            return "; ".join([*parts, "SameSite=None", "Secure", "Partitioned"])
        # Forging this header only makes the sender's own cookie secure.
        is_secure = request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
        return "; ".join([*parts, "SameSite=Strict", *(["Secure"] if is_secure else [])])


def visitor_of(request: web.Request) -> Visitor:
    """Return the sender of a request, whether admitted or refused."""
    return request[_VISITOR] if _VISITOR in request else Visitor()


def operator_of(request: web.Request) -> str:
    """Return the name of the operator who requests a change."""
    operator = visitor_of(request).operator
    if operator is None:
        raise _not_signed_in()
    return operator


def fields_of(request: web.Request) -> Fields:
    """Return the fields of an admitted form."""
    return request[_FIELDS]


def redirect(location: str) -> web.Response:
    """Return a redirect to `location`, a path of the console."""
    return web.Response(status=303, headers={"Location": location})


def checked_name(name: str) -> str:
    """Return an operator's name for the audit. Raises `ApiError` for an invalid name."""
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ApiError(400, f"Enter your name, with at most {LONGEST_NAME} characters: the audit records it.")
    return name


def _check_origin(request: web.Request) -> None:
    """Raise `ApiError` for a form from a page of another site."""
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    scheme, separator, authority = request.headers.get("Origin", "").partition("://")
    host = request.headers.get("Host", "")
    is_ours = scheme in {"http", "https"} and bool(separator) and authority.lower() == host.lower()
    if site != "same-origin" or not is_ours:
        raise ApiError(
            403,
            "This form does not come from a page of this console. A proxy before the console must pass on "
            "the Host header.",
        )


def _check_csrf(visitor: Visitor, fields: Fields) -> None:
    if visitor.operator is None:
        raise _not_signed_in()
    shown = first(fields, "csrf").encode("utf-8", "surrogateescape")
    if not visitor.csrf or not hmac.compare_digest(shown, visitor.csrf.encode()):
        raise ApiError(403, "This form is too old: go back, reload the page, and send the form again.")


def _check_right(visitor: Visitor, name: str | None) -> None:
    if not visitor.can_change and name != SIGN_OUT:
        raise ApiError(
            403, "You have signed in as a reader. To make changes, sign in with the token in admin.token."
        )


def _not_signed_in() -> ApiError:
    return ApiError(403, "Sign in first: every change needs an operator's name for the audit.")


def _page_after_sign_in(wanted: str) -> str:
    """Return the page to show after signing in: `wanted`, if `wanted` is a page of the console."""
    after = wanted.removeprefix("/console")
    is_ours = wanted.startswith("/console") and after[:1] in {"", "/", "?"}
    is_plain = wanted.isascii() and wanted.isprintable() and not {"\\", " "} & set(wanted)
    return wanted if is_ours and is_plain and not after.startswith("/sign-in") else "/console"


def _cookie(request: web.Request) -> str:
    # Cookies ignore ports, and one machine can run several daemons, so the name contains the port.
    try:
        port = request.url.port
    except ValueError:
        # The Host header is invalid.
        port = None
    return f"streamer_console_{port or 0}"


_SOURCES = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
)


def security_headers(frame_ancestors: Sequence[str]) -> Mapping[str, str]:
    """Return the headers of every answer. Only pages of `frame_ancestors` can frame the console.

    A page loads only the console's own files and scripts. The browser keeps no copy of
    an answer, and does not send a page's address to other sites. With a form, the
    browser sends the page's origin to the console, and the console checks this origin.
    """
    ancestors = " ".join(frame_ancestors) or "'none'"
    policy = "; ".join([*_SOURCES, f"frame-ancestors {ancestors}"])
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    # Older browsers do not support a list of sites.
    return headers if frame_ancestors else {**headers, "X-Frame-Options": "DENY"}
