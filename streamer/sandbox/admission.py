"""Admission to the control API and to logins: refuses requests that a web page of another site sends.

A page in a browser on this machine can send a request to the sandbox without
the user's knowledge. The browser then states the page's origin. A page whose
own host name points to this machine (DNS rebinding) has the right origin, and
fails the check of the `Host` header.
"""

from collections.abc import Iterable

from aiohttp import web
from yarl import URL

from streamer.sandbox.org.refusals import Refused
from streamer.web.addresses import is_address, is_loopback

_READING = frozenset({"GET", "HEAD"})
_OWN_PAGES = frozenset({"same-origin", "none"})


class OriginCheck:
    """Admits requests to a known host that come from no page, or from a page of the sandbox itself.

    Known hosts are loopback, every IP address, and `names`. An IP address in `Host` is
    safe: DNS rebinding changes the address of a name, so it needs a name.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name.lower() for name in names)

    def check(self, request: web.Request) -> None:
        """Raise `Refused` 403 for an unknown host, or for a change that another site's page asks for."""
        host = _host(request.headers.get("Host", ""))
        if not self._knows(host):
            message = (
                f"{_place(request)} does not accept requests for the host name {host[:100]!r}: start the "
                "sandbox with this name in --name."
            )
            raise Refused("FORBIDDEN", message, status=403)
        if request.method not in _READING and _is_cross_site(request):
            message = f"{_place(request)} does not accept requests from web pages of another site."
            raise Refused("FORBIDDEN", message, status=403)

    def _knows(self, host: str) -> bool:
        return is_loopback(host) or host in self._names or is_address(host)


def _is_cross_site(request: web.Request) -> bool:
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site", "none")
    return site not in _OWN_PAGES or (origin is not None and origin.lower() != _origin(request))


def _origin(request: web.Request) -> str:
    return f"{request.scheme}://{request.headers.get('Host', '')}".lower()


def _host(authority: str) -> str:
    try:
        return (URL.build(scheme="http", authority=authority).host or "").lower()
    except ValueError:
        return ""


def _place(request: web.Request) -> str:
    return "/sandbox/" if request.path.lstrip("/").startswith("sandbox/") else "The sandbox's login page"
