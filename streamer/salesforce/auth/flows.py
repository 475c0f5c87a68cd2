"""OAuth 2 flows of Salesforce: their token requests."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr

from streamer.errors import ConfigurationError
from streamer.later import Later
from streamer.settings import Auth, ClientCredentialsAuth, JwtAuth, PasswordAuth, RefreshAuth

if TYPE_CHECKING:
    import jwt
else:
    jwt = Later("jwt")

_ASSERTION_LIFETIME_S = 180


def token_form(auth: Auth, *, login_url: str, now: float) -> dict[str, str]:
    """Return the form that the token endpoint takes; `now` is in epoch seconds.

    The audience of a JWT is by default test.salesforce.com for the address of
    a sandbox org, and login.salesforce.com otherwise. Raises
    `ConfigurationError` when the private key can't sign.
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
    """Return every value of `auth` that must never be shown."""
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
