"""Session affinity: two cookies tie a client to its session and to the node that holds it."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass

from aiohttp import web

from streamer.clock import Clock

BROWSER = "BAYEUX_BROWSER"
ROUTING = "sfdc-stream"
_KEPT = 10_000


@dataclass(slots=True, kw_only=True)
class Cookies:
    """The cookies of one request, and the cookies that the answer must set.

    `had_browser` is false when the request lacked the browser's cookie. `fresh` is true
    when the balancer picked a node because the routing cookie was missing, unknown or
    expired.
    """

    browser: str
    node: str
    had_browser: bool
    fresh: bool
    seconds: float

    def set_on(self, response: web.StreamResponse, *, handshake: bool, secure: bool) -> None:
        """Set the missing cookies on `response`; the browser's cookie is set only after a handshake."""
        if handshake and not self.had_browser:
            response.set_cookie(BROWSER, self.browser, httponly=True, secure=secure)
        if self.fresh:
            # SameSite=None is refused without Secure, which a plain connection can't have.
            response.set_cookie(
                ROUTING,
                self.node,
                max_age=int(self.seconds),
                secure=secure,
                samesite="None" if secure else None,
            )


class LoadBalancer:
    """Picks a node for each request, and forgets the choice after `seconds`."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._chosen_at: OrderedDict[str, float] = OrderedDict()

    def route(self, request: web.Request) -> Cookies:
        """Read the request's cookies, and pick a node if the cookies name no known node."""
        browser = request.cookies.get(BROWSER)
        node = request.cookies.get(ROUTING, "")
        known = self._is_known(node)
        return Cookies(
            browser=browser or secrets.token_urlsafe(20),
            node=node if known else self._choose(),
            had_browser=bool(browser),
            fresh=not known,
            seconds=self._seconds,
        )

    def reroute(self, cookies: Cookies) -> None:
        """Send the client to another node from its next request on."""
        cookies.node = self._choose()
        cookies.fresh = True

    def _is_known(self, node: str) -> bool:
        chosen_at = self._chosen_at.get(node)
        return chosen_at is not None and self._clock.monotonic() < chosen_at + self._seconds

    def _choose(self) -> str:
        node = secrets.token_urlsafe(16)
        self._chosen_at[node] = self._clock.monotonic()
        if len(self._chosen_at) > _KEPT:
            self._chosen_at.popitem(last=False)
        return node
