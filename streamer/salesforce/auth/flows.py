"""Salesforce's OAuth 2 flows: token requests, address checks, refusals, and the shared logins."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from publicsuffixlist import PublicSuffixList
from pydantic import SecretStr

from streamer.clock import Clock
from streamer.errors import ConfigurationError, CredentialsRefused, SalesforceUnavailable, StreamerError
from streamer.later import Later
from streamer.settings import Auth, ClientCredentialsAuth, JwtAuth, OrgSettings, PasswordAuth, RefreshAuth
from streamer.web.addresses import is_address, is_loopback

if TYPE_CHECKING:
    import aiohttp

    from streamer.salesforce.auth.tokens import Tokens


if TYPE_CHECKING:
    import jwt
else:
    jwt = Later("jwt")

_ASSERTION_LIFETIME_S = 180


def token_form(auth: Auth, *, login_url: str, now: float) -> dict[str, str]:
    """Return the form for the token endpoint; `now` is in epoch seconds.

    By default, the audience of a JWT is test.salesforce.com if `login_url` is
    the address of a sandbox org, and login.salesforce.com otherwise. Raises
    `ConfigurationError` if the private key can't sign.
    """
    match auth:
        case JwtAuth():
            return {
                "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
                "assertion": _assertion(auth, login_url=login_url, now=now),
            }
        case ClientCredentialsAuth():
            return {
                "grant_type": "client_credentials",
                "client_id": auth.client_id,
                "client_secret": auth.client_secret.get_secret_value(),
            }
        case RefreshAuth():
            form = {
                "grant_type": "refresh_token",
                "client_id": auth.client_id,
                "refresh_token": auth.refresh_token.get_secret_value(),
            }
            secret = auth.client_secret
            return {**form, "client_secret": secret.get_secret_value()} if secret else form
        case PasswordAuth():
            return {
                "grant_type": "password",
                "client_id": auth.client_id,
                "client_secret": auth.client_secret.get_secret_value(),
                "username": auth.username,
                "password": auth.password.get_secret_value(),
            }


def secrets_of(auth: Auth) -> tuple[str, ...]:
    """Return all secret values of `auth`, such as passwords and keys."""
    return tuple(value.get_secret_value() for _, value in auth if isinstance(value, SecretStr))


def _assertion(auth: JwtAuth, *, login_url: str, now: float) -> str:
    claims = {
        "iss": auth.client_id,
        "sub": auth.username,
        "aud": auth.audience or _audience(login_url),
        "exp": int(now) + _ASSERTION_LIFETIME_S,
    }
    try:
        return jwt.encode(claims, auth.key.get_secret_value(), algorithm="RS256")
    except (ValueError, TypeError, jwt.PyJWTError):
        # The parser's message can quote the key.
        raise ConfigurationError(
            "org.auth.key is not an RSA private key in PEM: set org.auth.key to the content of the "
            "file that begins with -----BEGIN PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----"
        ) from None


def _audience(login_url: str) -> str:
    host = urlsplit(login_url).hostname or ""
    if host == "test.salesforce.com" or host.endswith(".sandbox.my.salesforce.com"):
        return "https://test.salesforce.com"
    return "https://login.salesforce.com"


# urlsplit silently drops line breaks, so the pattern refuses them.
_ADDRESS = re.compile(r"https?://[^\s/?#@\\]+(?:/[^\s?#@\\]*)?", re.ASCII)
_LONGEST_ADDRESS = 2_000


def safe_address(url: str, *, named: str, allow_http: bool) -> str:
    """Check that a token or a password can safely go to `url`; return `url` without a trailing slash.

    Plain http is safe only for a loopback address, and `allow_http` permits it for
    every address. For an unsafe address, raises `ConfigurationError` with a message
    that calls the address `named`.
    """
    scheme, host = _address_parts(url, named)
    if scheme == "http" and not (allow_http or is_loopback(host)):
        raise ConfigurationError(
            f"{named} is http://{host}, so others in the network could read the token: use https, or "
            "set org.allow_http if you trust the network"
        )
    return url.rstrip("/")


def check_instance(instance_url: str, *, login_url: str, allowed: Collection[str]) -> None:
    """Check that the host of `instance_url` is on the login's site or in `allowed`.

    Without this check, a false login server could direct every request and its
    access token to another server. Raises `ConfigurationError`.
    """
    named = "instance_url in the answer to the login"
    host, login = _address_parts(instance_url, named)[1], _address_parts(login_url, "org.login_url")[1]
    if host in allowed or _site(host) == _site(login) or (is_loopback(host) and is_loopback(login)):
        return
    raise ConfigurationError(
        f"the login at {login} names {host}, which belongs to another site, as the address of the "
        f"org: if {host} is right, add {host} to org.instance_hosts"
    )


def _address_parts(url: str, named: str) -> tuple[str, str]:
    """Return scheme and host."""
    try:
        parts = urlsplit(url)
        # urlsplit checks the port only when `port` is read.
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        host = None
    if not host or len(url) > _LONGEST_ADDRESS or not _ADDRESS.fullmatch(url):
        raise ConfigurationError(f"{named} must be an address such as https://acme.my.salesforce.com")
    return parts.scheme, host.lower()


def _site(host: str) -> str:
    """Return the part of `host` that one owner registers, such as `salesforce.com` or `acme.co.uk`."""
    host = host.rstrip(".")
    if is_loopback(host) or is_address(host) or host.rpartition(".")[2].isdigit():
        return host
    # Nobody owns a public suffix, or a name of one label.
    return _public_suffixes().privatesuffix(host) or host


@lru_cache(maxsize=1)
def _public_suffixes() -> PublicSuffixList:
    # The package contains the list: nothing is downloaded.
    return PublicSuffixList()


@dataclass(slots=True)
class _Login:
    """Tokens of one org that parts of the process use, with their HTTP client and the number of users."""

    http: aiohttp.ClientSession
    tokens: Tokens
    users: int = 0


class Logins:
    """Lends the tokens of orgs.

    Salesforce allows only a few grants per user and app, and some logins use up the
    refresh token. So all parts of the process that use one org with the same
    settings share one access token.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._logins: dict[OrgSettings, _Login] = {}

    @asynccontextmanager
    async def opened(self, org: OrgSettings) -> AsyncIterator[tuple[Tokens, aiohttp.ClientSession]]:
        """Lend the tokens of `org`, and the HTTP client that fetches these tokens. This call does not log in.

        Raises `ConfigurationError` if a secret would be sent unencrypted.
        """
        login = self._logins.get(org)
        if login is None:
            login = self._logins[org] = await self._made(org)
        login.users += 1
        try:
            yield login.tokens, login.http
        finally:
            login.users -= 1
            if not login.users:
                del self._logins[org]
                await login.http.close()

    async def _made(self, org: OrgSettings) -> _Login:
        # A command that opens no connection also creates `Logins`, so this import is late.
        import aiohttp  # noqa: PLC0415 - see `streamer.later`

        from streamer.salesforce.auth.tokens import Tokens  # noqa: PLC0415 - as said

        http = aiohttp.ClientSession()
        try:
            return _Login(http, Tokens(http, org, self.clock))
        except BaseException:
            await http.close()
            raise


_TRANSIENT_CODES = {"server_error", "temporarily_unavailable", "unknown_error"}
_TRANSIENT_WORDS = ("rate exceeded", "retry your request", "too many requests")
# Fragments of error descriptions, the most specific first, and the advice for each.
_ADVICE = (
    (
        "audience validation",
        "set org.auth.audience to https://login.salesforce.com, or to https://test.salesforce.com",
    ),
    ("approved this consumer", "pre-authorise the app for this user, by a profile or a permission set"),
    ("expired access/refresh token", "issue a new refresh token and set org.auth.refresh_token"),
    ("expired authorization code", "issue a new refresh token and set org.auth.refresh_token"),
    (
        "no client credentials user",
        "set the run-as user of the client credentials flow in the app's settings",
    ),
    ("not supported on this domain", "set org.login_url to the org's My Domain address"),
    (
        "assertion",
        "check org.auth.client_id, org.auth.username, the app's certificate and this machine's time",
    ),
    (
        "restricted",
        ("allow the user to log in from this network and at this hour, or relax the app's IP restrictions"),
    ),
    (
        "authentication failure",
        "check the user name, the password, and the security token at the end of the password",
    ),
    ("inactive", "activate the user or the org"),
)
_ADVICE_BY_CODE = {
    "invalid_client": "check org.auth.client_id and org.auth.client_secret",
    "invalid_client_id": "check org.auth.client_id",
    "invalid_app_access": "allow the user to use the app, by a profile or a permission set",
    "inactive_user": "activate the user",
    "inactive_org": "activate the org",
    "unsupported_grant_type": "enable this flow in the app's OAuth settings, or choose another org.auth.flow",
}


def refusal(code: str, description: str, *, login_url: str) -> StreamerError:
    """Return the error for the token endpoint's `code` and `description`.

    Salesforce's help on OAuth flow errors lists the codes and descriptions.
    Transient errors become `SalesforceUnavailable`.
    """
    said = f"{code}: {description}" if description else code
    if code in _TRANSIENT_CODES or any(word in description.lower() for word in _TRANSIENT_WORDS):
        return SalesforceUnavailable(f"Salesforce can't process the login at the moment ({said})")
    return CredentialsRefused(f"{login_url} refused the login ({said}): {_advice(code, description)}")


def _advice(code: str, description: str) -> str:
    lowered = description.lower()
    for fragment, advice in _ADVICE:
        if fragment in lowered:
            return advice
    return _ADVICE_BY_CODE.get(code, "check that org.auth matches the app's settings in the org")
