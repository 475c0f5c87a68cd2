"""Addresses that may receive a secret."""

import re
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import urlsplit

from publicsuffixlist import PublicSuffixList

from streamer.errors import ConfigurationError
from streamer.web.addresses import is_address
from streamer.web.loopback import is_loopback

# urlsplit silently drops line breaks, which belong in no address.
_ADDRESS = re.compile(r"https?://[^\s/?#@\\]+(?:/[^\s?#@\\]*)?", re.ASCII)
_LONGEST = 2_000


def safe_address(url: str, *, named: str, allow_http: bool) -> str:
    """Return `url` without a trailing slash, if it may receive a token or a password.

    Plain http is accepted for loopback only, or with `allow_http`. Raises
    `ConfigurationError`, which calls the address `named`.
    """
    scheme, host = _parts(url, named)
    if scheme == "http" and not (allow_http or is_loopback(host)):
        raise ConfigurationError(
            f"{named} is http://{host}, where anyone on the way could read the token: "
            "use https, or set org.allow_http if that network is trusted"
        )
    return url.rstrip("/")


def check_instance(instance_url: str, *, login_url: str, allowed: Collection[str]) -> None:
    """Raise `ConfigurationError` if the host of `instance_url` is neither the login's site nor `allowed`.

    Whoever answers a login in Salesforce's place could otherwise have every
    request, with its token, sent to another server.
    """
    named = "instance_url in the answer to the login"
    host, login = _parts(instance_url, named)[1], _parts(login_url, "org.login_url")[1]
    if host in allowed or _site(host) == _site(login) or (is_loopback(host) and is_loopback(login)):
        return
    raise ConfigurationError(
        f"{login} sends us to {host}, which is another site: "
        f"if that is right, add {host} to org.instance_hosts"
    )


def _parts(url: str, named: str) -> tuple[str, str]:
    """Return scheme and host."""
    try:
        parts = urlsplit(url)
        # A port out of range is found when it is looked at.
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        host = None
    if not host or len(url) > _LONGEST or not _ADDRESS.fullmatch(url):
        raise ConfigurationError(f"{named} must be an address such as https://acme.my.salesforce.com")
    return parts.scheme, host.lower()


def _site(host: str) -> str:
    """Return the part of `host` that one owner registers, such as `salesforce.com` or `acme.co.uk`."""
    host = host.rstrip(".")
    if is_loopback(host) or is_address(host) or host.rpartition(".")[2].isdigit():
        return host
    # A public suffix itself is nobody's, and so is a name of one label.
    return _public_suffixes().privatesuffix(host) or host


@lru_cache(maxsize=1)
def _public_suffixes() -> PublicSuffixList:
    # The list comes with the package: nothing is downloaded.
    return PublicSuffixList()
