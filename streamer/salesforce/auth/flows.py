"""The ways of proving to Salesforce who we are (OAuth 2)."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

import jwt

from streamer.errors import ConfigurationError
from streamer.web.loopback import is_loopback

_ASSERTION_LIFETIME_S = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtBearer:
    """A signed assertion for a user who approved the app in advance; `key` is RSA, PEM.

    `audience` is by default test.salesforce.com for a sandbox org's address,
    login.salesforce.com otherwise.
    """

    client_id: str
    username: str
    key: str = field(repr=False)
    audience: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials:
    """The app itself, acting as its run-as user; only at the org's My Domain address."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """A refresh token that was issued before."""

    client_id: str
    refresh_token: str = field(repr=False)
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Password:
    """Username and password, the security token appended to the password; legacy."""

    client_id: str
    username: str
    client_secret: str = field(repr=False)
    password: str = field(repr=False)


Flow = JwtBearer | ClientCredentials | RefreshToken | Password
"""One way of getting an access token."""


def token_form(flow: Flow, *, login_url: str, now: float) -> dict[str, str]:
    """Return the form that the token endpoint wants; `now` is in epoch seconds.

    Raises `ConfigurationError` when the private key can't sign.
    """
    match flow:
        case JwtBearer():
            return {
                "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
                "assertion": _assertion(flow, login_url=login_url, now=now),
            }
        case ClientCredentials(client_id=client_id, client_secret=secret):
            return {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        case RefreshToken(client_id=client_id, refresh_token=refresh_token):
            form = {
                "grant_type": "refresh_token",
                "client_id": client_id,
                "refresh_token": refresh_token,
            }
            return form if flow.client_secret is None else {**form, "client_secret": flow.client_secret}
        case Password():
            return {
                "grant_type": "password",
                "client_id": flow.client_id,
                "client_secret": flow.client_secret,
                "username": flow.username,
                "password": flow.password,
            }


def secrets_of(flow: Flow) -> tuple[str, ...]:
    """Return everything about `flow` that must never be shown."""
    match flow:
        case JwtBearer(key=key):
            return (key,)
        case ClientCredentials(client_secret=secret):
            return (secret,)
        case RefreshToken(refresh_token=refresh_token, client_secret=secret):
            return (refresh_token, secret or "")
        case Password(client_secret=secret, password=password):
            return (secret, password)


def _assertion(flow: JwtBearer, *, login_url: str, now: float) -> str:
    claims = {
        "iss": flow.client_id,
        "sub": flow.username,
        "aud": flow.audience or _audience(login_url),
        "exp": int(now) + _ASSERTION_LIFETIME_S,
    }
    try:
        return jwt.encode(claims, flow.key, algorithm="RS256")
    except (ValueError, TypeError, jwt.PyJWTError):
        # The parser's own words may quote the key.
        raise ConfigurationError(
            "org.auth.key is not an RSA private key in PEM: point it at the file that begins with "
            "-----BEGIN PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----"
        ) from None


def _audience(login_url: str) -> str:
    host = urlsplit(login_url).hostname or ""
    if host == "test.salesforce.com" or host.endswith(".sandbox.my.salesforce.com"):
        return "https://test.salesforce.com"
    return "https://login.salesforce.com"


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
