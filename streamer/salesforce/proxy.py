"""Proxy between this process and Salesforce."""

from urllib.request import getproxies, proxy_bypass

from yarl import URL


def proxy_for(url: URL) -> URL | None:
    """Return the proxy that `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` name for `url`, or `None`.

    aiohttp's `trust_env` finds it as well, but reads `~/.netrc` and the
    environment on a thread for each request.
    """
    if url.host is None or proxy_bypass(url.host):
        return None
    proxy = getproxies().get(url.scheme)
    return URL(proxy) if proxy else None
