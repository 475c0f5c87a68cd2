"""Which addresses a secret may be sent to."""

from urllib.parse import urlsplit

from streamer.errors import ConfigurationError
from streamer.web.loopback import is_loopback


def safe_address(url: str, *, named: str, allow_http: bool) -> str:
    """Return `url` without a trailing slash, fit to carry a token or a password.

    Plain http is accepted to this machine only, or where `allow_http` says so.
    Raises `ConfigurationError`, which calls the address by what it is `named`.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
        raise ConfigurationError(f"{named} must be an address such as https://acme.my.salesforce.com")
    if parts.scheme == "http" and not (allow_http or is_loopback(parts.hostname)):
        raise ConfigurationError(
            f"{named} is http://{parts.hostname}, where anyone on the way could read the token: "
            "use https, or set org.allow_http if that network is trusted"
        )
    return url.rstrip("/")
