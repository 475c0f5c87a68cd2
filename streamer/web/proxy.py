"""Proxy between this process and a server."""

from __future__ import annotations

import os
import re
import sys
from base64 import b64encode
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from yarl import URL

from streamer.errors import ConfigurationError
from streamer.later import Later
from streamer.web.reasons import system_reason

if TYPE_CHECKING:
    import aiohttp
else:
    aiohttp = Later("aiohttp")

DIRECT = "direct"
"""Setting that disables proxies, including proxies in the environment."""

# Elsewhere, the system's settings also name proxies.
_IS_ONLY_ENVIRONMENT = sys.platform == "linux"

_FORM = re.compile(r"http://(?:[^\s/?#@]*@)?(?:[\w.-]+|\[[\da-f:.]+\]):\d{1,5}/?", re.ASCII | re.IGNORECASE)


class ProxyFailed(Exception):
    """The proxy did not pass a request on; the message names the proxy and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """Proxy to a server; `named_by` is the setting or the environment variable that names the proxy.

    `url` holds no credentials, so that a library's message can't repeat the
    credentials.
    """

    url: URL
    authorization: str | None = field(default=None, repr=False)
    named_by: str

    @classmethod
    def at(cls, url: str, *, named_by: str) -> Proxy:
        """Return the proxy at `url`, which can contain a user and a password.

        Raises `ConfigurationError`, which does not repeat the URL.
        """
        try:
            whole = URL(url)
            origin = whole.origin()
        except ValueError:
            origin = URL()
        if origin.scheme not in {"http", "https"} or not origin.port:
            raise ConfigurationError(f"{named_by} must be the address of a proxy, such as http://host:port")
        return cls(url=origin, authorization=_basic(whole), named_by=named_by)

    @property
    def address(self) -> str:
        """Address of the proxy, as `host:port`."""
        return f"{self.url.host_subcomponent}:{self.url.port}"


def is_proxy_setting(setting: str) -> bool:
    """Return true for `direct`, and for `http://host:port` with or without a user and a password."""
    if setting == DIRECT:
        return True
    try:
        Proxy.at(setting, named_by="")
    except ConfigurationError:
        return False
    return _FORM.fullmatch(setting) is not None


def proxy_for(url: URL, *, setting: str | None = None, key: str = "") -> Proxy | None:
    """Return the proxy for requests to `url`, or `None` for a direct connection.

    The proxy comes from `setting` at `key` in the configuration. Without a setting, the
    variables `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` decide. The values of these
    variables are read once, at the first call. aiohttp's `trust_env` is not used,
    because it takes passwords from `~/.netrc`, and reads this file and the environment
    on a thread for each request. Raises `ConfigurationError`.
    """
    if setting is None:
        return _proxy_of(url.scheme, url.host or "")
    return None if setting == DIRECT else Proxy.at(setting, named_by=key)


def through(proxy: Proxy | None) -> str:
    """Return a phrase that names `proxy`, with a space before it; without a proxy, an empty text."""
    return f" through the proxy {proxy.address}" if proxy else ""


async def send(
    http: aiohttp.ClientSession, method: str, url: URL | str, *, proxy: Proxy | None, **options: Any
) -> aiohttp.ClientResponse:
    """Send a request through `proxy`, and return the answer of any status. Redirects are not followed.

    `http` must have no secret default headers, because aiohttp also sends default
    headers to the proxy. Raises `ProxyFailed` and aiohttp's errors.
    """
    if proxy is None:
        return await http.request(method, url, allow_redirects=False, **options)
    try:
        response = await http.request(
            method, url, allow_redirects=False, **_proxied(options, proxy, URL(url).scheme)
        )
    except aiohttp.ClientHttpProxyError as exc:
        raise refused_by(proxy, exc.status, URL(url).host) from exc
    except (aiohttp.ClientProxyConnectionError, aiohttp.ClientConnectorDNSError) as exc:
        # With a proxy, this process resolves only the proxy's name.
        raise ProxyFailed(
            f"the proxy {proxy.address} can't be reached ({system_reason(exc.os_error)}): check that "
            f"the proxy runs, and the proxy's address in {proxy.named_by}"
        ) from exc
    if response.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        response.close()
        raise refused_by(proxy, response.status, URL(url).host)
    return response


def _proxied(options: dict[str, Any], proxy: Proxy, scheme: str) -> dict[str, Any]:
    """Return `options` with the options for `proxy`, which sees only the headers of plain requests."""
    options = {**options, "proxy": proxy.url}
    if proxy.authorization is None:
        return options
    authorization = {aiohttp.hdrs.PROXY_AUTHORIZATION: proxy.authorization}
    if scheme == "https":
        return {**options, "proxy_headers": authorization}
    return {**options, "headers": {**options.get("headers", {}), **authorization}}


def refused_by(proxy: Proxy, status: int, host: str | None) -> ProxyFailed:
    """Return the error for a proxy that answered `status` to the request to connect to `host`."""
    if status != HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return ProxyFailed(
            f"the proxy {proxy.address} did not connect to {host} (HTTP {status}): check that the "
            f"proxy allows connections to {host} and can reach that host"
        )
    refused = "refused the configured" if proxy.authorization else "requires a"
    return ProxyFailed(
        f"the proxy {proxy.address} {refused} user and password (HTTP 407): check user and "
        f"password in {proxy.named_by}"
    )


def _basic(url: URL) -> str | None:
    if url.user is None:
        return None
    return "Basic " + b64encode(f"{url.user}:{url.password or ''}".encode()).decode()


@lru_cache(maxsize=1024)
def _proxy_of(scheme: str, host: str) -> Proxy | None:
    if _IS_ONLY_ENVIRONMENT and not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    # The import loads an HTTP client, which few commands need.
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - as said

    proxy = None if proxy_bypass(host) else getproxies().get(scheme)
    return Proxy.at(proxy, named_by=f"{scheme.upper()}_PROXY") if proxy else None
