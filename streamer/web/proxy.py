"""Proxy between this process and a server."""

from functools import lru_cache
from urllib.request import getproxies, proxy_bypass

from yarl import URL


def proxy_for(url: URL) -> URL | None:
    """Return the proxy that `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` named for `url` at first, or `None`.

    aiohttp's `trust_env` finds it as well, but also takes passwords from
    `~/.netrc`, and reads both on a thread for each request.
    """
    return _proxy_of(url.scheme, url.host or "")


@lru_cache(maxsize=1024)
def _proxy_of(scheme: str, host: str) -> URL | None:
    proxy = None if proxy_bypass(host) else getproxies().get(scheme)
    return URL(proxy) if proxy else None
